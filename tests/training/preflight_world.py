"""A driver that is fit for a training, and the services around it on loopback; each test breaks one thing."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest_asyncio

from pio_tf.config.blocks import MachinesBlock
from pio_tf.config.sizing import Sizing
from pio_tf.model import MachineOutput, Outputs
from pio_tf.pio.build_info import BUILD_INFO
from pio_tf.pio.secrets import resolve_secrets
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.preflight import CheckResult, Limits, run_checks
from tests.pio.java_class import object_class
from tests.support.ssh_cluster import ADDRESSES, QUICK, TestCluster
from tests.training.elasticsearch_server import Node, Question, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.events import Event

SERVICES = "127.0.0.2"
OUTPUTS = Outputs(
    cluster="ur",
    region="eu-west-1",
    machines=(
        MachineOutput("driver", "driver", "i-driver", ADDRESSES["driver"]),
        MachineOutput("master", "master", "i-master", ADDRESSES["master"]),
        MachineOutput("worker-1", "worker", "i-worker-1", ADDRESSES["worker-1"]),
        MachineOutput("worker-2", "worker", "i-worker-2", ADDRESSES["worker-2"]),
    ),
)
SIZING = Sizing(driver_memory="20g", executor_memory="20g", executor_cores=4, executors=2)
SETTINGS = {
    "spark.master": "spark://127.0.0.2:7077",
    "spark.driver.memory": "20g",
    "spark.executor.memory": "20g",
    "spark.executor.cores": "4",
}
ENGINE = {"id": "default", "engineFactory": "com.actionml.RecommendationEngine", "algorithms": []}
WATERMARKS = {
    f"cluster.routing.allocation.disk.watermark.{name}": part
    for name, part in (("low", "85%"), ("high", "90%"), ("flood_stage", "95%"))
}
"""Elasticsearch 6's defaults."""
NAME_NODE = {
    b"GET /\r\n": b"HTTP/1.1 404 Not Found\r\nContent-type: text/plain\r\n\r\n"
    b"It looks like you are making an HTTP request to a Hadoop IPC port. "
    b"This is not the correct port for the web interface on this daemon.\r\n"
}
"""How Hadoop's RPC server, which reads 4 and then 3 bytes of a new connection, answers an HTTP client."""
ZOOKEEPER = {
    b"srvr": b"Zookeeper version: 3.4.6-1569965, built on 02/20/2014 09:09 GMT\nMode: standalone\n",
    b"ruok": b"ruok is not executed because it is not in the whitelist.\n",
}
"""The answers of ZooKeeper; those of 3.5 and later to other words are like the second."""
JAVA_8 = 'openjdk version "1.8.0_412"'


def never() -> None:
    """Fail: no test may ask for a client of AWS."""
    raise AssertionError("AWS was asked for a secret")


