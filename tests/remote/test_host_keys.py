"""Trust in host keys: by the console, on first use, by the pin, by the user."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.errors import AwsError, ConfigError, RemoteError
from pio_tf.events import Event, Warned
from pio_tf.remote.connect import RetryPolicy
from pio_tf.remote.host_keys import ConsoleTrust, HostKey, accept_host_key
from pio_tf.remote.known_hosts import KnownHosts, Pin
from pio_tf.remote.ssh import ClusterConnection
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.ssh_servers import MachineServer, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.host_keys import ConsoleKeys
    from pio_tf.remote.target import SshTarget


class Consoles:
    """The machines' consoles in AWS, and the requests for them."""

    def __init__(self, keys: dict[str, tuple[str, ...]] | None = None, *, fault: AwsError | None = None) -> None:
        self.keys = keys or {}
        self.fault = fault
        self.asked: list[str] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, instance_id: str) -> tuple[str, ...]:
        self.asked.append(instance_id)
        self.threads.add(threading.current_thread())
        if self.fault:
            raise self.fault
        return self.keys.get(instance_id, ())


def public(server: MachineServer) -> str:
    return server.host_key.export_public_key().decode().strip()


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


async def greet(cluster: TestCluster, console: ConsoleKeys | None = None, *, machine: str = "driver") -> list[Event]:
    events: list[Event] = []
    targets = cluster.targets("driver", *({machine} - {"driver"}))
    async with ClusterConnection(
        cluster.config(), targets, retry=QUICK, reporter=events.append, console_keys=console
    ) as remote:
        assert (await remote.run(machine, "echo hello")).stdout == "hello\n"
    return events


async def change_key(server: MachineServer, key: asyncssh.SSHKey | None = None) -> None:
    await server.stop()
    server.host_key = key or new_key()
    await server.start()


async def look(cluster: TestCluster, console: ConsoleKeys | None = None, *, machine: str = "driver") -> HostKey:
    targets = cluster.targets("driver", *({machine} - {"driver"}))
    return await read_key(cluster.config(), targets, machine, console)


async def read_key(
    config: Config, targets: Sequence[SshTarget], machine: str, console: ConsoleKeys | None = None
) -> HostKey:
    remote = ClusterConnection(config, targets, retry=QUICK, console_keys=console)
    try:
        return await remote.read_host_key(machine)
    finally:
        await remote.close()


def pins(cluster: TestCluster) -> tuple[Pin, ...]:
    return KnownHosts(cluster.known_hosts).pins()


async def test_a_key_that_the_console_shows_is_pinned_as_such_and_in_silence(cluster: TestCluster) -> None:
    console = Consoles({"i-driver": (new_key("ssh-rsa").export_public_key().decode(), public(cluster.driver))})
    assert await greet(cluster, console) == []
    assert [(pin.name, pin.learned) for pin in pins(cluster)] == [("i-driver", "console")]
    assert console.asked == ["i-driver"]
    assert threading.main_thread() not in console.threads


async def test_a_machine_with_a_pinned_key_costs_no_question(cluster: TestCluster) -> None:
    console = Consoles()
    await greet(cluster, console)
    await greet(cluster, console)
    assert console.asked == ["i-driver"]


async def test_another_key_than_on_the_console_is_refused_and_not_pinned(cluster: TestCluster) -> None:
    console = Consoles({"i-driver": (new_key().export_public_key().decode(),)})
    with pytest.raises(RemoteError) as caught:
        await greet(cluster, console)
    assert "shows another SSH host key than the one on its console" in caught.value.what
    assert cluster.driver.host_key.get_fingerprint() in caught.value.cause
    assert caught.value.next_step.endswith("pio-tf host-keys accept driver")
    assert cluster.driver.logins == []
    assert pins(cluster) == ()


async def test_a_console_with_keys_of_other_types_alone_is_a_refusal_too(cluster: TestCluster) -> None:
    console = Consoles({"i-driver": (new_key("ecdsa-sha2-nistp256").export_public_key().decode(),)})
    with pytest.raises(RemoteError, match="than the one on its console"):
        await greet(cluster, console)


@pytest.mark.parametrize(
    ("console", "because"),
    [
        (Consoles(), "AWS shows no host keys on its console (yet)"),
        (Consoles({"i-driver": ("ssh-ed25519 AAAAC3Nz",)}), "AWS shows no host keys on its console (yet)"),
        (Consoles(fault=AwsError("not allowed: ec2:GetConsoleOutput")), "not allowed: ec2:GetConsoleOutput"),
        (None, "pio-tf did not read its console"),
    ],
)
async def test_without_a_console_the_first_use_is_trusted_and_told_with_the_fingerprint(
    cluster: TestCluster, console: Consoles | None, because: str
) -> None:
    (event,) = await greet(cluster, console)
    assert isinstance(event, Warned)
    assert cluster.driver.host_key.get_fingerprint() in event.message
    assert event.message.startswith("driver: its host key SHA256:")
    assert because in event.message
    assert [pin.learned for pin in pins(cluster)] == ["first use"]
    assert await greet(cluster, console) == []


async def test_an_aws_that_does_not_answer_does_not_keep_anybody_waiting() -> None:
    answers = threading.Event()

    def ask(_instance_id: str) -> tuple[str, ...]:
        answers.wait(20)
        return ()

    shown = new_key()
    trust = await ConsoleTrust(ask, timeout=0.1).decide("i-1", shown)
    assert (trust.keys, trust.learned) == ((shown,), "first use")
    assert trust.because == "AWS did not show its console within 0.1 s"
    answers.set()


