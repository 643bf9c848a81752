"""A sandbox starts in the background, follows EC2, and leaves nothing when it stops, however it ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from pio_tf.config.load import load_config
from pio_tf.errors import SandboxError
from pio_tf.sandbox.control import (
    check_platform,
    default_directory,
    running_sandbox,
    sandbox_status,
    start_sandbox,
    stop_sandbox,
)
from pio_tf.sandbox.layout import Layout, ServerRecord, Services
from pio_tf.sandbox.processes import ProcessId, find_processes
from pio_tf.sandbox.project import prepare_project
from tests.support.fork_server import Program
from tests.support.sandbox_project import sandbox_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.sandbox.layout import SandboxInfo


REPOSITORY = Path(__file__).parents[2]
MACHINE = "tests.sandbox.small_machine:SmallMachine"


def empty_mirror(directory: Path) -> Path:
    directory.mkdir()
    path = directory / "terraformrc"
    path.touch()
    return path


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def start(directory: Path, **options: object) -> SandboxInfo:
    """Start a sandbox. Its server is a fork, which takes a tenth of the CPU time; two tests execute theirs."""
    defaults = {"machine": MACHINE, "install_mirror": empty_mirror, "start_process": Program}
    return start_sandbox(directory, **{**defaults, **options})  # type: ignore[arg-type]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server be a process that is executed, and imports the tests' machines."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "sandbox"
    yield path
    if Layout(path).marker.exists():
        stop_sandbox(path)
    assert find_processes(path) == []


@dataclass(frozen=True)
class Ec2:
    """The sandbox's EC2, with a subnet."""

    client: EC2Client
    subnet: str

    @classmethod
    def of(cls, info: SandboxInfo, *, cidr: str) -> Ec2:
        client: EC2Client = sandbox_client(info, "ec2")
        vpc = client.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        return cls(client, client.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"])

    def launch(self, name: str, address: str) -> str:
        tags = {"pio-tf:cluster": "test", "pio-tf:role": name.partition("-")[0], "pio-tf:machine": name}
        image = self.client.describe_images(Filters=[{"Name": "name", "Values": ["*jammy*"]}])["Images"][0]["ImageId"]
        return self.client.run_instances(
            ImageId=image,
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnet,
            PrivateIpAddress=address,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )["Instances"][0]["InstanceId"]


def listens(address: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((address, port)) == 0


def service_ports(info: SandboxInfo) -> tuple[int, int, int]:
    return info.services.elasticsearch, info.services.zookeeper, info.services.namenode


def wait_for(condition: Callable[[], bool], *, timeout: float = 60.0) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.usefixtures("executed")
def test_machines_follow_the_instances_and_stop_leaves_nothing(directory: Path) -> None:
    port = free_port("127.77.23.10")
    info = start(directory, ssh_port=port)
    assert start(directory, ssh_port=port) == info  # idempotent: it is the same one
    assert running_sandbox(directory) == info
    assert all(listens(info.services.host, number) for number in service_ports(info))
    ec2 = Ec2.of(info, cidr="127.77.23.0/24")
    with closing(ec2.client):
        worker = ec2.launch("worker-1", "127.77.23.12")
        wait_for(lambda: listens("127.77.23.12", port))
        master = ec2.launch("master", "127.77.23.11")
        facts = directory / "machines" / worker / "facts"
        # A worker that came before its master learns of it.
        wait_for(lambda: facts.read_text(encoding="utf-8") == "worker worker-1 ubuntu 0 4096 2 127.77.23.11")
        wait_for(lambda: listens("127.77.23.11", port))
        keep = directory / "machines" / master / "home" / "keep"
        keep.write_text("kept", encoding="utf-8")

        ec2.client.stop_instances(InstanceIds=[master])
        wait_for(lambda: not listens("127.77.23.11", port))
        wait_for(lambda: {m.state for m in sandbox_status(directory).machines} == {"running", "stopped"})
        ec2.client.start_instances(InstanceIds=[master])
        wait_for(lambda: listens("127.77.23.11", port))
        assert keep.read_text(encoding="utf-8") == "kept"
        machines = {m.name: m for m in sandbox_status(directory).machines}
        assert (machines["master"].cluster, machines["master"].address) == ("test", "127.77.23.11")

        ec2.client.terminate_instances(InstanceIds=[master])
        wait_for(lambda: not (directory / "machines" / master).exists())
        wait_for(lambda: [m.name for m in sandbox_status(directory).machines] == ["worker-1"])
    assert stop_sandbox(directory)
    assert not directory.exists()
    assert find_processes(directory) == []
    assert not ProcessId.of(info.pid)
    assert not listens("127.77.23.12", port)
    assert not listens("127.0.0.1", int(info.url.rpartition(":")[2]))
    assert not any(listens(info.services.host, number) for number in service_ports(info))
    assert not stop_sandbox(directory)  # there was none
    assert sandbox_status(directory).state == "stopped"


def test_a_reboot_ends_what_runs_on_the_machine_and_keeps_its_disk_and_the_console_is_its_own(directory: Path) -> None:
    port = free_port("127.77.21.10")
    info = start(directory, ssh_port=port)
    ec2 = Ec2.of(info, cidr="127.77.21.0/24")
    with closing(ec2.client):
        driver = ec2.launch("driver", "127.77.21.10")
        machine = directory / "machines" / driver
        child_file, keep = machine / "child", machine / "home" / "keep"
        wait_for(lambda: child_file.exists() and child_file.read_text(encoding="ascii") != "")
        child = ProcessId.of(int(child_file.read_text(encoding="ascii")))
        assert child is not None
        keep.write_text("kept", encoding="utf-8")
        (machine / "console.log").write_text("login: ", encoding="ascii")
        assert ec2.client.get_console_output(InstanceId=driver)["Output"] == "login: "
        ec2.client.reboot_instances(InstanceIds=[driver])
        wait_for(lambda: not child.is_alive())
        wait_for(lambda: child_file.read_text(encoding="ascii") != str(child.pid) and listens("127.77.21.10", port))
        assert keep.read_text(encoding="utf-8") == "kept"
        assert {machine.state for machine in sandbox_status(directory).machines} == {"running"}


@pytest.mark.usefixtures("executed")
def test_a_crashed_one_is_cleaned_up_by_the_next_start(directory: Path) -> None:
    port = free_port("127.77.24.10")
    first = start(directory, ssh_port=port)
    ec2 = Ec2.of(first, cidr="127.77.24.0/24")
    with closing(ec2.client):
        instance_id = ec2.launch("driver", "127.77.24.10")
    child_file = directory / "machines" / instance_id / "child"
    wait_for(lambda: child_file.exists() and child_file.read_text(encoding="ascii") != "")
    child = ProcessId.of(int(child_file.read_text(encoding="ascii")))
    assert child is not None
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: ProcessId.of(first.pid) is None)
    assert child.is_alive()  # it survives its server: this is what has to be cleaned up
    assert sandbox_status(directory).state == "crashed"
    with pytest.raises(SandboxError, match="has crashed") as caught:
        running_sandbox(directory)
    assert "pio-tf sandbox start" in caught.value.next_step

    # As if other sandboxes had the ranges before this one when the first started. They do not reach that far here.
    recorded = replace(first, network="127.201.0.0/16", services=replace(first.services, host="127.201.255.1"))
    Layout(directory).info.write(recorded)
    second = start(directory, ssh_port=port)
    assert second.pid != first.pid
    # A pio-tf.hcl that names them stays right.
    assert (second.network, second.services) == (recorded.network, recorded.services)
    assert not child.is_alive()
    assert not child_file.exists()
    assert sandbox_status(directory).machines == ()

    os.kill(second.pid, signal.SIGKILL)
    assert stop_sandbox(directory)
    assert not directory.exists()


def test_sandboxes_side_by_side_share_no_address_and_no_key_and_their_files_are_private(tmp_path: Path) -> None:
    port, names = free_port("127.0.0.1"), ("one", "two", "three")
    try:
        with ThreadPoolExecutor(4) as pool:  # and two starts of one at once are one sandbox
            *started, same = pool.map(lambda name: start(tmp_path / name, ssh_port=port), (*names, "one"))
        assert same == started[0]
        assert len({info.url for info in started}) == len(names)
        ranges = [IPv4Network(info.network) for info in started]
        assert len(set(ranges)) == len(names)
        cidrs = {}
        for info, addresses in zip(started, ranges, strict=True):
            assert IPv4Address(info.services.host) in addresses
            project = prepare_project(info.directory.with_name(f"{info.directory.name}-project"), info, cluster="test")
            cidr = load_config(project, environ={}).network.cidr
            assert cidr is not None
            assert cidr.subnet_of(addresses)
            ec2, driver = Ec2.of(info, cidr=str(cidr)), str(cidr[10])
            with closing(ec2.client):
                ec2.launch("driver", driver)
                cidrs[str(cidr)] = {vpc["CidrBlock"] for vpc in ec2.client.describe_vpcs()["Vpcs"]}
            wait_for(lambda driver=driver: listens(driver, port))  # type: ignore[misc]
        for own, there in cidrs.items():
            assert there & cidrs.keys() == {own}

        one, two = started[:2]
        assert stat.S_IMODE(one.directory.stat().st_mode) == 0o700
        for path in (one.credentials_file, Layout(one.directory).info.path, Layout(one.directory).server.path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(ClientError, match="AuthFailure"):  # each has a key of its own
            sandbox_client(replace(one, credentials_file=two.credentials_file), "ec2").describe_vpcs()
    finally:
        stop_sandbox(tmp_path / "one")
        assert sandbox_status(tmp_path / "two").state == "running"
        for name in names[1:]:
            stop_sandbox(tmp_path / name)
    assert not [name for name in names if (tmp_path / name).exists()]


def test_one_that_an_earlier_version_has_started_keeps_its_addresses(directory: Path) -> None:
    info = start(directory)
    record = json.loads(Layout(directory).info.path.read_text())
    del record["network"]
    Layout(directory).info.path.write_text(json.dumps(record))
    assert start(directory) == replace(info, network="127.77.0.0/16")


def test_one_that_dies_at_its_start_shows_the_end_of_its_log(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match="the sandbox could not start") as caught:
            start(directory, port=port)
    assert f"cannot listen on 127.0.0.1:{port}" in caught.value.cause
    assert "if a port is in use, choose another one" in caught.value.next_step
    assert not directory.exists()


def test_one_that_does_not_answer_in_time_is_ended(directory: Path) -> None:
    with pytest.raises(SandboxError, match="the sandbox could not start") as caught:
        start(directory, timeout=0.0)
    assert "did not answer within 0 s" in caught.value.cause
    assert find_processes(directory) == []
    assert not directory.exists()


def test_one_whose_directory_is_removed_ends(directory: Path) -> None:
    info = start(directory)
    shutil.rmtree(directory)
    wait_for(lambda: ProcessId.of(info.pid) is None)
    assert sandbox_status(directory).state == "stopped"


def test_a_directory_with_other_files_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    (directory / "thesis.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(SandboxError, match="not empty, and does not belong to a sandbox") as caught:
        start(directory)
    assert "PIO_TF_SANDBOX_DIR" in caught.value.next_step
    with pytest.raises(SandboxError, match="not a sandbox's directory"):
        stop_sandbox(directory)
    assert [path.name for path in directory.iterdir()] == ["thesis.txt"]


def test_a_process_that_has_the_number_of_a_crashed_server_is_not_harmed(directory: Path) -> None:
    layout = Layout(directory)
    directory.mkdir()
    layout.marker.touch()
    with subprocess.Popen(["/bin/sleep", "60"]) as innocent:
        process = ProcessId.of(innocent.pid)
        assert process is not None
        layout.server.write(_record(ProcessId(innocent.pid, process.started - 1)))
        assert sandbox_status(directory).state == "crashed"
        assert stop_sandbox(directory)
        assert process.is_alive()
        innocent.kill()
    assert not directory.exists()


def _record(process: ProcessId) -> ServerRecord:
    services = Services(host="127.0.0.1", elasticsearch=1, zookeeper=2, namenode=3)
    return ServerRecord(process=process, url="http://x", services=services, network="127.77.0.0/16")


def test_it_says_what_is_missing_to_run_it() -> None:
    for platform, processor in (("darwin", "x86_64"), ("darwin", "arm64"), ("linux", "aarch64")):
        with pytest.raises(SandboxError, match=f"only, and this is {platform} on {processor}\n") as caught:
            check_platform(platform=platform, processor=processor)
        assert caught.value.next_step
        assert "docker run --rm pio-tf-sandbox demo" in caught.value.next_step
    with pytest.raises(SandboxError, match="not installed") as caught:
        check_platform(packages=("moto", "no_such_package"))
    assert caught.value.cause == "missing: no_such_package"
    assert caught.value.next_step == "pip install 'pio-tf[sandbox]'"


def test_status_of_none_says_how_to_start_one(directory: Path) -> None:
    assert sandbox_status(directory).info is None
    with pytest.raises(SandboxError, match="the sandbox is not running") as caught:
        running_sandbox(directory)
    assert caught.value.next_step == "run `pio-tf sandbox start`"
    assert not directory.exists()


def test_its_directory_follows_the_environment() -> None:
    assert default_directory({"PIO_TF_SANDBOX_DIR": "/x/y", "XDG_STATE_HOME": "/s"}) == Path("/x/y")
    assert default_directory({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/pio-tf/sandbox")
    assert default_directory({"HOME": "/h"}) == Path("/h/.local/state/pio-tf/sandbox")
