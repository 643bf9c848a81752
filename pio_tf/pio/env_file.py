"""pio-env.sh, in the shape and order of the driver machine guide.

PredictionIO *sources* it with bash under ``set -a``: every value is bash text, and is quoted as such.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pio_tf.config.components import find_block
from pio_tf.config.storage import (
    Elasticsearch1Source,
    ElasticsearchBlock,
    HbaseBlock,
    HdfsBlock,
    JdbcSource,
    LocalfsSource,
    S3Source,
)
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pio_tf.config.repositories import Source
    from pio_tf.config.schema import Config
    from pio_tf.pio.secrets import RevealPassword

_TEMPLATE = """\
{homes}

# Directories on this machine for PredictionIO's own files.
PIO_FS_BASEDIR={fs_basedir}
PIO_FS_ENGINESDIR=$PIO_FS_BASEDIR/engines
PIO_FS_TMPDIR=$PIO_FS_BASEDIR/tmp

# Storage
#
# The services below run elsewhere, all the time. This machine only connects to them.

# Repositories: the data that PredictionIO stores

# Metadata: apps, access keys, engine instances
PIO_STORAGE_REPOSITORIES_METADATA_NAME={metadata_name}
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE={metadata_source}

PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME={eventdata_name}
PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE={eventdata_source}

# HDFS rather than LOCALFS in the guide: a prediction server on another machine must be able to read it
PIO_STORAGE_REPOSITORIES_MODELDATA_NAME={modeldata_name}
PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE={modeldata_source}

# Sources: the services that store the repositories

