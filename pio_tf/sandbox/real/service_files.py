"""The files and the command of each real service."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.sandbox.class_archive import QUICK
from pio_tf.sandbox.java.artifacts import fetch_artifacts
from pio_tf.sandbox.java.compiler import compile_java
from pio_tf.sandbox.java.runtime import find_java

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROGRAMS = Path(__file__).parent / "programs"
USER = "elastic"
"""The user of Elasticsearch, if it has a password."""
NAMES = ("elasticsearch", "zookeeper", "hbase", "namenode", "datanode")
"""The services, in the order in which they need each other."""

_OPTIONS = (
    *QUICK,
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
)
"""One processor serves all of them in a test: the fewest threads, and the quickest start. The verification of bytecode
would take a third of its CPU time."""
_HEAP_MIB = {"elasticsearch": 384, "zookeeper": 64, "hbase": 320, "namenode": 128, "datanode": 96}
MEMORY_MIB = 1200
"""Memory of all services together, with a margin: a JVM takes some 80 MiB besides its heap."""
_SESSION_MILLISECONDS = 600_000
"""HBase's session in ZooKeeper. A server of HBase that finds its session expired ends, but `service hang` may last."""


@dataclass(frozen=True)
class Ports:
    """The ports of the services, with their usual numbers. HBase takes free ones, which clients find in ZooKeeper."""

    elasticsearch: int = 9200
    transport: int = 9300
    zookeeper: int = 2181
    namenode: int = 9000
    namenode_http: int = 50070
    datanode: int = 50010
    datanode_ipc: int = 50020
    datanode_http: int = 50075


@dataclass(frozen=True)
class JavaPrograms:
    """The Java that runs the services, and their class paths."""

    java: Path
    elasticsearch: tuple[Path, ...]
    storage: tuple[Path, ...]


def find_programs(cache: Path | None = None) -> JavaPrograms:
    """Return the services' programs. Fetch and compile what the cache lacks: 190 MB, half a minute or more.

    Raises:
        SandboxError: they cannot be fetched.
    """
    elasticsearch, storage = (fetch_artifacts(name, cache=cache) for name in ("elasticsearch", "storage"))
    launcher = compile_java([_PROGRAMS / "Elasticsearch.java"], class_path=elasticsearch, cache=cache)
    sources = [_PROGRAMS / "HBase.java", _PROGRAMS / "BoundSocketFactory.java"]
    launchers = compile_java(sources, class_path=storage, cache=cache)
    return JavaPrograms(
        java=find_java(cache) / "bin" / "java",
        elasticsearch=(launcher, *elasticsearch),
        storage=(launchers, *storage),
    )


