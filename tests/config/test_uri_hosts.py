"""Hosts in URIs, compared with java.net.URI itself."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.uri_hosts import URI_HOST, find_bad_host
from tests.support.jvm import running_jvm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from py4j.java_gateway import JVMView

HOSTS = ["nn", "nn-1.example.org", "10.0.0.1", "1nn", "255.255.255.255", "a.b.c", "x--y.z1"]
NO_HOSTS = ["name_node", "a..b", "-a", "a-", "a.1", "spark.01", "a-.b", "256.1.1.1", "1.2.3", "1.2.3.4.5", ".a", "é"]


@pytest.fixture(scope="module")
def java() -> Iterator[JVMView]:
    with running_jvm() as jvm:
        yield jvm


def _drawn(seed: int) -> Iterator[str]:
    chance = random.Random(seed)  # noqa: S311 - test data
    for _ in range(600):
        yield "".join(chance.choice("ab1-._2") for _ in range(chance.randint(1, 9)))


def test_the_pattern_takes_a_host_if_and_only_if_java_finds_it_in_a_uri(java: JVMView) -> None:
    for host in [*HOSTS, *NO_HOSTS, *_drawn(1)]:
        if host.endswith("."):  # Java takes a name's last dot, pio-tf.hcl does not
            continue
        expected = java.java.net.URI.create(f"hdfs://{host}:9000/x").getHost() is not None
        assert bool(re.fullmatch(URI_HOST, host)) == expected, host
        assert (find_bad_host("spark.x", f"hdfs://{host}:9000/x") == "") == expected, host


@pytest.mark.parametrize(
    ("name", "value", "bad"),
    [
        ("spark.eventLog.dir", "hdfs://name_node:9000/x", "name_node:9000"),
        ("spark.hadoop.fs.defaultFS", "hdfs://my_service", "my_service"),
        ("spark.yarn.jars", "local:///a.jar,hdfs://nn/b.jar,hdfs://n_n/c.jar", "n_n"),
        ("spark.hadoop.x", "S3A://my_bucket/y", "my_bucket"),
        ("spark.hadoop.dfs.namenode.rpc-address.c.nn1", "nn_1:8020", "nn_1:8020"),
        ("dfs.namenode.http-address", "nn.1", "nn.1"),
        ("spark.eventLog.dir", "hdfs://nn.example.org.:9000/x", ""),
        ("spark.hadoop.x", "s3a://key@bucket/y", ""),
        ("spark.hadoop.x", "hdfs://[::1]:9000/y", ""),
        ("spark.hadoop.x", "hdfs://${host}:9000/y", ""),
        ("spark.hadoop.x", "file:///my_dir", ""),
        ("spark.jars.repositories", "https://my_repository/x", ""),  # java.net.URL takes it
        ("spark.hadoop.x", "gs://my_bucket/y", ""),  # Google's file system has its own parser
        ("spark.hadoop.dfs.namenode.rpc-address.c.nn1", "10.0.0.1:8020", ""),
        ("spark.hadoop.dfs.namenode.rpc-address.c.nn1", "${host}:8020", ""),
        ("spark.app.name", "name_node", ""),
    ],
)
def test_a_setting_is_judged_by_the_addresses_that_java_makes_uris_of(name: str, value: str, bad: str) -> None:
    assert find_bad_host(name, value) == bad
