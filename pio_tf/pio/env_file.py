"""pio-env.sh, in the shape and order of the driver machine guide.

PredictionIO *sources* it with bash under ``set -a``: every value is bash text, and is quoted as such.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pio_tf.remote.paths import shell_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.config.schema import Config

_TEMPLATE = """\
SPARK_HOME={spark_home}
ES_CONF_DIR={elasticsearch_home}
HADOOP_CONF_DIR={hadoop_conf}
HBASE_CONF_DIR={hbase_conf}


# Directories on this machine that PredictionIO keeps its own files in.
PIO_FS_BASEDIR={fs_basedir}
PIO_FS_ENGINESDIR=$PIO_FS_BASEDIR/engines
PIO_FS_TMPDIR=$PIO_FS_BASEDIR/tmp

# Storage
#
# Everything below names services that run elsewhere, all the time. This machine only connects to them.

# Repositories: what is kept

# Metadata: Elasticsearch, which is clustered
PIO_STORAGE_REPOSITORIES_METADATA_NAME=pio_meta
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE=ELASTICSEARCH

PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME=pio_event
PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE=HBASE

# HDFS rather than LOCALFS: a prediction server on another machine must be able to read it
PIO_STORAGE_REPOSITORIES_MODELDATA_NAME=pio_model
PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE=HDFS

# Sources: where the repositories are kept

# Elasticsearch
PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch
PIO_STORAGE_SOURCES_ELASTICSEARCH_HOME={elasticsearch_home}
# The cluster.name of Elasticsearch's own configuration
PIO_STORAGE_SOURCES_ELASTICSEARCH_CLUSTERNAME={elasticsearch_cluster}

# One entry per host in all three: PredictionIO goes by the shortest list. PredictionIO 0.12 and later speak REST (9200)
PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS={elasticsearch_hosts}
PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS={elasticsearch_ports}
PIO_STORAGE_SOURCES_ELASTICSEARCH_SCHEMES={elasticsearch_schemes}

# Model data: required to be in HDFS. The Universal Recommender keeps its model in Elasticsearch
PIO_STORAGE_SOURCES_HDFS_TYPE=hdfs
PIO_STORAGE_SOURCES_HDFS_PATH={hdfs_path}

# HBase
PIO_STORAGE_SOURCES_HBASE_TYPE=hbase
PIO_STORAGE_SOURCES_HBASE_HOME={hbase_home}

# PredictionIO finds HBase by hbase-site.xml in HBASE_CONF_DIR; these two are for whoever reads this file
PIO_STORAGE_SOURCES_HBASE_HOSTS={hbase_hosts}
PIO_STORAGE_SOURCES_HBASE_PORTS={hbase_ports}
"""


def render_pio_env(config: Config) -> str:
    """The text of pio-env.sh."""
    elasticsearch, hbase, hdfs = config.elasticsearch, config.hbase, config.hdfs
    return _TEMPLATE.format(
        spark_home=shell_path(config.spark.home),
        elasticsearch_home=shell_path(elasticsearch.home),
        hadoop_conf=shell_path(hadoop_conf_dir(config)),
        hbase_conf=shell_path(hbase_conf_dir(config)),
        fs_basedir=shell_path(config.pio.fs_basedir),
        elasticsearch_cluster=shlex.quote(elasticsearch.cluster_name),
        elasticsearch_hosts=_list(node.host for node in elasticsearch.nodes),
        elasticsearch_ports=_list(node.port for node in elasticsearch.nodes),
        elasticsearch_schemes=_list(node.scheme for node in elasticsearch.nodes),
        hdfs_path=shlex.quote(f"hdfs://{hdfs.namenode}:{hdfs.port}{hdfs.models_path}"),
        hbase_home=shell_path(hbase.home),
        hbase_hosts=_list(hbase.hosts),
        hbase_ports=_list(0 for _ in hbase.hosts),
    )


def hadoop_conf_dir(config: Config) -> str:
    """HADOOP_CONF_DIR on the driver, where core-site.xml belongs."""
    return f"{config.hdfs.hadoop_home}/etc/hadoop"


def hbase_conf_dir(config: Config) -> str:
    """HBASE_CONF_DIR on the driver, where hbase-site.xml belongs."""
    return f"{config.hbase.home}/conf"


def _list(values: Iterable[object]) -> str:
    return shlex.quote(",".join(str(value) for value in values))
