"""The user's ~/.ssh/config and SSH agent: what cannot be used is named, with its line, before machines start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.errors import ConfigError, RemoteError
from pio_tf.remote.login import check_login
from pio_tf.remote.ssh import ClusterConnection
from tests.support.ssh_agent import ssh_agent
from tests.support.ssh_cluster import QUICK, TestCluster

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = {
    "another encoding": (b"# fine\nUser \xe9\n", 2, "can't decode byte 0xe9"),
    "a condition that asyncssh needs a library for": (b"\nMatch localnetwork 10.0.0.0/8\n User x\n", 2, "ifaddr"),
    "a condition that it does not know": (b"Match version 9\n User x\n", 1, "Invalid match condition version"),
    "a certificate that is not there": (b"User ubuntu\nCertificateFile /no/such.pub\n", 2, "/no/such.pub: No such"),
    "a value that is no number": (b"\n\nPort abc\n", 3, "Invalid Port integer value: abc"),
    "a value that breaks asyncssh": (b"Host *\nRekeyLimit x\n", 2, "could not convert string to float"),
    "a variable that is not set": (b"IdentityFile ${NO_SUCH}/x\n", 1, "Invalid environment expansion: NO_SUCH"),
}


@pytest.mark.parametrize(("text", "line", "reason"), LOCAL.values(), ids=LOCAL)
async def test_a_line_that_cannot_be_used_is_named_before_any_machine_starts(
    cluster: TestCluster, no_ssh_config: Path, text: bytes, line: int, reason: str
) -> None:
    (no_ssh_config / ".ssh" / "config").write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        await check_login(cluster.config())
    place = f"{no_ssh_config}/.ssh/config:{line}"
    assert caught.value.what == f"{place}: SSH on this computer cannot be used"
    assert reason in (caught.value.cause or "")
    assert caught.value.next_step == f"correct {place}"


WHILE_CONNECTING = LOCAL | {
    "an address that this computer does not have": (b"BindAddress 203.0.113.1\n", 1, "203.0.113.1"),
    "a jump host that leads to itself": (b"Host *\nProxyJump x@127.0.0.1\n", 0, "recursion"),
    "a program that is not there": (b"Host *\nProxyCommand /no/such %h\n", 0, ""),
}


@pytest.mark.parametrize(("text", "line", "reason"), WHILE_CONNECTING.values(), ids=WHILE_CONNECTING)
async def test_a_connection_that_this_computer_cannot_make_is_not_retried(
    cluster: TestCluster, no_ssh_config: Path, text: bytes, line: int, reason: str
) -> None:
    (no_ssh_config / ".ssh" / "config").write_bytes(text)
    started = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK):
            pass
    if line:
        assert caught.value.next_step == f"correct {no_ssh_config}/.ssh/config:{line}"
        assert time.monotonic() - started < QUICK.timeout / 2
        assert "network.ssh_cidrs" not in str(caught.value.next_step)
    assert reason in (caught.value.cause or "")


async def test_the_line_of_an_included_file_is_named(cluster: TestCluster, no_ssh_config: Path) -> None:
    ssh = no_ssh_config / ".ssh"
    (ssh / "config").write_text("Include config.d/*\n")
    (ssh / "config.d").mkdir()
    (ssh / "config.d" / "work").write_text("User ubuntu\nCertificateFile ~/lost-cert.pub\n")
    with pytest.raises(ConfigError, match=r"\.ssh/config\.d/work:2: "):
        await check_login(cluster.config())


@pytest.mark.parametrize("include", ["/", "config", "~/.ssh/*", "~nobody-there/x", "\x00"])
async def test_an_include_of_no_file_or_of_itself_does_not_hide_the_line(
    cluster: TestCluster, no_ssh_config: Path, include: str
) -> None:
    (no_ssh_config / ".ssh" / "config").write_bytes(f"Include {include}\nUser ".encode() + b"\xe9\n")
    with pytest.raises(ConfigError, match="SSH on this computer cannot be used"):
        await check_login(cluster.config())


async def test_a_configuration_that_can_be_used_passes(cluster: TestCluster, no_ssh_config: Path) -> None:
    (no_ssh_config / ".ssh" / "config").write_text("Host *\n  ServerAliveInterval 5\n  Compression yes\n")
    await check_login(cluster.config())


async def test_a_hardware_token_of_the_user_is_not_asked_for_machines(
    cluster: TestCluster, no_ssh_config: Path
) -> None:
    (no_ssh_config / ".ssh" / "config").write_text("Host *\n  PKCS11Provider /no/such.so\n")
    await check_login(cluster.config())
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        assert (await remote.run("driver", "echo hi")).stdout == "hi\n"


@pytest.fixture
def agent_socket(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    socket = tmp_path_factory.mktemp("a") / "agent"  # the path of a socket may have 107 bytes
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    return socket


def agent_only(cluster: TestCluster) -> asyncssh.SSHKey:
    """Remove the private key's file: only its public half stays. Return the key."""
    path = cluster.directory / "id_ed25519"
    key = asyncssh.read_private_key(path)
    path.unlink()
    return key


async def test_a_key_that_only_the_agent_has_is_used(cluster: TestCluster, agent_socket: Path) -> None:
    key = agent_only(cluster)
    async with ssh_agent(agent_socket, asyncssh.generate_private_key("ssh-ed25519"), key):
        await check_login(cluster.config())
        async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
            assert (await remote.run("driver", "echo hi")).stdout == "hi\n"


async def test_an_agent_without_the_key_is_told_before_any_machine_starts(
    cluster: TestCluster, agent_socket: Path
) -> None:
    agent_only(cluster)
    async with ssh_agent(agent_socket, asyncssh.generate_private_key("ssh-ed25519")):
        with pytest.raises(
            ConfigError, match=r"pio-tf\.hcl.*: ssh\.key: the SSH agent does not have the key"
        ) as caught:
            await check_login(cluster.config())
    assert "ssh-add" in caught.value.next_step


async def test_an_agent_that_is_gone_is_told_before_any_machine_starts(
    cluster: TestCluster, agent_socket: Path
) -> None:
    agent_only(cluster)
    with pytest.raises(ConfigError, match=f"the SSH agent at {agent_socket} does not answer"):
        await check_login(cluster.config())


async def test_a_security_key_without_an_agent_is_told_with_what_uses_it(cluster: TestCluster) -> None:
    key = cluster.directory / "id_ed25519"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    (cluster.directory / "id_ed25519.pub").write_text("sk-ssh-ed25519@openssh.com AAAA me\n")
    with pytest.raises(ConfigError, match="is on a security key, and no SSH agent has the key") as caught:
        await check_login(cluster.config())
    assert "ssh-add" in caught.value.next_step
