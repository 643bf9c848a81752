"""Trust in host keys: by the console, on first use, by the pin, by the user."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import asyncssh
import pytest
from msgspec.structs import replace

from pio_tf.errors import AwsError, ConfigError, RemoteError
from pio_tf.events import Event, MachineProgress, Warned
from pio_tf.remote.connect import RetryPolicy
from pio_tf.remote.host_keys import ConsoleTrust, HostKey, HostKeyTrust, accept_host_key
from pio_tf.remote.known_hosts import KnownHosts, Pin
from pio_tf.remote.login import load_login
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.remote.target import machine_endpoint
from tests.support.background import until
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.ssh_servers import MachineServer, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.host_keys import ConsoleKeys
    from pio_tf.remote.target import SshTarget


class Consoles:
    """The machines' consoles in AWS, and the requests for them."""

    def __init__(
        self, keys: dict[str, tuple[str, ...]] | None = None, *, fault: AwsError | None = None, empty: int = 0
    ) -> None:
        self.keys = keys or {}
        self.fault = fault
        self.empty = empty
        """The number of first answers without keys."""
        self.early_fault: AwsError | None = None
        """Raised instead of these answers."""
        self.asked: list[str] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, instance_id: str) -> tuple[str, ...]:
        self.asked.append(instance_id)
        self.threads.add(threading.current_thread())
        if self.fault:
            raise self.fault
        if len(self.asked) <= self.empty:
            if self.early_fault:
                raise self.early_fault
            return ()
        return self.keys.get(instance_id, ())


def now() -> datetime:
    return datetime.now(tz=timezone.utc)


def public(server: MachineServer) -> str:
    return server.host_key.export_public_key().decode().strip()


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


