"""pio-env.sh, in the shape and order of the driver machine guide.

PredictionIO *sources* it with bash under ``set -a``: every value is bash text, and is quoted as such.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pio_tf.config.storage import Elasticsearch1Source, ElasticsearchBlock
from pio_tf.pio.sources import driver_variables, find_hbase, find_hdfs, render_source
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.config.storage import HbaseBlock, HdfsBlock
    from pio_tf.pio.secrets import Secrets

_TEMPLATE = """\
{homes}

# Directories on this machine that PredictionIO keeps its own files in.
PIO_FS_BASEDIR={fs_basedir}
PIO_FS_ENGINESDIR=$PIO_FS_BASEDIR/engines
PIO_FS_TMPDIR=$PIO_FS_BASEDIR/tmp

# Storage
#
# Everything below names services that run elsewhere, all the time. This machine only connects to them.

# Repositories: what is kept

# Metadata: apps, access keys, engine instances
PIO_STORAGE_REPOSITORIES_METADATA_NAME={metadata_name}
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE={metadata_source}

PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME={eventdata_name}
PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE={eventdata_source}

# HDFS rather than LOCALFS in the guide: a prediction server on another machine must be able to read it
PIO_STORAGE_REPOSITORIES_MODELDATA_NAME={modeldata_name}
PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE={modeldata_source}

# Sources: where the repositories are kept

{sources}"""


def render_pio_env(config: Config, secrets: Secrets) -> str:
    """The text of pio-env.sh. It holds the passwords of the sources."""
    repositories = {
        f"{label}_{key}": shlex.quote(value)
        for label, repository in config.repository.all().items()
        for key, value in (("name", repository.name), ("source", repository.source))
    }
    return _TEMPLATE.format(
        homes="".join(f"{name}={value}\n" for name, value in _homes(config).items()),
        fs_basedir=shell_path(config.pio.fs_basedir),
        sources="\n".join(render_source(source, secrets, version=config.pio.version) for source in config.sources),
        **repositories,
    )


def hadoop_conf_dir(hdfs: HdfsBlock) -> str:
    """HADOOP_CONF_DIR on the driver, where core-site.xml belongs."""
    return f"{hdfs.hadoop_home}/etc/hadoop"


def hbase_conf_dir(hbase: HbaseBlock) -> str:
    """HBASE_CONF_DIR on the driver, where hbase-site.xml belongs."""
    return f"{hbase.home}/conf"


def _homes(config: Config) -> dict[str, str]:
    """Where the driver has Spark and the clients of its sources."""
    homes = {"SPARK_HOME": shell_path(config.spark.home)}
    for source in config.sources:
        if isinstance(source.block, (ElasticsearchBlock, Elasticsearch1Source)):
            homes.setdefault("ES_CONF_DIR", shell_path(source.block.home))
    if (hdfs := find_hdfs(config)) is not None:
        homes["HADOOP_CONF_DIR"] = shell_path(hadoop_conf_dir(hdfs))
    if (hbase := find_hbase(config)) is not None:
        homes["HBASE_CONF_DIR"] = shell_path(hbase_conf_dir(hbase))
    return {**homes, **driver_variables(config)}
