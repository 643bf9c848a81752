"""Checks of the services that a training needs: Elasticsearch, HDFS, ZooKeeper, a database, and Spark's cluster."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pio_tf.training.preflight import Limits
from pio_tf.training.preflight.service_checks import jdbc_addresses
from tests.support.ssh_servers import free_port
from tests.training.elasticsearch_server import listening
from tests.training.preflight_world import (
    ENGINE,
    NAME_NODE,
    SERVICES,
    WATERMARKS,
    ZOOKEEPER,
    World,
    accepting,
    answering,
    disk,
    worker,
    world,
)

__all__ = ["world"]

FEW = ["engine", "built", "disk", "clock", "java", "spark-version", "pio", "pio-status"]
"""Left out, where a test is about services."""


def down() -> int:
    return free_port((SERVICES,))


# Elasticsearch


async def test_elasticsearch_is_named_with_its_version_and_health(world: World) -> None:
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "ok", "one node can't hold replicas: its indices are yellow"
    assert result.detail == "Elasticsearch 6.8.23, 1 of 1 nodes answer, cluster 'elasticsearch' is yellow"


async def test_an_elasticsearch_that_is_down_is_named_with_where_its_address_is_from(world: World) -> None:
    port = down()
    world.blocks = {"elasticsearch": {"hosts": [f"{SERVICES}:{port}"]}}
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "failed"
    assert result.detail == f"http://{SERVICES}:{port}: connection refused"
    assert "pio-tf.hcl" in result.next_step


async def test_one_node_of_several_that_is_down_is_a_warning(world: World) -> None:
    port = down()
    world.blocks = {"elasticsearch": {"hosts": [f"{SERVICES}:{port}", f"{SERVICES}:{world.elasticsearch.port}"]}}
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "warning"
    assert result.detail == f"http://{SERVICES}:{port}: connection refused"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_password_is_called_that_and_never_shown(world: World, status: int) -> None:
    world.elasticsearch_says["/"] = (status, {"error": "security_exception"})
    world.blocks = {"elasticsearch": {"user": "elastic", "password": "hunter2hunter2"}}
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "failed"
    assert "refuses user and password" in result.detail
    assert "user and password" in result.next_step
    assert "hunter2" not in str(result)


async def test_user_and_password_are_used(world: World) -> None:
    says = world.elasticsearch_says
    async with listening(lambda question: says[question.path.partition("?")[0]], login=("elastic", "hunter2")) as node:
        world.elasticsearch = node
        world.blocks = {"elasticsearch": {"user": "elastic", "password": "hunter2"}}
        assert (await world.check(skip=FEW))["elasticsearch"].status == "ok"


async def test_a_red_cluster_fails(world: World) -> None:
    world.elasticsearch_says["/_cluster/health"] = (200, {"cluster_name": "elasticsearch", "status": "red"})
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "failed"
    assert "is red" in result.detail
    assert "_cat/indices?health=red" in result.next_step


READ_ONLY = {"settings": {"index.blocks.read_only_allow_delete": "true"}}


@pytest.mark.parametrize("index", ["pio_meta", "pio_meta_engine_instances"])
@pytest.mark.parametrize("block", ["read_only_allow_delete", "read_only", "write", "metadata"])
async def test_a_metadata_index_that_refuses_writes_fails(world: World, index: str, block: str) -> None:
    blocked = {index: {"settings": {f"index.blocks.{block}": "true"}}, "logs": READ_ONLY, "pio_metadata": READ_ONLY}
    world.elasticsearch_says["/pio_meta*/_settings/index.blocks.*"] = (200, blocked)
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert (result.status, result.detail) == (
        "failed",
        f"Elasticsearch refuses writes to {index}: index.blocks.{block}; PredictionIO would retry without end",
    )
    assert f'PUT /{index}/_settings with {{"index.blocks.{block}": null}}' in result.next_step
    assert ("make room" in result.next_step) == (block == "read_only_allow_delete")


async def test_blocks_on_other_indices_and_blocks_that_are_off_are_no_problem(world: World) -> None:
    off = {"settings": {"index.blocks.read_only_allow_delete": "false"}}
    blocks = {"pio_event_1": READ_ONLY, "logs": READ_ONLY, "pio_meta_apps": off, "pio_meta_channels": {"settings": {}}}
    world.elasticsearch_says["/pio_meta*/_settings/index.blocks.*"] = (200, blocks)
    assert (await world.check(skip=FEW))["elasticsearch"].status == "ok"


@pytest.mark.parametrize("group", ["persistent", "transient"])
async def test_a_read_only_cluster_fails(world: World, group: str) -> None:
    world.elasticsearch_says["/_cluster/settings"] = (200, {group: {"cluster.blocks.read_only": "true"}})
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert (result.status, result.detail) == (
        "failed",
        "Elasticsearch refuses all writes: cluster.blocks.read_only is true",
    )


@pytest.mark.parametrize(
    ("free", "persistent", "status"),
    [
        (60, {}, "ok"),
        (14, {}, "ok"),  # above the low watermark, a new index still gets its primary shards
        (9, {}, "warning"),
        (4, {}, "failed"),
        (20, {"flood_stage": "25gb"}, "failed"),
        (20, {"high": "0.75"}, "warning"),
        (4, {"high": "1gb", "flood_stage": "500mb"}, "ok"),
        (4, {"high": "nonsense", "flood_stage": ""}, "ok"),
    ],
)
async def test_a_disk_is_judged_by_the_watermarks_in_force(
    world: World, free: int, persistent: dict[str, str], status: str
) -> None:
    own = {f"cluster.routing.allocation.disk.watermark.{name}": value for name, value in persistent.items()}
    world.elasticsearch_says["/_cluster/settings"] = (200, {"persistent": own, "defaults": WATERMARKS})
    world.elasticsearch_says["/_nodes/stats/fs"] = (200, {"nodes": {"1": disk(free=80), "2": disk(free=free)}})
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == status, result.detail
    if status != "ok":
        assert f"{free}.0 of 100.0 GiB free on Elasticsearch's node es-1" in result.detail


async def test_the_disk_of_a_node_without_data_is_no_limit(world: World) -> None:
    world.elasticsearch_says["/_nodes/stats/fs"] = (200, {"nodes": {"1": {**disk(free=1), "roles": ["master"]}}})
    assert (await world.check(skip=FEW))["elasticsearch"].status == "ok"


async def test_watermarks_that_are_switched_off_are_no_limit(world: World) -> None:
    off = {"cluster.routing.allocation.disk.threshold_enabled": "false"}
    world.elasticsearch_says["/_cluster/settings"] = (200, {"transient": off, "defaults": WATERMARKS})
    world.elasticsearch_says["/_nodes/stats/fs"] = (200, {"nodes": {"1": disk(free=1)}})
    assert (await world.check(skip=FEW))["elasticsearch"].status == "ok"


UNIVERSAL = {**ENGINE, "algorithms": [{"name": "ur", "params": {"indexName": "urindex"}}]}


@pytest.mark.parametrize(
    ("block", "status"),
    [("read_only", "failed"), ("read_only_allow_delete", "failed"), ("metadata", "failed"), ("write", "ok")],
)
async def test_an_index_that_the_universal_recommender_could_not_replace_fails(
    world: World, block: str, status: str
) -> None:
    world.file("engine/engine.json", json.dumps(UNIVERSAL))
    blocked = {"urindex_1500000000000": {"settings": {f"index.blocks.{block}": "true"}}}
    world.elasticsearch_says["/urindex/_settings/index.blocks.*"] = (200, blocked)
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == status
    if status == "failed":
        assert result.detail == (
            f"Elasticsearch refuses writes to urindex_1500000000000: index.blocks.{block}; "
            "the Universal Recommender could not replace this model by the new one"
        )
        assert "PUT /urindex_1500000000000/_settings" in result.next_step


@pytest.mark.parametrize(("asked", "index"), [("pio_meta*", "pio_meta_*"), ("urindex", "urindex")])
async def test_a_block_that_keeps_its_own_setting_from_being_read_fails(world: World, asked: str, index: str) -> None:
    world.file("engine/engine.json", json.dumps(UNIVERSAL))
    world.elasticsearch_says["/urindex/_settings/index.blocks.*"] = (200, {})
    reason = "blocked by: [FORBIDDEN/9/index metadata (api)];"  # of Elasticsearch 6.8.23
    refused = (403, {"error": {"type": "cluster_block_exception", "reason": reason}, "status": 403})
    world.elasticsearch_says[f"/{asked}/_settings/index.blocks.*"] = refused
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "failed"
    assert f"Elasticsearch refuses writes to {index}: index.blocks.metadata; " in result.detail


async def test_an_alias_that_does_not_exist_yet_is_no_problem(world: World) -> None:
    world.file("engine/engine.json", json.dumps(UNIVERSAL))
    missing = (404, {"error": {"reason": "no such index"}, "status": 404})
    world.elasticsearch_says["/urindex/_settings/index.blocks.*"] = missing
    assert (await world.check(skip=FEW))["elasticsearch"].status == "ok"


async def test_a_user_who_may_not_read_blocks_and_disks_is_no_failure(world: World) -> None:
    for path in ("/pio_meta*/_settings/index.blocks.*", "/_cluster/settings", "/_nodes/stats/fs"):
        world.elasticsearch_says[path] = (403, {"error": "no"})
    assert (await world.check(skip=FEW))["elasticsearch"].status == "ok"


async def test_a_cluster_without_a_master_fails(world: World) -> None:
    world.elasticsearch_says["/_cluster/health"] = (503, {"error": {"reason": "no master"}})
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "failed"
    assert result.detail.endswith("does not report the cluster's health: no master")


async def test_health_that_the_user_may_not_see_is_a_warning(world: World) -> None:
    world.elasticsearch_says["/_cluster/health"] = (403, {"error": "no"})
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "warning"
    assert "the user may not read the cluster's health" in result.detail


@pytest.mark.parametrize(("asked", "status"), [("elasticsearch", "ok"), ("prod", "warning"), ("search", "ok")])
async def test_another_name_than_the_one_that_was_set_is_a_warning(world: World, asked: str, status: str) -> None:
    world.elasticsearch_says["/"] = (200, {"cluster_name": "search", "version": {"number": "6.8.23"}})
    world.blocks = {"elasticsearch": {"cluster_name": asked}}
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == status
    if status == "warning":
        assert "'search', not 'prod'" in result.detail


async def test_an_elasticsearch_that_predictionio_was_not_made_for_is_a_warning(world: World) -> None:
    world.elasticsearch_says["/"] = (200, {"cluster_name": "elasticsearch", "version": {"number": "7.17.9"}})
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "warning"
    assert result.detail == "this is Elasticsearch 7.17.9, but PredictionIO 0.14.0 was made for 5 and 6"


async def test_what_is_no_elasticsearch_is_told(world: World) -> None:
    world.elasticsearch_says["/"] = (200, {"hello": "world"})
    result = (await world.check(skip=FEW))["elasticsearch"]
    assert result.status == "failed"
    assert "this is not Elasticsearch: the answer has no cluster name" in result.detail


# The model

HIGH = "cluster.routing.allocation.disk.watermark.high"
EXISTS = {"exists": {"field": "purchase"}}


def served(world: World, *, mib: int = 0, free: int = 80, high: str = "90%") -> None:
    """Serve a model of a size, on one node of 100 GiB with so many GiB free."""
    world.file("engine/engine.json", json.dumps(UNIVERSAL))
    world.elasticsearch_says |= {
        "/_alias/urindex": (200, {"urindex_1500000000000": {"aliases": {"urindex": {}}}}),
        "/urindex/_count": (200, {"count": 60}),
        "/urindex/_stats/store": (200, {"_all": {"total": {"store": {"size_in_bytes": mib * 1024**2}}}}),
        "/urindex/_settings/index.blocks.*": (200, {}),
        "/_nodes/stats/fs": (200, {"nodes": {"1": disk(free=free)}}),
        "/_cluster/settings": (200, {"defaults": {**WATERMARKS, HIGH: high}}),
    }


@pytest.mark.parametrize(
    ("mib", "free", "high", "status"),
    [
        (1024, 80, "90%", "ok"),
        (1024, 13, "90%", "ok"),
        (1024, 11, "90%", "failed"),  # 1 GiB above the watermark, for a copy and a new model of 1 GiB each
        (1024, 11, "1gb", "ok"),
        (40 * 1024, 80, "90%", "failed"),
        (1024, 5, "90%", "failed"),
    ],
)
async def test_a_copy_of_the_model_needs_room_below_the_high_watermark(
    world: World, mib: int, free: int, high: str, status: str
) -> None:
    served(world, mib=mib, free=free, high=high)
    world.blocks = {"model": {"keep_models": 2}}
    result = (await world.check(skip=FEW))["model"]
    assert result.status == status, result.detail
    if status == "failed":
        assert f"need {2 * mib}.0 MiB of Elasticsearch's disks, and " in result.detail
        assert "set keep_models = 1 in pio-tf.hcl" in result.next_step


async def test_room_that_elasticsearch_does_not_tell_is_no_failure(world: World) -> None:
    served(world, mib=1024)
    world.elasticsearch_says["/_nodes/stats/fs"] = (403, {"error": "no"})
    world.blocks = {"model": {"keep_models": 2}}
    result = (await world.check(skip=FEW))["model"]
    assert (result.status, result.detail) == (
        "ok",
        "urindex_1500000000000 is served; Elasticsearch does not tell its room",
    )


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        ((200, {"count": 3}), "ok", "urindex_1500000000000 is served"),
        ((200, {"count": 0}), "warning", "model.sample_query finds nothing in the model urindex that is served"),
        (
            (400, {"error": {"reason": "no [query] registered for [exist]"}, "status": 400}),
            "failed",
            "Elasticsearch refuses model.sample_query: no [query] registered for [exist]",
        ),
    ],
)
async def test_the_sample_query_is_tried_before_a_training(
    world: World, answer: tuple[int, Any], status: str, detail: str
) -> None:
    served(world)
    world.elasticsearch_says["/urindex/_count"] = answer
    world.blocks = {"model": {"sample_query": EXISTS}}
    result = (await world.check(skip=FEW))["model"]
    assert (result.status, result.detail) == (status, detail)
    asked = [one.json for one in world.elasticsearch.questions if one.path == "/urindex/_count"]
    assert asked == [{"query": EXISTS}]


async def test_an_alias_of_two_indices_can_not_be_kept(world: World) -> None:
    served(world)
    two: dict[str, Any] = {"urindex_1": {"aliases": {"urindex": {}}}, "urindex_2": {"aliases": {"urindex": {}}}}
    world.elasticsearch_says["/_alias/urindex"] = (200, two)
    world.blocks = {"model": {"keep_models": 2}}
    result = (await world.check(skip=FEW))["model"]
    assert result.status == "failed"
    assert "alias urindex points to 2 indices" in result.detail


async def test_before_the_first_training_and_for_another_engine_there_is_no_model(world: World) -> None:
    world.blocks = {"model": {"keep_models": 2}}
    result = (await world.check(skip=FEW))["model"]
    assert (result.status, "is not the Universal Recommender" in result.detail) == ("skipped", True)
    served(world)
    world.elasticsearch_says["/_alias/urindex"] = (404, {"error": "alias [urindex] missing", "status": 404})
    result = (await world.check(skip=FEW))["model"]
    assert (result.status, result.detail) == ("ok", "there is no model urindex yet")


# HDFS and ZooKeeper


async def test_a_name_node_that_is_down_is_named(world: World) -> None:
    world.name_node = down()
    result = (await world.check(skip=FEW))["hdfs"]
    assert (result.status, result.detail) == (
        "failed",
        f"name node {SERVICES}:{world.name_node}: connection refused",
    )


@pytest.mark.parametrize(("up", "status"), [(2, "ok"), (1, "warning"), (0, "failed")])
async def test_one_name_node_of_a_nameservice_is_enough(world: World, up: int, status: str) -> None:
    world.script("hadoop/bin/hdfs", 'echo "$*" >>~/asked')
    async with answering(NAME_NODE) as first, answering(NAME_NODE) as second:
        ports = [first if up > 0 else down(), second if up > 1 else down()]
        nodes = [f"{SERVICES}:{port}" for port in ports]
        world.blocks = {"hdfs": {"namenode": None, "nameservice": "mycluster", "namenodes": nodes}}
        result = (await world.check(skip=FEW))["hdfs"]
    assert result.status == status
    assert result.detail.count("connection refused") == 2 - up
    asked = world.home / "asked"
    assert not asked.exists() if up == 0 else asked.read_text() == "dfs -test -d hdfs://mycluster/models\n"
    if up == 2:
        assert result.detail == f"name nodes {', '.join(sorted(nodes))} answer; /models exists"


async def test_directories_are_looked_for_where_there_is_a_client(world: World) -> None:
    assert "the driver has no ~/hadoop/bin/hdfs" in (await world.check(skip=FEW))["hdfs"].detail
    world.script("hadoop/bin/hdfs", '[ "$JAVA_HOME" ] && echo "$*" >>~/asked')
    world.settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"{hdfs(world)}/spark-events"}
    result = (await world.check(skip=FEW))["hdfs"]
    assert result.status == "ok"
    assert sorted((world.home / "asked").read_text().splitlines()) == [
        f"dfs -test -d {hdfs(world)}/models",
        f"dfs -test -d {hdfs(world)}/spark-events",
    ]


async def test_a_missing_directory_comes_with_the_command_that_makes_it(world: World) -> None:
    world.script("hadoop/bin/hdfs", "echo 'WARN util.NativeCodeLoader: Unable to load' >&2; [[ $* != */spark-events ]]")
    world.settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"{hdfs(world)}/spark-events"}
    result = (await world.check(skip=FEW))["hdfs"]
    assert (result.status, result.detail) == (
        "failed",
        f"{hdfs(world)}/spark-events does not exist, or is no directory",
    )
    assert result.next_step == f"on the driver: ~/hadoop/bin/hdfs dfs -mkdir -p {hdfs(world)}/spark-events"


LISTED = "drwxr-xr-x   - hdfs supergroup          0 2026-11-29 10:00"
"""A directory as `hdfs dfs -ls -d` shows it, but for its path."""


def without_models(world: World, *listed: str, groups: str = "ubuntu : ubuntu adm") -> None:
    """Install an `hdfs` client that finds no models, but these directories, and these groups of the user."""
    lines = "".join(f" '{line}'" for line in listed)
    world.script(
        "hadoop/bin/hdfs",
        f"""case $* in
        *-test*) exit 1 ;;
        *-ls*) echo "$*" >>~/asked; printf '%s\\n'{lines}; echo "ls: No such file or directory" >&2; exit 1 ;;
        groups) echo '{groups}' ;;
        esac""",
    )


@pytest.mark.parametrize(
    ("rights", "groups"),
    [
        (LISTED.replace("r-x ", "rwx ", 1), "ubuntu : ubuntu adm"),
        (LISTED.replace("r-x ", "rwt ", 1), "ubuntu : ubuntu adm"),
        (LISTED.replace("hdfs", "ubuntu"), "ubuntu : "),
        (LISTED, "ubuntu : ubuntu supergroup"),
        (LISTED.replace("r-x ", "r-x+", 1), "ubuntu : ubuntu adm"),
        ("what no Hadoop prints", "ubuntu : ubuntu adm"),
    ],
)
async def test_a_missing_directory_of_models_is_a_warning_if_pio_may_create_it(
    world: World, rights: str, groups: str
) -> None:
    without_models(world, f"{rights} {hdfs(world)}/", groups=groups)
    result = (await world.check(skip=FEW))["hdfs"]
    assert (result.status, result.detail) == (
        "warning",
        f"{hdfs(world)}/models does not exist: PredictionIO creates it with the first model",
    )


async def test_a_missing_directory_of_models_that_pio_may_not_create_fails(world: World) -> None:
    without_models(world, f"{LISTED} {hdfs(world)}/")
    result = (await world.check(skip=FEW))["hdfs"]
    assert result.status == "failed"
    assert result.detail == (
        f"{hdfs(world)}/models does not exist, and ubuntu may not create it: "
        f"{hdfs(world)}/ is drwxr-xr-x hdfs supergroup"
    )
    assert result.next_step.endswith(f"hdfs dfs -chown ubuntu {hdfs(world)}/models")


async def test_the_nearest_parent_decides_who_may_create_the_directory_of_models(world: World) -> None:
    world.blocks = {"hdfs": {"models_path": "/pio/prod/models"}}
    without_models(world, f"{LISTED} {hdfs(world)}/", f"{LISTED.replace('hdfs', 'ubuntu')} {hdfs(world)}/pio")
    assert (await world.check(skip=FEW))["hdfs"].status == "warning"
    paths = " ".join(f"{hdfs(world)}{path}" for path in ("/", "/pio", "/pio/prod", "/pio/prod/models"))
    assert (world.home / "asked").read_text() == f"dfs -ls -d {paths}\n"


async def test_a_file_in_the_place_of_the_directory_of_models_fails(world: World) -> None:
    root, file = f"{LISTED.replace('hdfs', 'ubuntu')} {hdfs(world)}/", f"-{LISTED[1:]} {hdfs(world)}/models"
    without_models(world, root, file)
    result = (await world.check(skip=FEW))["hdfs"]
    assert (result.status, result.detail) == ("failed", f"{hdfs(world)}/models is a file, not a directory")


async def test_a_missing_directory_for_models_and_event_log_fails_as_spark_does(world: World) -> None:
    without_models(world, f"{LISTED.replace('hdfs', 'ubuntu')} {hdfs(world)}/")
    world.settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"{hdfs(world)}/models"}
    result = (await world.check(skip=FEW))["hdfs"]
    assert (result.status, result.detail) == ("failed", f"{hdfs(world)}/models does not exist, or is no directory")


@pytest.mark.parametrize("name", ["hdfs", "zookeeper"])
async def test_a_service_that_accepts_connections_and_hangs_has_no_answer(world: World, name: str) -> None:
    async with accepting() as port:
        world.name_node, world.zookeeper = (port, world.zookeeper) if name == "hdfs" else (world.name_node, port)
        result = (await world.check(skip=FEW, limits=Limits(connect=0.5)))[name]
    assert result.status == "failed"
    assert result.detail.endswith(f"{SERVICES}:{port}: no answer within 0.5 s")
    assert Limits().connect == 5.0


async def test_a_zookeeper_without_a_quorum_fails(world: World) -> None:
    async with answering({b"srvr": b"This ZooKeeper instance is not currently serving requests\n"}) as port:
        world.zookeeper = port
        result = (await world.check(skip=FEW))["zookeeper"]
    assert (result.status, result.detail.partition(": ")[2]) == (
        "failed",
        "it serves no requests: too few servers of its quorum run",
    )


async def test_what_closes_a_connection_without_a_word_is_no_zookeeper(world: World) -> None:
    async with answering({b"srvr": b""}) as port:
        world.zookeeper = port
        result = (await world.check(skip=FEW))["zookeeper"]
    assert result.detail == f"{SERVICES}:{port}: it closed the connection without an answer"


async def test_a_client_that_cannot_look_is_a_warning(world: World) -> None:
    world.script("hadoop/bin/hdfs", "echo 'test: Call From driver failed: Server IPC version 9' >&2; exit 1")
    result = (await world.check(skip=FEW))["hdfs"]
    assert result.status == "warning"
    assert "Server IPC version 9" in result.detail


async def test_a_client_that_hangs_ends_in_time(world: World) -> None:
    world.script("hadoop/bin/hdfs", "sleep 60")
    result = (await world.check(skip=FEW, limits=Limits(hdfs=0.5)))["hdfs"]
    assert (result.status, result.detail) == ("failed", "no answer within 0.5 s")


@pytest.mark.parametrize(
    ("up", "of", "status"), [(3, 3, "ok"), (2, 3, "warning"), (1, 3, "failed"), (0, 1, "failed"), (1, 2, "failed")]
)
async def test_zookeeper_needs_more_than_half_of_its_hosts(world: World, up: int, of: int, status: str) -> None:
    hosts = [f"127.0.1.{n}" for n in range(1, of + 1)]
    world.zookeeper = free_port(tuple(hosts))
    world.blocks = {"hbase": {"zookeeper_quorum": hosts}}
    async with AsyncExitStack() as stack:
        for host in hosts[:up]:
            await stack.enter_async_context(answering(ZOOKEEPER, address=host, port=world.zookeeper))
        result = (await world.check(skip=FEW))["zookeeper"]
    assert result.status == status
    assert result.detail.count("connection refused") == of - up


# A database


async def test_a_database_and_its_jar_are_looked_for(world: World) -> None:
    database = {"type": "jdbc", "user": "pio", "password": "hunter2", "driver_jar": "~/lib/postgresql.jar"}
    async with accepting() as port:
        world.blocks = {
            "source": {"PGSQL": {**database, "url": f"jdbc:postgresql://{SERVICES}:{port}/pio"}},
            "repository": {"modeldata": {"source": "PGSQL"}},
        }
        result = (await world.check(skip=FEW))["jdbc"]
        assert (result.status, result.detail) == ("failed", "~/lib/postgresql.jar is not a file on the driver")
        world.file("lib/postgresql.jar", "")
        assert (await world.check(skip=FEW))["jdbc"].status == "ok"
    result = (await world.check(skip=FEW))["jdbc"]
    assert (result.status, result.detail) == ("failed", f"{SERVICES}:{port}: connection refused")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("jdbc:postgresql://db-1:5433/pio?ssl=true", [("db-1", 5433)]),
        ("jdbc:postgresql://db-1,db-2:5433/pio", [("db-1", 5432), ("db-2", 5433)]),
        ("jdbc:mysql://db-1/pio", [("db-1", 3306)]),
        ("jdbc:mysql:loadbalance://db-1,db-2/pio", [("db-1", 3306), ("db-2", 3306)]),
        ("jdbc:postgresql:pio", [("localhost", 5432)]),
    ],
)
def test_the_servers_of_a_jdbc_url(url: str, expected: list[tuple[str, int]]) -> None:
    assert jdbc_addresses(url) == expected


async def test_what_no_repository_uses_is_skipped(world: World) -> None:
    database = {"type": "jdbc", "user": "pio", "password": "x", "driver_jar": "~/p.jar", "url": "jdbc:mysql://h/p"}
    world.blocks = {
        "source": {"PGSQL": database},
        "repository": {name: {"source": "PGSQL"} for name in ("metadata", "eventdata", "modeldata")},
    }
    world.left_out = ("elasticsearch", "hbase", "hdfs")
    results = await world.check(skip=[*FEW, "jdbc"])
    assert [results[name].status for name in ("elasticsearch", "hdfs", "zookeeper")] == ["skipped"] * 3


# Spark's cluster


async def test_workers_with_room_are_counted(world: World) -> None:
    result = (await world.check(skip=["pio-status"]))["spark"]
    assert result.detail == "2 workers ALIVE, each with room for an executor of 20480 MiB and 4 cores"


async def test_a_worker_that_is_not_alive_is_named_with_what_spark_says(world: World) -> None:
    world.workers[1]["state"] = "DEAD"
    result = (await world.check(skip=["pio-status"]))["spark"]
    assert (result.status, result.detail) == (
        "failed",
        "the master lacks 1 of its workers: worker-2 (127.0.0.4): DEAD",
    )


async def test_a_worker_that_is_there_twice_counts_by_the_one_that_is_alive(world: World) -> None:
    world.workers.append(worker("127.0.0.4", state="DEAD"))
    assert (await world.check(skip=["pio-status"]))["spark"].status == "ok"


async def test_a_worker_without_memory_is_named_with_who_holds_it(world: World) -> None:
    world.workers[0] |= {"memoryused": 20480}
    world.apps.append({"name": "PredictionIO Training: yesterday", "state": "RUNNING"})
    result = (await world.check(skip=["pio-status"]))["spark"]
    assert result.status == "failed"
    assert "worker-1 has 8520 of 29000 MiB and 4 of 4 cores free" in result.detail
    assert "held by PredictionIO Training: yesterday" in result.detail
    assert "worker-2" not in result.detail


async def test_a_worker_without_cores_is_named(world: World) -> None:
    world.workers[1] |= {"coresused": 1}
    result = (await world.check(skip=["pio-status"]))["spark"]
    assert "worker-2 has 29000 of 29000 MiB and 3 of 4 cores free" in result.detail


async def test_workers_that_are_too_small_come_with_what_to_change(world: World) -> None:
    world.settings["spark.executor.memory"] = "40g"
    result = (await world.check(skip=["pio-status"]))["spark"]
    assert result.status == "failed"
    assert "held by" not in result.detail
    assert "spark.executor_memory" in result.next_step


async def test_the_memory_that_engine_json_asks_for_is_what_counts(world: World) -> None:
    world.file(
        "engine/engine.json",
        '{"id": "x", "engineFactory": "y", "sparkConf": {"spark.executor.memory": "40g"}}',
    )
    assert "an executor of 40960 MiB" in (await world.check(skip=["pio-status"]))["spark"].detail


async def test_a_master_that_is_down_comes_with_where_its_log_is(world: World) -> None:
    world.spark = free_port(("127.0.0.2",))
    result = (await world.check(skip=["pio-status"]))["spark"]
    assert result.detail == f"the master does not answer at 127.0.0.2:{world.spark}: connection refused"
    assert "journalctl -u pio-tf-spark" in result.next_step


async def test_what_is_no_spark_master_is_told(world: World) -> None:
    world.workers[0].pop("memory")
    detail = (await world.check(skip=["pio-status"]))["spark"].detail
    assert detail == f"the program at http://127.0.0.2:{world.spark}/json/ is not a Spark master"


def hdfs(world: World) -> str:
    return f"hdfs://{SERVICES}:{world.name_node}"