async def test_a_machine_that_boots_is_asked_about_once(cluster: TestCluster) -> None:
    console = Consoles()
    cluster.driver.authorized = []
    patience = RetryPolicy(timeout=5, denied=0.6, attempt=3, first_delay=0.05, longest_delay=0.1)
    with pytest.raises(RemoteError, match="refuses the key"):
        async with ClusterConnection(cluster.config(), cluster.targets(), retry=patience, console_keys=console):
            pass
    assert len(cluster.driver.logins) > 2
    assert console.asked == ["i-driver"]


async def test_a_changed_key_is_refused_at_once_with_both_fingerprints_and_the_way_out(cluster: TestCluster) -> None:
    await greet(cluster)
    old = cluster.driver.host_key.get_fingerprint()
    await change_key(cluster.driver)
    console = Consoles({"i-driver": (public(cluster.driver),)})
    with pytest.raises(RemoteError) as caught:
        await greet(cluster, console)
    assert f"shows another SSH host key than the one pinned for i-driver in {cluster.known_hosts}" in caught.value.what
    assert caught.value.details["kind"] == "host-key-changed"
    assert caught.value.details["shown"] == cluster.driver.host_key.get_fingerprint()
    assert caught.value.details["expected"] == [old]
    assert caught.value.next_step.endswith("pio-tf host-keys accept driver")
    assert console.asked == []  # a pin is replaced by a person alone


async def test_a_key_of_another_type_counts_as_another_key(cluster: TestCluster) -> None:
    await greet(cluster)
    await change_key(cluster.driver, new_key("ecdsa-sha2-nistp256"))
    with pytest.raises(RemoteError, match="another SSH host key"):
        await greet(cluster)


async def test_a_changed_key_is_looked_at_without_logging_in_and_accepted(cluster: TestCluster) -> None:
    await greet(cluster)
    (old,) = pins(cluster)
    await change_key(cluster.driver)
    logins = len(cluster.driver.logins)
    key = await look(cluster)
    assert (key.pinned, key.is_pinned, key.on_console) == ((old,), False, None)
    assert key.shown == Pin("i-driver", cluster.driver.host_key.convert_to_public(), "accepted")
    assert len(cluster.driver.logins) == logins
    assert pins(cluster) == (old,)
    accept_host_key(cluster.config(), key)
    assert pins(cluster) == (key.shown,)
    await greet(cluster)
    assert (await look(cluster)).is_pinned


async def test_whether_the_console_shows_the_new_key_is_told(cluster: TestCluster) -> None:
    good = await look(cluster, Consoles({"i-driver": (public(cluster.driver),)}))
    assert (good.on_console, good.shown.learned) == (True, "console")
    bad = await look(cluster, Consoles({"i-driver": (new_key().export_public_key().decode(),)}))
    assert (bad.on_console, bad.shown.learned) == (False, "accepted")


async def test_a_workers_key_is_looked_at_through_the_driver(cluster: TestCluster) -> None:
    worker = cluster.servers["worker-1"]
    await worker.start()
    await greet(cluster, machine="worker-1")
    await change_key(worker)
    with pytest.raises(RemoteError) as caught:
        await greet(cluster, machine="worker-1")
    assert caught.value.next_step.endswith("pio-tf host-keys accept worker-1")
    accept_host_key(cluster.config(), await look(cluster, machine="worker-1"))
    await greet(cluster, machine="worker-1")
    assert {pin.name: pin.learned for pin in pins(cluster)} == {"i-driver": "first use", "i-worker-1": "accepted"}


async def test_a_bastions_changed_key_is_accepted_by_its_own_name(cluster: TestCluster) -> None:
    port = free_port()
    key = asyncssh.read_private_key(cluster.directory / "id_ed25519")
    bastion = MachineServer(home=cluster.directory / "homes" / "bastion", address="127.0.0.1", port=port, key=key)
    await bastion.start()
    config = cluster.config(ssh={"bastion": f"ubuntu@127.0.0.1:{port}"})

    async def connect() -> None:
        async with ClusterConnection(config, cluster.targets(), retry=QUICK):
            pass

    await connect()
    await change_key(bastion)
    with pytest.raises(RemoteError) as caught:
        await connect()
    assert caught.value.next_step.endswith("pio-tf host-keys accept bastion")
    accept_host_key(config, await read_key(config, cluster.targets(), "bastion"))
    await connect()
    await bastion.stop()


async def test_without_a_bastion_there_is_none_to_look_at(cluster: TestCluster) -> None:
    with pytest.raises(ConfigError, match="there is no bastion"):
        await read_key(cluster.config(), cluster.targets(), "bastion")


async def test_a_file_that_cannot_be_written_is_told_at_once_as_that_and_not_as_a_connection(
    cluster: TestCluster,
) -> None:
    cluster.known_hosts.mkdir(parents=True)
    with pytest.raises(RemoteError, match="the file of the machines' pinned host keys") as caught:
        await greet(cluster)
    assert caught.value.details["kind"] == "host-keys-file"
    cluster.known_hosts.rmdir()
    cluster.known_hosts.with_name("known_hosts.lock").mkdir()
    with pytest.raises(RemoteError, match="the file of the machines' pinned host keys"):
        await greet(cluster)
