"""core-site.xml and hbase-site.xml: how the driver finds HDFS and HBase. Both are clients' files, for no service."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config


def render_core_site(config: Config) -> str:
    """core-site.xml. PIO's `hdfs` source takes its file system from ``fs.defaultFS``."""
    return _properties({"fs.defaultFS": _file_system(config)})


def render_hbase_site(config: Config) -> str:
    """hbase-site.xml: the only thing that PIO's `hbase` source goes by."""
    quorum = config.hbase.zookeeper_quorum or config.hbase.hosts
    return _properties(
        {
            "hbase.rootdir": f"{_file_system(config)}/hbase",
            "hbase.cluster.distributed": "true",
            "hbase.zookeeper.quorum": ",".join(quorum),
            "hbase.zookeeper.property.clientPort": str(config.hbase.zookeeper_port),
        }
    )


def _file_system(config: Config) -> str:
    return f"hdfs://{config.hdfs.namenode}:{config.hdfs.port}"


def _properties(values: Mapping[str, str]) -> str:
    root = ET.Element("configuration")
    for name, value in values.items():
        item = ET.SubElement(root, "property")
        ET.SubElement(item, "name").text = name
        ET.SubElement(item, "value").text = value
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
