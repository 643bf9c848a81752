"""A real service of the sandbox as a process: its memory, ports, start and end. Java runs in ``tests/integration``."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import asdict
from pathlib import Path

import pytest

from pio_tf.errors import SandboxError
from pio_tf.sandbox.control import change_service, check_options, stop_sandbox
from pio_tf.sandbox.real.real_services import check_memory, free_ports
from pio_tf.sandbox.real.service_files import Ports, ServiceSpec
from pio_tf.sandbox.real.service_process import ServiceProcess
from tests.sandbox.test_control import start


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