{sources}"""
_TITLES = {
    "elasticsearch": "Elasticsearch",
    "hdfs": "HDFS: model data. The Universal Recommender stores its model in Elasticsearch",
    "hbase": "HBase",
    "localfs": "A directory of this machine. The prediction server cannot read it",
    "jdbc": "A database",
    "s3": "S3",
}
_FIRST_WITH_LENIENT_S3 = "0.14.0"


def render_pio_env(config: Config, reveal: RevealPassword) -> str:
    """Return the text of pio-env.sh. It contains the passwords of the sources."""
    repositories = {
        f"{label}_{key}": shlex.quote(value)
        for label, repository in config.repository.all().items()
        for key, value in (("name", repository.name), ("source", repository.source))
    }
    return _TEMPLATE.format(
        homes="".join(f"{name}={value}\n" for name, value in _driver_variables(config).items()),
        fs_basedir=shell_path(config.pio.fs_basedir),
        sources="\n".join(_source(source, reveal, version=config.pio.version) for source in config.sources),
        **repositories,
    )


def hadoop_conf_dir(hdfs: HdfsBlock) -> str:
    """Return HADOOP_CONF_DIR on the driver, the directory of core-site.xml."""
    return f"{hdfs.hadoop_home}/etc/hadoop"


def hbase_conf_dir(hbase: HbaseBlock) -> str:
    """Return HBASE_CONF_DIR on the driver, the directory of hbase-site.xml."""
    return f"{hbase.home}/conf"


def _driver_variables(config: Config) -> dict[str, str]:
    """Return the variables that concern the whole driver, as bash text."""
    blocks = [source.block for source in config.sources]
    found = {"SPARK_HOME": shell_path(config.spark.home)}
    for block in blocks:
        if isinstance(block, (ElasticsearchBlock, Elasticsearch1Source)):
            found.setdefault("ES_CONF_DIR", shell_path(block.home))
    if (hdfs := find_block(config, HdfsBlock)) is not None:
        found["HADOOP_CONF_DIR"] = shell_path(hadoop_conf_dir(hdfs))
    if (hbase := find_block(config, HbaseBlock)) is not None:
        found["HBASE_CONF_DIR"] = shell_path(hbase_conf_dir(hbase))
    for block in blocks:
        if isinstance(block, JdbcSource):
            found[block.driver_variable] = shell_path(block.driver_jar)
        if isinstance(block, S3Source) and block.profile is not None:
            found["AWS_PROFILE"] = shlex.quote(block.profile)
    return found


def _source(source: Source, reveal: RevealPassword, *, version: str) -> str:
    prefix = f"PIO_STORAGE_SOURCES_{source.name}_"
    lines = _source_lines(source, reveal, version=version)
    return "".join(f"{line}\n" if line.startswith("#") or not line else f"{prefix}{line}\n" for line in lines)


def _source_lines(source: Source, reveal: RevealPassword, *, version: str) -> Iterator[str]:
    """Yield comments, empty lines, and ``KEY=value`` in bash text."""
    block = source.block
    yield f"# {_TITLES[type(block).pio_type]}"
    yield f"TYPE={block.pio_type}"
    if isinstance(block, ElasticsearchBlock):
        yield from _elasticsearch(block, reveal)
    elif isinstance(block, Elasticsearch1Source):
        yield from (f"HOME={shell_path(block.home)}", f"CLUSTERNAME={shlex.quote(block.cluster_name)}", "")
        yield "# One entry for each host in both lists. Elasticsearch 1.x uses the transport client (9300)"
        yield from (f"HOSTS={_list(block.hosts)}", f"PORTS={_list(block.port for _ in block.hosts)}")
    elif isinstance(block, HdfsBlock):
        yield f"PATH={shlex.quote(f'hdfs://{block.namenode}:{block.port}{block.models_path}')}"
    elif isinstance(block, HbaseBlock):
        yield from (f"HOME={shell_path(block.home)}", "")
        yield "# PredictionIO finds HBase by hbase-site.xml in HBASE_CONF_DIR; these two lines only inform the reader"
        yield from (f"HOSTS={_list(block.hosts)}", f"PORTS={_list(0 for _ in block.hosts)}")
    elif isinstance(block, LocalfsSource):
        yield f"PATH={shell_path(block.path)}"
    elif isinstance(block, JdbcSource):
        yield f"URL={shlex.quote(block.url)}"
        yield from (f"USERNAME={shlex.quote(block.user)}", f"PASSWORD={shlex.quote(reveal(block.password))}")
        yield from (f"CONNECTIONS={block.connections}", f"PARTITIONS={block.partitions}")
    elif isinstance(block, S3Source):
        yield from _s3(block, version=version)


def _elasticsearch(block: ElasticsearchBlock, reveal: RevealPassword) -> Iterator[str]:
    yield f"HOME={shell_path(block.home)}"
    yield "# The cluster.name of Elasticsearch's own configuration"
    yield from (f"CLUSTERNAME={shlex.quote(block.cluster_name)}", "")
    yield (
        "# One entry for each host in all three lists: PredictionIO stops at the end of the shortest. PredictionIO 0.12"
        " and later use REST (9200)"
    )
    yield f"HOSTS={_list(node.host for node in block.nodes)}"
    yield f"PORTS={_list(node.port for node in block.nodes)}"
    yield f"SCHEMES={_list(node.scheme for node in block.nodes)}"
    if block.user is not None and block.password is not None:
        yield from (f"USERNAME={shlex.quote(block.user)}", f"PASSWORD={shlex.quote(reveal(block.password))}")


def _s3(block: S3Source, *, version: str) -> Iterator[str]:
    yield f"BUCKET_NAME={shlex.quote(block.bucket)}"
    optional = {"BASE_PATH": block.base_path, "REGION": block.region, "ENDPOINT": block.endpoint}
    yield from (f"{name}={shlex.quote(value)}" for name, value in optional.items() if value is not None)
    if version != _FIRST_WITH_LENIENT_S3:
        yield f"# Without this, PredictionIO {version} fails with a MatchError before the first model"
        yield "DISABLE_CHUNKED_ENCODING=true"


def _list(values: Iterable[object]) -> str:
    return shlex.quote(",".join(str(value) for value in values))