@dataclass(frozen=True)
class ServiceSpec:
    """The facts by which a service runs."""

    name: str
    directory: Path
    """Its configuration, data and log."""
    command: tuple[str, ...]
    format: tuple[str, ...] = ()
    """A command that runs once, before the first start."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def log(self) -> Path:
        """The output of its process."""
        return self.directory / f"{self.name}.log"

    @property
    def ready(self) -> Path:
        """A file that HBase creates when it can serve."""
        return self.directory / "ready"


def lay_out_services(
    directory: Path, programs: JavaPrograms, *, host: str, ports: Ports, password: str = ""
) -> tuple[ServiceSpec, ...]:
    """Write the configuration of all services, and return how they run, in the order of :data:`NAMES`.

    Args:
        directory: their files.
        programs: what runs.
        host: the address of all.
        ports: their ports.
        password: Elasticsearch's; empty: it asks for none.
    """
    for name in NAMES:
        (directory / name / "tmp").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_PROGRAMS / "log4j.properties", directory / name / "log4j.properties")
    return (
        _elasticsearch(directory / "elasticsearch", programs, host=host, ports=ports, password=password),
        _zookeeper(directory / "zookeeper", programs, host=host, ports=ports),
        _hbase(directory / "hbase", programs, host=host, ports=ports),
        _namenode(directory / "namenode", programs, host=host, ports=ports),
        _datanode(directory / "datanode", programs, host=host, ports=ports),
    )


def _elasticsearch(directory: Path, programs: JavaPrograms, *, host: str, ports: Ports, password: str) -> ServiceSpec:
    settings = {
        "cluster.name": "elasticsearch",
        "node.name": "sandbox",
        "network.host": host,
        "http.port": ports.elasticsearch,
        "transport.tcp.port": ports.transport,
        "discovery.type": "single-node",
        "path.data": str(directory / "data"),
        "path.logs": str(directory / "logs"),
        "processors": 2,
        # The defaults are percentages, and this computer's disk may be almost full.
        "cluster.routing.allocation.disk.watermark.low": "300mb",
        "cluster.routing.allocation.disk.watermark.high": "200mb",
        "cluster.routing.allocation.disk.watermark.flood_stage": "100mb",
    }
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
    (directory / "elasticsearch.yml").write_text(text, encoding="utf-8")
    return ServiceSpec(
        name="elasticsearch",
        directory=directory,
        command=_java(directory, programs, programs.elasticsearch, "Elasticsearch", str(directory)),
        variables={"ELASTICSEARCH_CREDENTIALS": f"{USER}:{password}"} if password else {},
    )


def _zookeeper(directory: Path, programs: JavaPrograms, *, host: str, ports: Ports) -> ServiceSpec:
    settings = {
        "tickTime": 2000,
        "dataDir": directory / "data",
        "clientPort": ports.zookeeper,
        "clientPortAddress": host,
        "maxSessionTimeout": _SESSION_MILLISECONDS,
    }
    configuration = directory / "zoo.cfg"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
    main = ("org.apache.zookeeper.server.ZooKeeperServerMain", str(configuration))
    return ServiceSpec("zookeeper", directory, _java(directory, programs, programs.storage, *main))


def _hbase(directory: Path, programs: JavaPrograms, *, host: str, ports: Ports) -> ServiceSpec:
    settings = {
        "hbase.rootdir": (directory / "data").as_uri(),
        "hbase.tmp.dir": directory / "tmp",
        "hbase.cluster.distributed": "true",
        "hbase.zookeeper.quorum": host,
        "hbase.zookeeper.property.clientPort": ports.zookeeper,
        "zookeeper.session.timeout": _SESSION_MILLISECONDS,
        "zookeeper.recovery.retry": 60,
        # The master waits for seconds for more region servers, and either server sleeps that long between two looks.
        "hbase.master.wait.on.regionservers.maxtostart": 1,
        "hbase.regionserver.msginterval": 200,
        "hbase.server.thread.wakefrequency": 500,
        **{f"hbase.{server}.hostname": host for server in ("master", "regionserver")},
        **{f"hbase.{server}.ipc.address": host for server in ("master", "regionserver")},
        **{f"hbase.{server}.info.port": -1 for server in ("master", "regionserver")},
        **{f"hbase.{server}.handler.count": 5 for server in ("master", "regionserver")},
    }
    write_properties(directory / "hbase-site.xml", settings)
    command = _java(directory, programs, programs.storage, "HBase", str(directory / "ready"))
    return ServiceSpec("hbase", directory, command)


def _hdfs(directory: Path, *, host: str, ports: Ports) -> dict[str, object]:
    return {
        "fs.defaultFS": f"hdfs://{host}:{ports.namenode}",
        "hadoop.tmp.dir": directory / "tmp",
        "dfs.replication": 1,
    }


def _namenode(directory: Path, programs: JavaPrograms, *, host: str, ports: Ports) -> ServiceSpec:
    settings = {
        **_hdfs(directory, host=host, ports=ports),
        "dfs.namenode.name.dir": (directory / "data").as_uri(),
        "dfs.namenode.http-address": f"{host}:{ports.namenode_http}",
        "dfs.namenode.safemode.extension": 0,
        "dfs.namenode.handler.count": 5,
        # An address of loopback has no name.
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    }
    write_properties(directory / "hdfs-site.xml", settings)
    (directory / "webapps" / "hdfs").mkdir(parents=True, exist_ok=True)  # it does not start without one
    command = _java(directory, programs, programs.storage, "org.apache.hadoop.hdfs.server.namenode.NameNode")
    return ServiceSpec("namenode", directory, command, format=(*command, "-format", "-nonInteractive"))


def _datanode(directory: Path, programs: JavaPrograms, *, host: str, ports: Ports) -> ServiceSpec:
    settings = {
        **_hdfs(directory, host=host, ports=ports),
        "dfs.datanode.data.dir": (directory / "data").as_uri(),
        "dfs.datanode.hostname": host,
        "dfs.datanode.address": f"{host}:{ports.datanode}",
        "dfs.datanode.ipc.address": f"{host}:{ports.datanode_ipc}",
        "dfs.datanode.http.address": f"{host}:{ports.datanode_http}",
        "hadoop.rpc.socket.factory.class.default": "BoundSocketFactory",
    }
    write_properties(directory / "hdfs-site.xml", settings)
    (directory / "webapps" / "datanode").mkdir(parents=True, exist_ok=True)
    command = _java(directory, programs, programs.storage, "org.apache.hadoop.hdfs.server.datanode.DataNode")
    return ServiceSpec("datanode", directory, command)


def _java(directory: Path, programs: JavaPrograms, class_path: tuple[Path, ...], *words: str) -> tuple[str, ...]:
    libraries = os.pathsep.join(str(path) for path in (directory, *class_path))
    heap, temporary = f"-Xmx{_HEAP_MIB[directory.name]}m", f"-Djava.io.tmpdir={directory / 'tmp'}"
    return (str(programs.java), heap, *_OPTIONS, temporary, "-cp", libraries, *words)


def write_properties(path: Path, settings: Mapping[str, object]) -> None:
    """Write a configuration file of Hadoop or HBase."""
    root = ET.Element("configuration")
    for name, value in settings.items():
        item = ET.SubElement(root, "property")
        ET.SubElement(item, "name").text = name
        ET.SubElement(item, "value").text = str(value)
    path.write_bytes(ET.tostring(root))
