"""The files of a nameservice, read by Hadoop's own client: the one in PySpark's jars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.pio.files import render_files
from pio_tf.pio.secrets import Secrets
from tests.pio.sizes import SIZING
from tests.support.builders import OUTPUTS, make_config
from tests.support.jvm import running_jvm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from py4j.java_gateway import JVMView


@pytest.fixture(scope="module")
def java() -> Iterator[JVMView]:
    with running_jvm() as jvm:
        yield jvm


def test_hadoop_finds_the_name_nodes_of_the_nameservice_in_the_files(java: JVMView, tmp_path: Path) -> None:
    hdfs = {
        "namenode": None,
        "nameservice": "mycluster",
        "namenodes": ["127.0.0.1:8021", "127.0.0.2"],
        "port": 8020,
        "core_site": {"x.y": 'a <&> "b" é ${fs.defaultFS}'},
        "hdfs_site": {"dfs.nameservices": "other,mycluster"},
    }
    conf = java.org.apache.hadoop.conf.Configuration(False)
    for file in render_files(make_config(hdfs=hdfs), OUTPUTS, SIZING, Secrets().reveal):
        if file.name.endswith("-site.xml"):
            (tmp_path / file.name).write_text(file.content, encoding="utf-8")
            conf.addResource(java.org.apache.hadoop.fs.Path(str(tmp_path / file.name)))
    assert conf.get("x.y") == 'a <&> "b" é hdfs://mycluster'
    uri = java.org.apache.hadoop.fs.FileSystem.getDefaultUri(conf)
    assert uri.getHost() == "mycluster"
    assert java.org.apache.hadoop.hdfs.HAUtilClient.isLogicalUri(conf, uri)
    found = java.org.apache.hadoop.hdfs.DFSUtilClient.getHaNnRpcAddresses(conf)["mycluster"]
    assert {key: str(found[key]).rpartition("/")[2] for key in found} == {
        "nn1": "127.0.0.1:8021",
        "nn2": "127.0.0.2:8020",
    }
    # The client loads the class that chooses the active name node, and asks none yet.
    system = java.org.apache.hadoop.fs.FileSystem.newInstance(uri, conf)
    assert str(system.getUri()) == "hdfs://mycluster"
    system.close()