def worker(host: str, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a worker as Spark 2.4's /json/ has it."""
    told = {"cores": 4, "coresused": 0, "memory": 29000, "memoryused": 0, "state": "ALIVE"}
    return {"id": f"worker-{host}", "host": host, "port": 41000, **told, **changed}


def disk(*, free: int) -> dict[str, Any]:
    """Return a node of 100 GiB as Elasticsearch's statistics have it.

    Args:
        free: GiB.
    """
    total = {"total_in_bytes": 100 * 1024**3, "free_in_bytes": free * 1024**3, "available_in_bytes": free * 1024**3}
    return {"name": "es-1", "roles": ["master", "data", "ingest"], "fs": {"total": total}}


@dataclass
class World:
    """The findings of the checks. Lists and dictionaries may be changed until :meth:`check` is called."""

    cluster: TestCluster
    elasticsearch: Node
    name_node: int
    zookeeper: int
    spark: int
    workers: list[dict[str, Any]]
    apps: list[dict[str, Any]]
    elasticsearch_says: dict[str, tuple[int, Any]]
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    """Blocks that pio-tf.hcl does not have."""
    instances: dict[str, Any] = field(default_factory=dict)
    """Ids of machines that exist already, as the machines block names them."""
    environment_secrets: tuple[str, ...] = ()
    """Values that env() has given."""
    events: list[Event] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The driver's home directory."""
        return self.cluster.driver.home

    def script(self, path: str, text: str) -> None:
        """Write a program on the driver."""
        self.file(path, f"#!/bin/bash\n{text}\n").chmod(0o755)

    def file(self, path: str, text: str) -> Path:
        """Write a file on the driver."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def built_for(self, spark: str) -> None:
        """Let PredictionIO's assembly jar say which Spark it was built for."""
        jar = self.file("pio/lib/pio-assembly-0.14.0.jar", "")
        with ZipFile(jar, "w") as archive:
            archive.writestr(BUILD_INFO, object_class({"version": "0.14.0", "sparkVersion": spark}))

    def java(self, version: str) -> None:
        """Set the version that JAVA_HOME's java reports."""
        self.script("java/bin/java", f"echo '{version}' >&2")

    def config(self) -> Config:
        """Return the configuration of this world."""
        node = self.elasticsearch
        blocks: dict[str, dict[str, Any]] = {
            "pio": {"engine_dir": "~/engine", "home": "~/pio", "version": "0.14.0"},
            "spark": {"home": "~/spark", "version": "2.4.8", "master_ui_port": self.spark},
            "elasticsearch": {"hosts": [f"{node.scheme}://{node.host}:{node.port}"]},
            "hdfs": {"namenode": SERVICES, "port": self.name_node, "hadoop_home": "~/hadoop"},
            "hbase": {"hosts": [SERVICES], "zookeeper_port": self.zookeeper},
        }
        for name, block in self.blocks.items():
            blocks[name] = {**blocks.get(name, {}), **block}
        config = self.cluster.config(**blocks)
        machines = MachinesBlock.model_validate(self.instances) if self.instances else config.machines
        config = config.model_copy(update={**dict.fromkeys(self.left_out), "machines": machines})
        config._environment_secrets = self.environment_secrets
        return config

    async def check(
        self, *, skip: Collection[str] = (), limits: Limits | None = None, now: Callable[[], float] | None = None
    ) -> dict[str, CheckResult]:
        """Return every result by its name."""
        config = self.config()
        kwargs = {"now": now} if now else {}
        async with self.remote() as remote:
            results = await run_checks(
                config,
                remote,
                outputs=OUTPUTS,
                sizing=SIZING,
                secrets=resolve_secrets(config, lambda _service: never()),
                settings=self.settings,
                skip=skip,
                reporter=self.events.append,
                limits=limits or Limits(),
                **kwargs,
            )
        return {result.name: result for result in results}

    @asynccontextmanager
    async def remote(self) -> AsyncIterator[ClusterConnection]:
        """Connect to driver and master."""
        targets = self.cluster.targets("driver", "master")
        async with ClusterConnection(self.config(), targets, retry=QUICK) as remote:
            yield remote


@asynccontextmanager
async def accepting(address: str = SERVICES) -> AsyncIterator[int]:
    """Open a port that accepts connections and says nothing, as the kernel does for a process that hangs."""
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.ensure_future(reader.read())
        waiting = asyncio.ensure_future(release.wait())
        await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, waiting):
            task.cancel()
        writer.close()

    server = await asyncio.start_server(serve, address, 0)
    yield server.sockets[0].getsockname()[1]
    release.set()
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def answering(answers: Mapping[bytes, bytes], *, address: str = SERVICES, port: int = 0) -> AsyncIterator[int]:
    """Open a port that answers questions of one length and closes the connection; yield it."""
    (length,) = {len(question) for question in answers}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            writer.write(answers[await reader.readexactly(length)])
        writer.close()

    server = await asyncio.start_server(serve, address, port)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def spark_master(says: Mapping[str, Any]) -> AsyncIterator[int]:
    """Run Spark's master on the master's address; yield its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /json/ ")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/json\r\n\r\n" + json.dumps(says).encode())
        writer.close()

    server = await asyncio.start_server(serve, ADDRESSES["master"], 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest_asyncio.fixture
async def world(cluster: TestCluster) -> AsyncIterator[World]:
    """Make a cluster on which every check passes."""
    await cluster.servers["master"].start()
    workers = [worker(ADDRESSES["worker-1"]), worker(ADDRESSES["worker-2"])]
    apps: list[dict[str, Any]] = []
    says: dict[str, tuple[int, Any]] = {
        "/": (200, {"cluster_name": "elasticsearch", "version": {"number": "6.8.23"}}),
        "/_cluster/health": (200, {"cluster_name": "elasticsearch", "status": "yellow"}),
        "/pio_meta*/_settings/index.blocks.*": (200, {}),
        "/_cluster/settings": (200, {"persistent": {}, "transient": {}, "defaults": WATERMARKS}),
        "/_nodes/stats/fs": (200, {"nodes": {"x": disk(free=60)}}),
    }

    def answer(question: Question) -> tuple[int, Any]:
        return says[question.path.partition("?")[0]]

    async with AsyncExitStack() as stack:
        made = World(
            cluster,
            elasticsearch=await stack.enter_async_context(listening(answer)),
            name_node=await stack.enter_async_context(answering(NAME_NODE)),
            zookeeper=await stack.enter_async_context(answering(ZOOKEEPER)),
            spark=await stack.enter_async_context(
                spark_master({"url": "spark://x:7077", "workers": workers, "activeapps": apps, "status": "ALIVE"})
            ),
            workers=workers,
            apps=apps,
            elasticsearch_says=says,
        )
        _install(made)
        yield made


def _install(world: World) -> None:
    """Write the files that a driver has on its disk."""
    world.file(".profile", "export JAVA_HOME=$HOME/java\n")
    world.java(JAVA_8)
    world.script("spark/bin/spark-submit", "exit 1")
    world.file("spark/RELEASE", "Spark 2.4.8 (git revision 4be4064) built for Hadoop 2.7.3\nBuild flags: …\n")
    master = world.cluster.servers["master"].home / "spark"
    master.mkdir(parents=True)
    (master / "RELEASE").write_text("Spark 2.4.8 (git revision 4be4064) built for Hadoop 2.7.3\n")
    world.file("engine/build.sbt", 'name := "ur"\n')
    world.file("engine/engine.json", json.dumps(ENGINE))
    world.file("engine/target/scala-2.11/ur_2.11-0.7.jar", "")
    world.script("pio/bin/pio", '[ "$1" = status ] && echo "[INFO] [Management$] Your system is all ready to go."')
