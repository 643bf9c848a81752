"""The configuration files that connect the driver to a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from pio_tf.config.components import find_block
from pio_tf.config.storage import HbaseBlock, HdfsBlock
from pio_tf.pio.env_file import hadoop_conf_dir, hbase_conf_dir, render_pio_env
from pio_tf.pio.spark_defaults import render_spark_defaults
from pio_tf.remote.files import RemoteFile

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.secrets import RevealPassword

_PRIVATE = 0o600
"""Mode of files that may contain secrets: passwords, ``spark.authenticate.secret``, keys of an object store."""


def render_files(config: Config, outputs: Outputs, sizing: Sizing, reveal: RevealPassword) -> tuple[RemoteFile, ...]:
    """Return the driver's files. The same input gives the same bytes.

    Raises:
        ConfigError: a value cannot be written in the file's format.
    """
    pio_env = render_pio_env(config, reveal)
    files = [RemoteFile("pio-env.sh", f"{config.pio.home}/conf/pio-env.sh", pio_env, _PRIVATE)]
    hdfs, hbase = find_block(config, HdfsBlock), find_block(config, HbaseBlock)
    if hdfs is not None:
        file_system = f"hdfs://{hdfs.namenode}:{hdfs.port}"
        # PredictionIO's `hdfs` source uses the default file system.
        core_site = _properties(**{"fs.defaultFS": file_system})
        files.append(RemoteFile("core-site.xml", f"{hadoop_conf_dir(hdfs)}/core-site.xml", core_site))
        if hbase is not None:
            hbase_site = _properties(
                **{
                    "hbase.rootdir": f"{file_system}/hbase",
                    "hbase.cluster.distributed": "true",
                    "hbase.zookeeper.quorum": ",".join(hbase.zookeeper_quorum or hbase.hosts),
                    "hbase.zookeeper.property.clientPort": str(hbase.zookeeper_port),
                }
            )
            files.append(RemoteFile("hbase-site.xml", f"{hbase_conf_dir(hbase)}/hbase-site.xml", hbase_site))
    settings = render_spark_defaults(config, outputs, sizing)
    files.append(RemoteFile("spark-defaults.conf", f"{config.spark.home}/conf/spark-defaults.conf", settings, _PRIVATE))
    return tuple(files)


def _properties(**values: str) -> str:
    """Return a configuration file of Hadoop or HBase."""
    root = ET.Element("configuration")
    for name, value in values.items():
        item = ET.SubElement(root, "property")
        ET.SubElement(item, "name").text = name
        ET.SubElement(item, "value").text = value
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
