"""Ways to the driver without an open port: AWS's programs, and those of ~/.ssh/config."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from pio_tf.errors import ConfigError, RemoteError
from pio_tf.events import Event, MachineProgress, Reporter, silent
from pio_tf.model import Machine
from pio_tf.remote.login import check_login, load_login
from pio_tf.remote.proxy import Proxy
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.remote.target import machine_endpoint
from tests.support.aws_cli import KEYS
from tests.support.builders import make_config
from tests.support.session import session_of
from tests.support.ssh_cluster import ONE_ATTEMPT, QUICK

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.remote.connect import RetryPolicy
    from tests.support.aws_cli import AwsCli
    from tests.support.ssh_cluster import TestCluster

REGISTERS = "An error occurred (TargetNotConnected) when calling the StartSession operation: i-driver is not connected."


def connection(
    cluster: TestCluster, retry: RetryPolicy = QUICK, *, reporter: Reporter = silent, **ssh: str
) -> ClusterConnection:
    """Return a connection to a driver at an address where nothing answers."""
    config = cluster.config(ssh=ssh)
    driver, *others = cluster.targets("driver", "worker-1")
    address = driver.instance_id if config.ssh.address == "instance-id" else "127.0.0.99"
    return ClusterConnection(config, [replace(driver, address=address), *others], retry=retry, reporter=reporter)


async def test_systems_manager_leads_to_the_driver_and_through_it_to_the_others(
    cluster: TestCluster, aws: AwsCli
) -> None:
    await cluster.servers["worker-1"].start()
    async with connection(cluster, via="ssm") as remote:
        assert (await remote.run("driver", "echo $HOME")).stdout == f"{cluster.driver.home}\n"
        assert (await remote.run("worker-1", "echo $HOME")).stdout == f"{cluster.servers['worker-1'].home}\n"
    ((_, arguments, variables),) = aws.calls
    assert " ".join(arguments) == (
        "ssm start-session --region eu-west-1 --target i-driver --document-name AWS-StartSSHSession "
        f"--parameters portNumber={cluster.port}"
    )
    assert variables.items() >= {**KEYS, "AWS_REGION": "eu-west-1"}.items()
    assert "AWS_PROFILE" not in variables


async def test_an_instance_connect_endpoint_leads_to_the_driver(cluster: TestCluster, aws: AwsCli) -> None:
    endpoint = machine_endpoint(
        make_config(cluster.directory, ssh={"key": "id_ed25519", "via": "instance-connect"}),
        load_login(cluster.config()),
        cluster.targets()[0],
    )
    assert endpoint.proxy is not None
    proxy = await Proxy.start(endpoint.proxy)
    proxy.socket.setblocking(False)
    banner = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(proxy.socket, 8), timeout=30)
    await proxy.close()
    assert banner == b"SSH-2.0-"
    ((_, arguments, _),) = aws.calls
    assert " ".join(arguments) == (
        "ec2-instance-connect open-tunnel --region eu-west-1 --instance-id i-driver --remote-port 22"
    )


async def test_a_machine_that_is_not_registered_yet_is_waited_for(cluster: TestCluster, aws: AwsCli) -> None:
    aws.fail(REGISTERS, REGISTERS)
    seen: list[Event] = []
    async with connection(cluster, reporter=seen.append, via="ssm") as remote:
        assert (await remote.run("driver", "true")).exit_status == 0
    assert len(aws.calls) == 3
    assert MachineProgress("driver", f"waiting for ssh: {REGISTERS}") in seen


async def test_an_agent_that_never_registers_is_an_error_with_its_causes(cluster: TestCluster, aws: AwsCli) -> None:
    aws.fail(REGISTERS)
    with pytest.raises(RemoteError) as caught:
        await connection(cluster, ONE_ATTEMPT, via="ssm").__aenter__()
    assert "driver at 127.0.0.99" in caught.value.what
    assert "through AWS Systems Manager" in caught.value.what
    assert caught.value.cause == REGISTERS
    assert "AmazonSSMManagedInstanceCore" in caught.value.next_step
    assert caught.value.details["kind"] == "unreachable"


async def test_a_command_asks_aws_why_the_agent_does_not_answer(cluster: TestCluster, aws: AwsCli) -> None:
    aws.fail(REGISTERS)
    config = cluster.config(ssh={"via": "ssm"})
    driver = Machine("driver", "driver", "i-driver", "r5.xlarge", "running", "127.0.0.99", None, None)
    agents = {"InstanceInformationList": [{"PingStatus": "Online"}]}
    ssm = SimpleNamespace(describe_instance_information=lambda **_filters: agents)
    with pytest.raises(RemoteError) as caught:
        await session_of(config, [driver], ec2=ssm, retry=ONE_ATTEMPT).__aenter__()
    assert caught.value.cause == f"{REGISTERS}\n       meanwhile, the SSM agent of driver is online"
    assert caught.value.next_step == "try again"


@pytest.mark.parametrize(
    ("said", "next_step"),
    [
        ("SessionManagerPlugin is not found. Please refer to SessionManager Documentation", "Session Manager plugin"),
        (
            "An error occurred (AccessDeniedException) when calling the StartSession operation: no",
            "pio-tf iam --for ssh",
        ),
        ("There are no available instance connect endpoints.", "create an EC2 Instance Connect Endpoint"),
        ("aws: error: argument operation: Invalid choice, valid choices are: …", "newer AWS CLI"),
    ],
)
async def test_what_no_wait_can_change_is_told_at_once(
    cluster: TestCluster, aws: AwsCli, said: str, next_step: str
) -> None:
    aws.fail(*[said] * 9)
    with pytest.raises(RemoteError) as caught:
        await connection(cluster, via="ssm").__aenter__()
    assert caught.value.cause == said
    assert next_step in caught.value.next_step
    assert len(aws.calls) == 1


async def test_other_messages_of_the_program_are_shown_too(cluster: TestCluster, aws: AwsCli) -> None:
    aws.fail("Could not connect to the endpoint URL")
    with pytest.raises(RemoteError, match=r"cannot reach driver") as caught:
        await connection(cluster, ONE_ATTEMPT, via="ssm").__aenter__()
    assert caught.value.cause == "Could not connect to the endpoint URL"


@pytest.mark.parametrize(
    ("missing", "advice"),
    [("aws", "install version 2 of the AWS CLI"), ("session-manager-plugin", "install AWS's Session Manager plugin")],
)
async def test_a_missing_program_of_aws_is_named_before_any_machine_starts(
    cluster: TestCluster, aws: AwsCli, monkeypatch: pytest.MonkeyPatch, missing: str, advice: str
) -> None:
    monkeypatch.setenv("PATH", str(aws.directory))
    await check_login(cluster.config(ssh={"via": "ssm"}))
    (aws.directory / missing).unlink()
    with pytest.raises(ConfigError, match=rf"ssh\.via: there is no program {missing}") as caught:
        await check_login(cluster.config(ssh={"via": "ssm"}))
    assert caught.value.next_step == advice


async def test_the_program_outlives_ctrl_c_and_ends_with_its_connection(cluster: TestCluster, aws: AwsCli) -> None:
    async with connection(cluster, via="ssm"):
        ((pid, _, _),) = aws.calls
        assert os.getsid(pid) == pid != os.getsid(0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_session_that_dies_is_opened_again(cluster: TestCluster, aws: AwsCli) -> None:
    async with connection(cluster, via="ssm") as remote:
        ssh = await remote.connection("driver")
        os.kill(aws.calls[0][0], signal.SIGKILL)
        await ssh.wait_closed()
        assert (await remote.run("driver", "true")).exit_status == 0
    assert len(aws.calls) == 2


async def test_host_keys_are_read_on_that_way_too(cluster: TestCluster, aws: AwsCli) -> None:
    remote = connection(cluster, via="ssm")
    key = await remote.read_host_key("driver")
    await remote.close()
    assert key.shown.key == cluster.driver.host_key.convert_to_public()
    with pytest.raises(ProcessLookupError):
        os.kill(aws.calls[0][0], 0)


async def test_a_proxy_command_of_ssh_config_gets_the_instance_id(
    cluster: TestCluster, aws: AwsCli, no_ssh_config: Path
) -> None:
    (no_ssh_config / ".ssh" / "config").write_text(
        "Host i-*\n  ProxyCommand aws ssm start-session --target %h --document-name AWS-StartSSHSession\n"
    )
    async with connection(cluster, address="instance-id") as remote:
        assert (await remote.run("driver", "echo $HOME")).stdout == f"{cluster.driver.home}\n"
        ((pid, arguments, variables),) = aws.calls
        assert os.getsid(pid) == pid
    assert arguments[:4] == ["ssm", "start-session", "--target", "i-driver"]
    assert variables["AWS_PROFILE"] == "another"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_without_a_proxy_command_an_instance_id_is_no_host(cluster: TestCluster) -> None:
    with pytest.raises(RemoteError, match="does not resolve") as caught:
        await connection(cluster, address="instance-id").__aenter__()
    assert "ProxyCommand" in caught.value.next_step


@pytest.mark.parametrize(
    ("ssh", "reason"),
    [
        ({"via": "ssm", "bastion": "ops@bastion"}, "give one way to the driver"),
        ({"via": "ssm", "address": "public"}, "give one way to the driver"),
        ({"via": "instance-connect", "port": 2222}, "port 22 only"),
    ],
)
def test_ways_that_exclude_each_other_are_refused(tmp_path: Path, ssh: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_config(tmp_path, ssh={"key": "id_ed25519", **ssh})
