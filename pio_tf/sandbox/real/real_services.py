"""Elasticsearch, HDFS, HBase and ZooKeeper as processes of the sandbox."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import urllib.request
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import PioTfError, SandboxError
from pio_tf.sandbox.layout import ServiceRequest, Services, ServiceStatus
from pio_tf.sandbox.processes import MARK
from pio_tf.sandbox.real.service_files import MEMORY_MIB, USER, JavaPrograms, Ports, lay_out_services
from pio_tf.sandbox.real.service_process import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Network

logger = logging.getLogger("pio_tf.sandbox")

_PROBE_SECONDS = 2.0
_START_SECONDS = 240.0


class RealServices:
    """The real services of one sandbox.

    Args:
        addresses: the sandbox's. The services have one of the last 256.
        directory: their files.
        mark: the sandbox's directory, which marks their processes.
        programs: what runs.
        with_password: whether Elasticsearch asks for one.
    """

    def __init__(
        self,
        addresses: IPv4Network,
        *,
        directory: Path,
        mark: Path,
        programs: JavaPrograms,
        with_password: bool = False,
    ) -> None:
        *_, last = addresses.subnets(new_prefix=24)
        self._host, self._ports = free_ports([str(address) for address in last.hosts()])
        directory.mkdir(parents=True, exist_ok=True)
        password = secrets.token_urlsafe(12) if with_password else ""
        self._password_file = directory / "elasticsearch-password" if password else None
        if self._password_file is not None:
            write_atomically(self._password_file, password)
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(directory), MARK: str(mark)}
        specs = lay_out_services(directory, programs, host=self._host, ports=self._ports, password=password)
        probes: dict[str, Callable[[], bool]] = {
            "elasticsearch": lambda: _elasticsearch_serves(self._host, self._ports.elasticsearch, password),
            "zookeeper": lambda: _zookeeper_serves(self._host, self._ports.zookeeper),
            "hbase": (directory / "hbase" / "ready").exists,
            "namenode": self._namenode_serves,
            "datanode": lambda: _datanode_serves(self._host, self._ports),
        }
        self._services = {
            spec.name: ServiceProcess(spec, environment=environment, is_ready=probes[spec.name], timeout=_START_SECONDS)
            for spec in specs
        }
        self._done = dict.fromkeys(self._services, 0)
        self._errors = dict.fromkeys(self._services, "")
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def _namenode_serves(self) -> bool:
        """Return whether the name node answers and, if its data node runs, has heard of that one's blocks.

        Until then it is in safe mode, and refuses every new file.
        """
        if self._services["datanode"].state == "running":
            return _datanode_serves(self._host, self._ports)
        return _facts(self._host, self._ports.namenode_http, "NameNode") is not None

    @property
    def where(self) -> Services:
        """Their address and ports."""
        return Services(
            host=self._host,
            elasticsearch=self._ports.elasticsearch,
            zookeeper=self._ports.zookeeper,
            namenode=self._ports.namenode,
            kind="real",
            elasticsearch_user=USER if self._password_file else None,
            elasticsearch_password_file=self._password_file,
        )

    async def start(self) -> None:
        """Start all services at once, and wait until they serve.

        Raises:
            SandboxError: one could not start, or this computer has not enough memory. None runs then.
        """
        check_memory(MEMORY_MIB)
        tasks = [asyncio.create_task(service.start()) for service in self._services.values()]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.stop()
            raise

    async def stop(self) -> None:
        """Kill all services: their data goes with the sandbox."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        await asyncio.gather(*(service.stop(grace=0) for service in self._services.values()))

    def follow(self, requests: Sequence[ServiceRequest]) -> None:
        """Begin to serve each new request, one at a time for a service."""
        for request in requests:
            name, task = request.name, self._tasks.get(request.name)
            if name in self._services and request.number > self._done[name] and (task is None or task.done()):
                self._tasks[name] = asyncio.create_task(self._serve(request))

    async def _serve(self, request: ServiceRequest) -> None:
        service = self._services[request.name]
        try:
            if request.state == "running":
                await service.start()
            elif request.state == "hung":
                await service.hang()
            else:
                await service.stop()
        except PioTfError as error:
            logger.warning("%s", error)
            self._errors[request.name] = str(error)
        else:
            self._errors[request.name] = ""
        finally:
            self._done[request.name] = request.number

    def statuses(self) -> tuple[ServiceStatus, ...]:
        """Return the state of every service."""
        return tuple(
            ServiceStatus(
                name=name,
                state=service.state,
                pid=service.pid,
                log=service.spec.log,
                request=self._done[name],
                error=self._errors[name],
            )
            for name, service in self._services.items()
        )


def check_memory(needed_mib: int, *, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Check that this computer has enough memory.

    Raises:
        SandboxError: it has not.
    """
    facts = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    available = int(facts["MemAvailable"].split()[0]) // 1024
    if available < needed_mib:
        raise SandboxError(
            "not enough memory for the real services",
            cause=f"they need {needed_mib} MiB, and {available} MiB are available",
            next_step="end other programs, or start the sandbox without --services real",
        )


def free_ports(hosts: Sequence[str]) -> tuple[str, Ports]:
    """Return the first address with all usual ports free. If each has one taken, return free ports of the first one."""
    for host in hosts:
        if all(_is_free(host, port) for port in asdict(Ports()).values()):
            return host, Ports()
    try:
        with ExitStack() as stack:
            listeners = [stack.enter_context(socket.socket()) for _ in asdict(Ports())]
            for listener in listeners:
                listener.bind((hosts[0], 0))
            return hosts[0], Ports(*(listener.getsockname()[1] for listener in listeners))
    except OSError as error:
        raise SandboxError(
            f"the real services cannot listen on {hosts[0]}",
            cause=str(error),
            next_step="see what listens there with `ss -ltn`, and stop it",
        ) from error


def _is_free(host: str, port: int) -> bool:
    with closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a recent listener
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError:
            return False
    return True


def _elasticsearch_serves(host: str, port: int, password: str) -> bool:
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    url = f"http://{host}:{port}/_cluster/health"
    passwords.add_password(None, url, USER, password, is_authenticated=bool(password))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(passwords)
    )
    try:
        with opener.open(url, timeout=_PROBE_SECONDS) as answer:
            return bool(json.load(answer)["status"] != "red")
    except (OSError, ValueError):
        return False


def _zookeeper_serves(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_PROBE_SECONDS) as connection:
            connection.sendall(b"ruok")
            return connection.recv(4) == b"imok"
    except OSError:
        return False


def _datanode_serves(host: str, ports: Ports) -> bool:
    """Return whether the data node has registered with the name node, which needs it for files."""
    own = _facts(host, ports.datanode_http, "DataNode")
    namenode = _facts(host, ports.namenode_http, "NameNode")
    if own is None or namenode is None:
        return False
    registered = any(json.loads(own["NamenodeAddresses"]).values())
    return registered and not namenode["Safemode"] and json.loads(namenode["LiveNodes"]) != {}


def _facts(host: str, port: int, node: Literal["NameNode", "DataNode"]) -> dict[str, str] | None:
    """Return a node's facts about itself; None if it does not answer."""
    url = f"http://{host}:{port}/jmx?qry=Hadoop:service={node},name={node}Info"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_PROBE_SECONDS) as answer:
            beans: list[dict[str, str]] = json.load(answer)["beans"]
            return beans[0] if beans else None
    except (OSError, ValueError):
        return None
