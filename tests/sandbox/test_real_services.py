"""The sandbox's real services: each serves its protocol, breaks when told to, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import SandboxError
from pio_tf.sandbox.class_archive import QUICK
from pio_tf.sandbox.control import change_service, check_options, running_sandbox, sandbox_status, stop_sandbox
from pio_tf.sandbox.java.compiler import compile_java
from pio_tf.sandbox.layout import Layout
from pio_tf.sandbox.processes import find_processes
from pio_tf.sandbox.real.real_services import check_memory, free_ports
from pio_tf.sandbox.real.service_files import NAMES, JavaPrograms, Ports, ServiceSpec, find_programs
from pio_tf.sandbox.real.service_process import ServiceProcess
from tests.sandbox.test_control import start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.sandbox.layout import SandboxInfo

PROGRAM = Path(__file__).with_name("StorageClient.java")
"""Writes and reads with the clients of HBase and HDFS."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, java_cache: Path) -> Iterator[SandboxInfo]:
    """Yield a sandbox with real services, a password and no machines."""
    directory = tmp_path_factory.mktemp("real") / "sandbox"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        info = start(directory, services="real", password=True, spark="3.5")
    yield info
    if Layout(directory).marker.exists():
        stop_sandbox(directory)
    assert find_processes(directory) == []


@pytest.fixture(scope="module")
def programs(java_cache: Path) -> JavaPrograms:
    return find_programs()


def ask(info: SandboxInfo, path: str, body: object = None, *, password: str | None = None) -> dict[str, object]:
    """Return Elasticsearch's answer."""
    request = urllib.request.Request(f"http://{info.services.host}:{info.services.elasticsearch}{path}")
    request.add_header("Content-Type", "application/json")
    if password is not None:
        request.add_header("Authorization", f"Basic {b64encode(f'elastic:{password}'.encode()).decode()}")
    if body is not None:
        request.data, request.method = json.dumps(body).encode(), "PUT"
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the test's own address
        found: dict[str, object] = json.load(answer)
        return found


def password_of(info: SandboxInfo) -> str:
    assert info.services.elasticsearch_password_file is not None
    return info.services.elasticsearch_password_file.read_text()


