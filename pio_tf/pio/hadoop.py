"""core-site.xml and hbase-site.xml: how the driver finds HDFS and HBase. Both are clients' files, for no service."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.storage import HbaseBlock, HdfsBlock


def render_core_site(hdfs: HdfsBlock) -> str:
    """core-site.xml. PIO's `hdfs` source takes its file system from ``fs.defaultFS``."""
    return _properties({"fs.defaultFS": _file_system(hdfs)})


def render_hbase_site(hbase: HbaseBlock, hdfs: HdfsBlock) -> str:
    """hbase-site.xml: the only thing that PIO's `hbase` source goes by."""
    quorum = hbase.zookeeper_quorum or hbase.hosts
    return _properties(
        {
            "hbase.rootdir": f"{_file_system(hdfs)}/hbase",
            "hbase.cluster.distributed": "true",
            "hbase.zookeeper.quorum": ",".join(quorum),
            "hbase.zookeeper.property.clientPort": str(hbase.zookeeper_port),
        }
    )


def _file_system(hdfs: HdfsBlock) -> str:
    return f"hdfs://{hdfs.namenode}:{hdfs.port}"


def _properties(values: Mapping[str, str]) -> str:
    root = ET.Element("configuration")
    for name, value in values.items():
        item = ET.SubElement(root, "property")
        ET.SubElement(item, "name").text = name
        ET.SubElement(item, "value").text = value
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
