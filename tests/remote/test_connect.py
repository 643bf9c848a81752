"""Connecting to the driver, and through it to the others: keys, host keys, patience."""

from __future__ import annotations

import asyncio
import stat
import time
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.errors import ConfigError, RemoteError
from pio_tf.events import Event, MachineProgress
from pio_tf.remote.connect import RetryPolicy
from pio_tf.remote.ssh import ClusterConnection
from tests.support.background import until
from tests.support.ssh_cluster import ONE_ATTEMPT, QUICK, TestCluster
from tests.support.ssh_servers import MachineServer, free_port

if TYPE_CHECKING:
    from pathlib import Path


async def greet(cluster: TestCluster, *, patience: RetryPolicy = QUICK) -> str:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=patience) as remote:
        return (await remote.run("driver", "echo hello from $HOME")).stdout


async def test_the_driver_is_logged_in_to_and_its_host_key_pinned_by_instance_id(cluster: TestCluster) -> None:
    assert await greet(cluster) == f"hello from {cluster.driver.home}\n"
    public = cluster.driver.host_key.export_public_key().decode().strip()
    assert cluster.known_hosts.read_text() == f"i-driver {public} first use\n"
    assert stat.S_IMODE(cluster.known_hosts.stat().st_mode) == 0o600
    assert await greet(cluster) == f"hello from {cluster.driver.home}\n"
    assert len(cluster.known_hosts.read_text().splitlines()) == 1


async def test_the_key_of_a_machine_that_refuses_ours_is_not_pinned(cluster: TestCluster) -> None:
    cluster.driver.authorized = []
    with pytest.raises(RemoteError):
        await greet(cluster, patience=ONE_ATTEMPT)
    assert not cluster.known_hosts.exists()


async def test_a_wrong_key_is_told_soon_with_user_key_and_next_step(cluster: TestCluster) -> None:
    cluster.driver.authorized = []
    started = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        await greet(cluster, patience=QUICK)
    assert time.monotonic() - started < QUICK.timeout / 2
    assert str(cluster.directory / "id_ed25519") in caught.value.what
    assert "'ubuntu'" in caught.value.what
    assert "ssh.user" in caught.value.next_step
    assert caught.value.details["kind"] == "permission-denied"
    assert len(cluster.driver.logins) > 1


async def test_a_key_that_is_refused_just_after_boot_is_tried_again(cluster: TestCluster) -> None:
    keys, cluster.driver.authorized = cluster.driver.authorized, []
    greeting = asyncio.ensure_future(greet(cluster, patience=RetryPolicy(denied=60, first_delay=0.05)))
    await until(lambda: bool(cluster.driver.logins))
    cluster.driver.authorized.extend(keys)
    assert (await greeting).startswith("hello")


async def test_a_machine_that_boots_is_waited_for_and_the_wait_is_told(cluster: TestCluster) -> None:
    await cluster.driver.stop()
    events: list[Event] = []

    async def boot() -> None:
        await until(lambda: bool(events))
        await cluster.driver.start()

    booting = asyncio.ensure_future(boot())
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK, reporter=events.append):
        await booting
    progress = [event for event in events if isinstance(event, MachineProgress)]
    assert progress == [MachineProgress("driver", "waiting for ssh: connection refused")]