async def greet(
    cluster: TestCluster,
    console: ConsoleKeys | None = None,
    *,
    machine: str = "driver",
    host_keys: str = "accept-new",
    attended: bool = False,
    started: datetime | None = None,
) -> list[Event]:
    events: list[Event] = []
    targets = [replace(one, started=started) for one in cluster.targets("driver", *({machine} - {"driver"}))]
    config = cluster.config(ssh={"host_keys": host_keys})
    async with ClusterConnection(
        config, targets, retry=QUICK, reporter=events.append, console_keys=console, attended=attended
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


@pytest.mark.parametrize(("host_keys", "attended"), [("auto", False), ("verify", False), ("verify", True)])
@pytest.mark.parametrize("console", [Consoles(), Consoles(fault=AwsError("AWS is out")), None])
async def test_a_key_that_cannot_be_verified_is_refused_before_the_login(
    cluster: TestCluster, console: Consoles | None, host_keys: str, *, attended: bool
) -> None:
    with pytest.raises(RemoteError) as caught:
        await greet(cluster, console, host_keys=host_keys, attended=attended)
    assert caught.value.what == f"driver at 127.0.0.1:{cluster.port} shows an SSH host key that pio-tf cannot verify"
    assert caught.value.cause.startswith(
        f"{cluster.driver.host_key.get_fingerprint()} (ssh-ed25519) is not pinned, and "
    )
    assert "pio-tf host-keys accept driver" in caught.value.next_step
    assert str(cluster.known_hosts) in caught.value.next_step
    assert caught.value.details["kind"] == "host-key-unknown"
    assert cluster.driver.logins == []
    assert pins(cluster) == ()


async def test_a_workers_key_is_verified_as_the_drivers_is(cluster: TestCluster) -> None:
    await cluster.servers["worker-1"].start()
    console = Consoles({"i-driver": (public(cluster.driver),)})
    with pytest.raises(RemoteError, match=r"^worker-1 at .* that pio-tf cannot verify"):
        await greet(cluster, console, machine="worker-1", host_keys="auto")
    assert [pin.name for pin in pins(cluster)] == ["i-driver"]


async def test_at_a_terminal_a_key_is_trusted_on_first_use_with_a_warning(cluster: TestCluster) -> None:
    (event,) = await greet(cluster, Consoles(), host_keys="auto", attended=True)
    assert isinstance(event, Warned)
    assert [pin.learned for pin in pins(cluster)] == ["first use"]


async def test_a_key_that_was_pinned_on_first_use_stays_trusted_without_a_terminal(cluster: TestCluster) -> None:
    await greet(cluster)
    assert await greet(cluster, host_keys="verify") == []


async def test_the_console_of_a_machine_that_has_just_started_is_awaited(cluster: TestCluster) -> None:
    console = Consoles({"i-driver": (public(cluster.driver),)}, empty=1)
    events = await greet(cluster, console, host_keys="auto", started=now())
    assert events == [MachineProgress("driver", "waiting for its console, which shows its host keys")]
    assert [pin.learned for pin in pins(cluster)] == ["console"]
    assert console.asked == ["i-driver"] * 2


async def test_another_key_than_the_awaited_console_shows_is_refused(cluster: TestCluster) -> None:
    console = Consoles({"i-driver": (new_key().export_public_key().decode(),)}, empty=1)
    with pytest.raises(RemoteError, match="than the one on its console"):
        await greet(cluster, console, host_keys="auto", started=now())


async def decide(
    cluster: TestCluster,
    console: ConsoleKeys,
    *,
    started: datetime | None,
    patience: float = 60,
    timeout: float = 60,
    first_use: bool = False,
) -> HostKeyTrust:
    config = cluster.config()
    (target,) = cluster.targets()
    endpoint = machine_endpoint(config, load_login(config), replace(target, started=started))
    trust = ConsoleTrust(console, first_use=first_use, timeout=timeout, first_poll=0.02)
    shown = cluster.driver.host_key.convert_to_public()
    return await trust.decide(endpoint, shown, patience=patience, on_wait=lambda: None)


async def test_the_wait_for_a_console_goes_on_while_aws_limits_the_rate(cluster: TestCluster) -> None:
    console = Consoles({"i-driver": (public(cluster.driver),)}, empty=3)
    console.early_fault = AwsError("too many requests", details={"code": "RequestLimitExceeded"})
    trust = await decide(cluster, console, started=now())
    assert trust.learned == "console"
    assert len(console.asked) == 4


async def test_the_wait_for_a_console_has_an_end(cluster: TestCluster) -> None:
    console = Consoles()
    with pytest.raises(RemoteError, match="cannot verify"):
        await decide(cluster, console, started=now(), patience=0.5)
    assert 1 < len(console.asked) < 10


@pytest.mark.parametrize("started", [None, datetime.now(tz=timezone.utc) - timedelta(minutes=9)])
async def test_the_console_of_a_machine_that_runs_for_long_is_read_once(
    cluster: TestCluster, started: datetime | None
) -> None:
    console = Consoles()
    with pytest.raises(RemoteError, match="cannot verify"):
        await decide(cluster, console, started=started)
    assert console.asked == ["i-driver"]


async def test_a_console_that_pio_tf_may_not_read_is_not_awaited(cluster: TestCluster) -> None:
    console = Consoles(fault=AwsError("not allowed", details={"code": "UnauthorizedOperation"}))
    with pytest.raises(RemoteError, match="cannot verify") as caught:
        await decide(cluster, console, started=now())
    assert "AWS did not show its console: not allowed" in caught.value.cause
    assert console.asked == ["i-driver"]


async def test_with_trust_on_first_use_no_console_is_awaited(cluster: TestCluster) -> None:
    console = Consoles()
    assert (await decide(cluster, console, started=now(), first_use=True)).learned == "first use"
    assert console.asked == ["i-driver"]


async def test_an_aws_that_does_not_answer_does_not_delay_the_first_use(cluster: TestCluster) -> None:
    answers = threading.Event()

    def ask(_instance_id: str) -> tuple[str, ...]:
        answers.wait(20)
        return ()

    trust = await decide(cluster, ask, started=now(), timeout=0.1, first_use=True)
    assert (trust.keys, trust.learned) == ((cluster.driver.host_key.convert_to_public(),), "first use")
    assert trust.because == "AWS did not show its console within 0.1 s"
    answers.set()


async def test_a_machine_that_boots_is_asked_about_once(cluster: TestCluster) -> None:
    console = Consoles()
    keys, cluster.driver.authorized = cluster.driver.authorized, []

    async def boot() -> None:
        await until(lambda: len(cluster.driver.logins) > 2)
        cluster.driver.authorized.extend(keys)

    booting = asyncio.ensure_future(boot())
    patience = RetryPolicy(denied=60, first_delay=0.05, longest_delay=0.1)
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=patience, console_keys=console):
        await booting
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
    jump = {"bastion": f"ubuntu@127.0.0.1:{port}"}
    config, strict = cluster.config(ssh=jump), cluster.config(ssh={**jump, "host_keys": "auto"})

    async def connect(config: Config = config) -> None:
        async with ClusterConnection(config, cluster.targets(), retry=QUICK):
            pass

    with pytest.raises(RemoteError, match=r"the bastion at .* cannot verify") as unknown:
        await connect(strict)
    assert "pio-tf host-keys accept bastion" in unknown.value.next_step
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