def client(programs: JavaPrograms, info: SandboxInfo, *words: str) -> str:
    """Return the output of the Java client."""
    classes = compile_java([PROGRAM], class_path=programs.storage)
    class_path = os.pathsep.join(str(path) for path in (classes, *programs.storage))
    services = info.services
    where = (services.host, str(services.zookeeper), str(services.namenode))
    command = [str(programs.java), "-Xmx128m", *QUICK, "-XX:+UseSerialGC", "-cp", class_path, "StorageClient"]
    done = subprocess.run([*command, *where, *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def zookeeper_says(info: SandboxInfo, word: bytes) -> bytes:
    with socket.create_connection((info.services.host, info.services.zookeeper), timeout=2) as connection:
        connection.sendall(word)
        return connection.recv(1000)


def states(info: SandboxInfo) -> dict[str, str]:
    return {service.name: service.state for service in sandbox_status(info.directory).services}


def test_all_run_on_one_address_of_the_sandbox_and_each_has_its_process(sandbox: SandboxInfo) -> None:
    assert states(sandbox) == dict.fromkeys(NAMES, "running")
    assert sandbox.services.host.startswith(sandbox.network.removesuffix("0.0/16"))
    pids = {service.pid for service in sandbox_status(sandbox.directory).services}
    assert pids <= {process.pid for process in find_processes(sandbox.directory)}
    assert len(pids) == len(NAMES)


def test_elasticsearch_refuses_requests_without_its_password(sandbox: SandboxInfo) -> None:
    for wrong in (None, "wrong"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(sandbox, "/", password=wrong)
        assert refused.value.code == 401
        assert refused.value.headers["WWW-Authenticate"].startswith('Basic realm="security"')
        assert json.load(refused.value)["error"]["type"] == "security_exception"
    root = ask(sandbox, "/", password=password_of(sandbox))
    version = root["version"]
    assert isinstance(version, dict)
    assert version["number"] == "6.8.23"


def test_elasticsearch_blocks_writes_to_an_index_as_a_full_disk_does(sandbox: SandboxInfo) -> None:
    password = password_of(sandbox)
    assert ask(sandbox, "/full/_doc/1?refresh=true", {"name": "x"}, password=password)["result"] == "created"
    ask(sandbox, "/full/_settings", {"index.blocks.read_only_allow_delete": True}, password=password)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(sandbox, "/full/_doc/2", {"name": "y"}, password=password)
    assert refused.value.code == 403
    assert "read-only / allow delete" in refused.value.read().decode()


def test_the_password_is_in_no_file_that_others_can_read(sandbox: SandboxInfo) -> None:
    file = sandbox.services.elasticsearch_password_file
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    readable = [path for path in sandbox.directory.rglob("*") if path.is_file() and path != file]
    assert not [path for path in readable if password_of(sandbox).encode() in path.read_bytes()]
    (service,) = (one for one in sandbox_status(sandbox.directory).services if one.name == "elasticsearch")
    assert password_of(sandbox).encode() not in Path(f"/proc/{service.pid}/cmdline").read_bytes()


def test_hbase_and_hdfs_keep_what_their_own_clients_write(sandbox: SandboxInfo, programs: JavaPrograms) -> None:
    assert client(programs, sandbox, "put-row", "put-file", "get-row", "get-file") == "row\nfile\n"
    assert zookeeper_says(sandbox, b"srvr").startswith(b"Zookeeper version: 3.4.6")


def test_a_service_that_is_stopped_and_started_keeps_its_data_and_takes_more(
    sandbox: SandboxInfo, programs: JavaPrograms
) -> None:
    client(programs, sandbox, "put-row", "put-file")
    for name in ("hbase", "datanode", "namenode"):
        assert change_service(sandbox.directory, name, "stopped").pid is None
        assert states(sandbox)[name] == "stopped"
        change_service(sandbox.directory, name, "running")
    # The name node, which is the last to start, takes files at once.
    words = ("get-file", "put-file", "get-file", "get-row")
    assert client(programs, sandbox, *words) == "file\nfile\nrow\n"


def test_a_killed_hbase_shows_as_failed_and_starts_again(sandbox: SandboxInfo, programs: JavaPrograms) -> None:
    (service,) = (one for one in sandbox_status(sandbox.directory).services if one.name == "hbase")
    assert service.pid is not None
    os.kill(service.pid, signal.SIGKILL)
    wait_until(lambda: states(sandbox)["hbase"] == "failed")
    with pytest.raises(SandboxError, match="hbase is not hung") as caught:
        change_service(sandbox.directory, "hbase", "hung")
    assert "pio-tf sandbox service start hbase" in str(caught.value)
    change_service(sandbox.directory, "hbase", "running")
    assert client(programs, sandbox, "put-row", "get-row") == "row\n"


def test_a_service_that_hangs_accepts_connections_and_answers_nothing(sandbox: SandboxInfo) -> None:
    with hung(sandbox, "zookeeper"), pytest.raises(TimeoutError):
        zookeeper_says(sandbox, b"ruok")
    assert zookeeper_says(sandbox, b"ruok") == b"imok"
    with hung(sandbox, "zookeeper"):
        change_service(sandbox.directory, "zookeeper", "stopped")
        with pytest.raises(ConnectionRefusedError):
            zookeeper_says(sandbox, b"ruok")


def test_another_start_leaves_it_running_or_refuses_other_options(sandbox: SandboxInfo) -> None:
    for same in ({}, {"services": "real"}, {"services": "real", "password": True}):
        assert start(sandbox.directory, **same) == sandbox
    with pytest.raises(SandboxError, match="runs with other options"):
        start(sandbox.directory, services="light")


def test_an_unknown_service_lists_the_known_ones(sandbox: SandboxInfo) -> None:
    with pytest.raises(SandboxError, match="no service kafka") as caught:
        change_service(sandbox.directory, "kafka", "hung")
    assert ", ".join(NAMES) in str(caught.value)


def test_no_service_outlives_a_sandbox_that_is_killed(sandbox: SandboxInfo) -> None:
    """The last test: it ends the sandbox of this module."""
    change_service(sandbox.directory, "namenode", "hung")
    os.kill(running_sandbox(sandbox.directory).pid, signal.SIGKILL)
    wait_until(lambda: find_processes(sandbox.directory) == [])
    assert sandbox_status(sandbox.directory).state == "crashed"
    assert stop_sandbox(sandbox.directory)
    assert not sandbox.directory.exists()


def test_too_little_memory_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       4000000 kB\nMemAvailable:    512000 kB\n")
    with pytest.raises(SandboxError, match="not enough memory") as caught:
        check_memory(1200, meminfo=meminfo)
    assert "they need 1200 MiB, and 500 MiB are available" in str(caught.value)
    check_memory(500, meminfo=meminfo)


def test_the_services_have_the_first_address_with_all_usual_ports() -> None:
    hosts = ["127.251.255.1", "127.251.255.2"]
    with socket.create_server((hosts[0], Ports().datanode)):
        assert free_ports(hosts) == (hosts[1], Ports())
        with socket.create_server((hosts[1], Ports().transport)):
            host, ports = free_ports(hosts)
            assert host == hosts[0]
            assert len(set(asdict(ports).values())) == len(asdict(ports))
            assert not set(asdict(ports).values()) & set(asdict(Ports()).values())


def shell(tmp_path: Path, script: str, *, form: str = "", ready: bool = False, timeout: float = 20.0) -> ServiceProcess:
    """Return a service that is a shell script."""
    formatting = ("/bin/sh", "-c", form) if form else ()
    spec = ServiceSpec("hbase", tmp_path, ("/bin/sh", "-c", script), format=formatting)
    return ServiceProcess(spec, environment={}, is_ready=lambda: ready, timeout=timeout)


async def test_a_service_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    service = shell(tmp_path, "for line in 1 2 3 4 5 6 7 8 9; do echo line $line; done; exit 3")
    with pytest.raises(SandboxError, match="hbase could not start") as caught:
        await service.start()
    assert "its process ended with exit code 3" in str(caught.value)
    assert "line 9" in str(caught.value)
    assert "line 1" not in str(caught.value)
    assert service.state == "failed"


async def test_a_service_that_does_not_answer_in_time_still_runs_and_can_be_stopped(tmp_path: Path) -> None:
    service = shell(tmp_path, "exec sleep 60", timeout=0.2)
    with pytest.raises(SandboxError, match="it did not answer within"):
        await service.start()
    assert service.pid is not None
    await service.stop(grace=0)
    assert service.pid is None


async def test_storage_is_formatted_before_the_first_start_only(tmp_path: Path) -> None:
    service = shell(tmp_path, "exec sleep 60", form=f"mkdir {tmp_path}/data; echo formatted", ready=True)
    for _ in range(2):
        await service.start()
        await service.stop(grace=1)
    assert service.spec.log.read_text() == "formatted\n"
    failing = shell(tmp_path / "other", "exec sleep 60", form="mkdir data; exit 1", ready=True)
    failing.spec.directory.mkdir()
    with pytest.raises(SandboxError, match="its storage could not be formatted"):
        await failing.start()
    assert not (failing.spec.directory / "data").exists()


async def test_a_hung_service_ends_with_its_data_written(tmp_path: Path) -> None:
    service = shell(tmp_path, "trap 'echo written; exit' TERM; : >ready; while :; do sleep 0.05; done", ready=True)
    await service.start()
    while not service.spec.ready.exists():
        await asyncio.sleep(0.01)
    await service.hang()
    assert service.state == "hung"
    await service.stop(grace=10)
    assert service.spec.log.read_text() == "written\n"


def test_a_password_and_spark_2_4_need_the_real_services() -> None:
    with pytest.raises(SandboxError, match="asks for no password"):
        check_options(services="light", password=True, spark="3.5")
    with pytest.raises(SandboxError, match=r"Spark 2\.4 needs the real services"):
        check_options(services="light", password=False, spark="2.4")
    check_options(services="real", password=True, spark="2.4")


def test_light_services_cannot_be_broken_or_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    info = start(tmp_path / "sandbox")
    try:
        with pytest.raises(SandboxError, match="stand-ins") as caught:
            change_service(info.directory, "hbase", "stopped")
        assert "--services real" in str(caught.value)
        with pytest.raises(SandboxError, match="runs with other options") as caught:
            start(info.directory, services="real")
        assert "it has light services without a password, and Spark 3.5" in str(caught.value)
        assert start(info.directory, services="light", spark="3.5") == info
    finally:
        stop_sandbox(info.directory)


@contextmanager
def hung(info: SandboxInfo, name: str) -> Iterator[None]:
    change_service(info.directory, name, "hung")
    assert states(info)[name] == "hung"
    try:
        yield
    finally:
        change_service(info.directory, name, "running")


def wait_until(condition: object, *, timeout: float = 30.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