async def test_a_banner_that_is_cut_short_is_tried_again(cluster: TestCluster) -> None:
    await cluster.driver.stop()
    slammed = asyncio.Event()

    async def slam(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        slammed.set()

    half_up = await asyncio.start_server(slam, cluster.driver.address, cluster.port)

    async def boot() -> None:
        await slammed.wait()
        half_up.close()
        await half_up.wait_closed()
        await cluster.driver.start()

    booting = asyncio.ensure_future(boot())
    assert (await greet(cluster)).startswith("hello")
    await booting


async def test_a_closed_port_is_told_with_address_port_and_what_to_check(cluster: TestCluster) -> None:
    await cluster.driver.stop()
    with pytest.raises(RemoteError) as caught:
        await greet(cluster, patience=ONE_ATTEMPT)
    assert f"driver at 127.0.0.1:{cluster.port}" in caught.value.what
    assert caught.value.cause == "connection refused"
    assert "network.ssh_cidrs" in caught.value.next_step
    assert "ssh.bastion" in caught.value.next_step
    assert caught.value.details["kind"] == "unreachable"


async def test_a_port_that_never_answers_is_given_up_in_time(cluster: TestCluster) -> None:
    await cluster.driver.stop()
    hold = asyncio.Event()

    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hold.wait()
        writer.close()

    mute = await asyncio.start_server(silence, cluster.driver.address, cluster.port)
    started = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        await greet(cluster, patience=RetryPolicy(timeout=0.6, attempt=0.5, first_delay=0.05))
    assert time.monotonic() - started < 30
    assert caught.value.cause == "no answer"
    hold.set()
    mute.close()
    await mute.wait_closed()


async def test_the_other_machines_are_reached_through_the_driver_alone(cluster: TestCluster) -> None:
    names = ("driver", "master", "worker-1", "worker-2")
    for name in names[1:]:
        await cluster.servers[name].start()
    events: list[Event] = []
    targets = cluster.targets(*names)
    async with ClusterConnection(cluster.config(), targets, retry=QUICK, reporter=events.append) as remote:
        await remote.reach(names)
        assert (await remote.run("worker-2", "echo $HOME")).stdout.strip() == str(cluster.servers["worker-2"].home)
    assert set(cluster.driver.forwarded) == {
        (cluster.servers[name].address, cluster.port) for name in ("master", "worker-1", "worker-2")
    }
    assert {event.machine for event in events if isinstance(event, MachineProgress)} == set(names)
    pinned = sorted(line.split()[0] for line in cluster.known_hosts.read_text().splitlines())
    assert pinned == ["i-driver", "i-master", "i-worker-1", "i-worker-2"]


async def test_machines_that_cannot_be_reached_are_all_named(cluster: TestCluster) -> None:
    await cluster.servers["master"].start()
    names = ("driver", "master", "worker-1", "worker-2")
    async with ClusterConnection(cluster.config(), cluster.targets(*names), retry=ONE_ATTEMPT) as remote:
        with pytest.raises(RemoteError) as caught:
            await remote.reach(names)
        assert "worker-1, worker-2" in caught.value.what
        assert "through driver" in caught.value.cause
        with pytest.raises(RemoteError, match=r"worker-2 at 127\.0\.0\.4"):
            await remote.run("worker-2", "true")


async def test_a_driver_that_goes_away_ends_the_wait_for_the_others(cluster: TestCluster) -> None:
    names = ("driver", "worker-1")
    async with ClusterConnection(cluster.config(), cluster.targets(*names), retry=RetryPolicy(timeout=60)) as remote:
        asyncio.get_running_loop().call_later(0.5, cluster.driver.cut)
        started = time.monotonic()
        with pytest.raises(RemoteError, match="connection to driver was lost while connecting to worker-1"):
            await remote.reach(names)
        assert time.monotonic() - started < 30


async def test_a_lost_connection_is_made_again_when_it_is_next_used(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        await remote.run("driver", "true")
        cluster.driver.cut()
        await asyncio.sleep(0.1)
        assert (await remote.run("driver", "echo again")).stdout == "again\n"


async def test_a_bastion_is_gone_through_and_pinned_by_its_address(cluster: TestCluster) -> None:
    bastion_port = free_port()
    bastion = MachineServer(
        home=cluster.directory / "homes" / "bastion", address="127.0.0.1", port=bastion_port, key=asyncssh_key(cluster)
    )
    await bastion.start()
    config = cluster.config(ssh={"bastion": f"ubuntu@127.0.0.1:{bastion_port}"})
    for _ in range(2):
        async with ClusterConnection(config, cluster.targets(), retry=QUICK) as remote:
            assert (await remote.run("driver", "echo hi")).stdout == "hi\n"
    # Twice for the first of them: once to see the host key, once to use it.
    assert bastion.forwarded == [("127.0.0.1", cluster.port)] * 3
    pinned = cluster.known_hosts.read_text().splitlines()
    assert sorted(line.split()[0] for line in pinned) == [f"[127.0.0.1]:{bastion_port}", "i-driver"]
    await bastion.stop()


async def test_a_lost_bastion_is_connected_to_again_once(cluster: TestCluster) -> None:
    port = free_port()
    bastion = MachineServer(
        home=cluster.directory / "homes" / "bastion", address="127.0.0.1", port=port, key=asyncssh_key(cluster)
    )
    await bastion.start()
    config = cluster.config(ssh={"bastion": f"ubuntu@127.0.0.1:{port}"})
    async with ClusterConnection(config, cluster.targets(), retry=QUICK) as remote:
        bastion.cut()
        await asyncio.sleep(0.1)
        assert (await remote.run("driver", "echo again")).stdout == "again\n"
        after_the_cut = len(bastion.logins)
        cluster.driver.cut()
        await asyncio.sleep(0.1)
        assert (await remote.run("driver", "echo and again")).stdout == "and again\n"
        assert len(bastion.logins) == after_the_cut  # the new bastion connection is the one that is kept
    await bastion.stop()
    assert all(connection.is_closed() for connection in bastion.connections)


async def test_a_bastion_that_the_users_own_file_knows_otherwise_is_refused(
    cluster: TestCluster, no_ssh_config: Path
) -> None:
    port = free_port()
    bastion = MachineServer(
        home=cluster.directory / "homes" / "bastion", address="127.0.0.1", port=port, key=asyncssh_key(cluster)
    )
    await bastion.start()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (no_ssh_config / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {other}")
    config = cluster.config(ssh={"bastion": f"ubuntu@127.0.0.1:{port}"})
    with pytest.raises(RemoteError, match=r"the bastion at .* shows another SSH host key"):
        async with ClusterConnection(config, cluster.targets(), retry=QUICK):
            pass
    await bastion.stop()


async def test_the_jump_host_of_the_users_ssh_config_is_gone_through(cluster: TestCluster, no_ssh_config: Path) -> None:
    port = free_port()
    jump = MachineServer(
        home=cluster.directory / "homes" / "jump", address="127.0.0.1", port=port, key=asyncssh_key(cluster)
    )
    await jump.start()
    key = jump.host_key.export_public_key().decode()
    ssh = no_ssh_config / ".ssh"
    (ssh / "known_hosts").write_text(f"[127.0.0.9]:{port} {key}[127.0.0.1]:{port} {key}")
    (ssh / "config").write_text(
        f"Host jump\n  HostName 127.0.0.1\n  Port {port}\n  User ubuntu\n"
        f"  IdentityFile {cluster.directory}/id_ed25519\n"
        "Host 127.0.0.1\n  ProxyJump jump\n"
    )
    # Both are 127.0.0.1, but entries go by the name that was asked for: the driver's does not apply to the jump host.
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        assert (await remote.run("driver", "echo hi")).stdout == "hi\n"
    assert set(jump.forwarded) == {("127.0.0.1", cluster.port)}
    await jump.stop()


@pytest.mark.parametrize(
    ("config", "cipher"), [("", "aes256-gcm@openssh.com"), ("Host *\n  Ciphers aes128-ctr\n", "aes128-ctr")]
)
async def test_the_cipher_that_takes_least_time_is_used_unless_the_users_ssh_config_names_another(
    cluster: TestCluster, no_ssh_config: Path, config: str, cipher: str
) -> None:
    (no_ssh_config / ".ssh" / "config").write_text(config)
    await cluster.servers["worker-1"].start()
    async with ClusterConnection(cluster.config(), cluster.targets("driver", "worker-1"), retry=QUICK) as remote:
        for machine in ("driver", "worker-1"):
            assert (await remote.connection(machine)).get_extra_info("send_cipher") == cipher


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), ("not a key", "not a private key"), ("encrypted", "has a passphrase")],
)
async def test_a_key_file_that_cannot_be_used_is_a_mistake_in_the_configuration(
    cluster: TestCluster, content: str | None, message: str
) -> None:
    key = cluster.directory / "id_ed25519"
    if content is None:
        key.unlink()
    elif content == "encrypted":
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(
            key, format_name="pkcs8-pem", passphrase="secret"
        )
    else:
        key.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        await greet(cluster)
    assert "pio-tf.hcl" in caught.value.what
    assert str(key) in caught.value.what
    assert caught.value.next_step


def asyncssh_key(cluster: TestCluster) -> asyncssh.SSHKey:
    return asyncssh.read_private_key(cluster.directory / "id_ed25519")
