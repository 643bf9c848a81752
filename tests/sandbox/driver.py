"""A driver's disk with the stand-in for PredictionIO, configured for services as pio-tf would configure it."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.layout import Services

CLOSED_PORT = 1
"""A port on which nothing listens."""

_ENV = """\
SPARK_HOME=$HOME/spark
HADOOP_CONF_DIR=$HOME/hadoop
HBASE_CONF_DIR=$HOME/hbase
PIO_FS_BASEDIR=$HOME/.pio_store
PIO_STORAGE_REPOSITORIES_METADATA_NAME=pio_meta
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE=ELASTICSEARCH
PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME=pio_event
PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE=HBASE
PIO_STORAGE_REPOSITORIES_MODELDATA_NAME=pio_model
PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE=HDFS
PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch
PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS={host}
PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS={port}
PIO_STORAGE_SOURCES_ELASTICSEARCH_SCHEMES=http
PIO_STORAGE_SOURCES_ELASTICSEARCH_USERNAME=pio
PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD='correct horse'
PIO_STORAGE_SOURCES_HBASE_TYPE=hbase
PIO_STORAGE_SOURCES_HDFS_TYPE=hdfs
PIO_STORAGE_SOURCES_HDFS_PATH=/models
"""


def pio_env(services: Services) -> str:
    """Return the text of pio-env.sh."""
    return _ENV.format(host=services.host, port=services.elasticsearch)


def configure(home: Path, services: Services) -> None:
    """Write pio-env.sh and the files that HBase's and Hadoop's clients read."""
    (home / "pio" / "conf" / "pio-env.sh").write_text(pio_env(services))
    quorum = {
        "hbase.zookeeper.quorum": services.host,
        "hbase.zookeeper.property.clientPort": str(services.zookeeper),
    }
    _write(home / "hbase" / "hbase-site.xml", quorum)
    _write(home / "hadoop" / "core-site.xml", {"fs.defaultFS": f"hdfs://{services.host}:{services.namenode}"})


def _write(path: Path, settings: dict[str, str]) -> None:
    path.parent.mkdir(exist_ok=True)
    lines = (f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items())
    path.write_text(f"<configuration>{''.join(lines)}</configuration>")


def ask(services: Services, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return Elasticsearch's answer."""
    address = f"{services.host}:{services.elasticsearch}"
    with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
