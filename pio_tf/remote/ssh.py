"""The machines of a cluster over SSH: one connection to the driver, and through it everything else.

::

    async with connect_cluster(config, targets) as remote:
        await remote.run("driver", "uname -r")

Only the driver must be reachable from here, directly or through a bastion; the master and the workers are reached at
their private addresses through the driver's connection, and so is HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import asyncssh

from pio_tf.errors import RemoteError
from pio_tf.events import MachineProgress, Reporter, Warned, silent
from pio_tf.remote import commands, http
from pio_tf.remote.bash import shell_path
from pio_tf.remote.connect import Link, RetryPolicy, open_connection, shown_host_key
from pio_tf.remote.files import ProvisionedFile, RemoteFile, read_answer, write_program
from pio_tf.remote.host_keys import ConsoleTrust, HostKey
from pio_tf.remote.known_hosts import KnownHosts, Pin
from pio_tf.remote.login import load_login
from pio_tf.remote.ssh_errors import BASTION, connection_lost
from pio_tf.remote.target import bastion_endpoint, known_hosts_file, machine_endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.commands import CompletedCommand
    from pio_tf.remote.host_keys import ConsoleKeys, HostKeyTrust
    from pio_tf.remote.ssh_errors import Endpoint
    from pio_tf.remote.target import SshTarget

AT_ONCE = 64
"""Connections that are being made at the same time: a login costs the driver and us some milliseconds of CPU."""
BASTION_TIMEOUT = 30.0
"""Seconds. A bastion does not boot with the cluster: it is there or it is not."""
_CANCELLED_SECONDS = 1.5
"""Time for cancelled work to end its commands on the machines."""
_T = TypeVar("_T")


@contextlib.asynccontextmanager
async def connect_cluster(
    config: Config,
    targets: Sequence[SshTarget],
    *,
    reporter: Reporter = silent,
    retry: RetryPolicy | None = None,
    console_keys: ConsoleKeys | None = None,
) -> AsyncIterator[ClusterConnection]:
    """Connect to the driver; the other machines are connected to when they are first used.

    Args:
        targets: the driver, and the machines that are to be reached through it.
        retry: how long to wait for a machine that boots.
        console_keys: asked once for each machine without a pinned host key: the keys on its console.

    Raises:
        ConfigError: ``ssh.key`` cannot be used.
        RemoteError: the driver could not be reached, refuses the key, or shows another host key than the pinned one.
    """
    remote = ClusterConnection(
        config, targets, reporter=reporter, retry=retry or RetryPolicy(), console_keys=console_keys
    )
    try:
        await remote.connection(remote.driver.name)
        yield remote
    except asyncio.CancelledError:  # Ctrl-C, SIGTERM: the other end may be the reason, and is not waited for
        remote.abort()
        raise
    finally:
        await remote.close()


async def look_at_host_key(
    config: Config,
    targets: Sequence[SshTarget],
    machine: str,
    *,
    reporter: Reporter = silent,
    retry: RetryPolicy | None = None,
    console_keys: ConsoleKeys | None = None,
) -> HostKey:
    """The host key of a machine, or of the ``bastion``. Nobody logs in there, and nothing is pinned for it.

    Raises:
        ConfigError: ``ssh.key`` cannot be used, or there is no bastion.
        RemoteError: it could not be reached; for a machine behind the driver, the driver could not.
    """
    retry = retry or RetryPolicy()
    remote = ClusterConnection(config, targets, reporter=reporter, retry=retry, console_keys=console_keys)
    try:
        endpoint, tunnel = await remote.route(machine)
        key = await shown_host_key(endpoint, tunnel=tunnel, timeout=retry.attempt)
    finally:
        await remote.close()
    name = endpoint.host_key_name
    trust = await ConsoleTrust(None if machine == "bastion" else console_keys).decide(name, key)
    on_console = key in trust.keys if trust.learned == "console" else None
    shown = Pin(name, key, "console" if on_console else "accepted")
    return HostKey(shown, KnownHosts(known_hosts_file(config)).pins_of(name), on_console)


class ClusterConnection:
    """Commands, files and HTTP on the machines of a cluster. Machines are named: ``driver``, ``worker-1``."""

    def __init__(
        self,
        config: Config,
        targets: Sequence[SshTarget],
        *,
        reporter: Reporter,
        retry: RetryPolicy,
        console_keys: ConsoleKeys | None = None,
    ) -> None:
        self._config = config
        self._identity = load_login(config)
        self._targets = {target.name: target for target in targets}
        self._reporter = reporter
        self._retry = retry
        self._first_trust = ConsoleTrust(console_keys)
        self._open: dict[str, tuple[asyncssh.SSHClientConnection, Link]] = {}
        self._opening = {name: asyncio.Lock() for name in self._targets}
        self._told: dict[str, str] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.driver = next(target for target in targets if target.role == "driver")

    async def connection(self, machine: str) -> asyncssh.SSHClientConnection:
        """The connection to a machine, made if need be; made again where it was lost.

        Raises:
            RemoteError: it could not be made.
        """
        async with self._opening[machine]:
            known = self._open.get(machine)
            if known is None or known[1].lost:
                self._open[machine] = known = await self._connect(self._targets[machine])
            return known[0]

    async def route(self, machine: str) -> tuple[Endpoint, asyncssh.SSHClientConnection | None]:
        """Where a machine, or the ``bastion``, is reached, and the connection that leads there, if one has to.

        Raises:
            ConfigError: there is no bastion.
            RemoteError: that connection could not be made.
        """
        if machine == "bastion":
            return bastion_endpoint(self._config, self._identity), None
        target = self._targets[machine]
        tunnel = await (self._bastion() if target.role == "driver" else self.connection(self.driver.name))
        return machine_endpoint(self._config, self._identity, target), tunnel

    async def reach(self, machines: Iterable[str]) -> None:
        """Connect to these machines, all at once, saying ``ssh ready`` for each.

        Raises:
            RemoteError: one or more could not be reached; all are named.
        """
        results = await asyncio.gather(*(self._reach(name) for name in machines), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, RemoteError):
                raise failure
        remote_errors = [failure for failure in failures if isinstance(failure, RemoteError)]
        if len(remote_errors) == 1:
            raise remote_errors[0]
        if remote_errors:
            first = remote_errors[0]
            names = [str(error.details.get("machine")) for error in remote_errors]
            raise RemoteError(
                f"cannot log in to {len(names)} machines: {', '.join(names)}",
                cause=f"the first: {first.what}; {first.cause}",
                next_step=first.next_step,
                details={**first.details, "machines": names},
            ) from first

    async def run(self, machine: str, command: str, *, content: bytes = b"", timeout: float = 60.0) -> CompletedCommand:
        """Run a bash command to its end, with ``content`` as its standard input. A status other than 0 is no error.

        Raises:
            RemoteError: the machine could not be reached, the connection was lost, or ``timeout`` seconds were over.
        """
        connection = await self.connection(machine)
        try:
            return await asyncio.wait_for(commands.run(connection, machine, command, content=content), timeout=timeout)
        except asyncio.TimeoutError as error:
            raise RemoteError(
                f"a command on {machine} did not end within {timeout:g} s",
                cause=command.strip().splitlines()[0][:200],
                next_step="log in and look what holds it up (a full disk, a dead network file system)",
                details={"machine": machine, "kind": "timeout"},
            ) from error

    async def stream(self, machine: str, command: str, on_line: Callable[[str], None], *, login: bool = False) -> int:
        """Run a bash command, handing out its output line by line: see :func:`pio_tf.remote.commands.stream`."""
        connection = await self.connection(machine)
        return await commands.stream(connection, machine, command, on_line, login=login)

    async def put_files(self, machine: str, files: Iterable[RemoteFile]) -> tuple[ProvisionedFile, ...]:
        """Write these files where their content or mode differs, keeping aside what somebody else has made of them.

        Raises:
            RemoteError: the machine could not be reached, or a file could not be written (the others may have been).
        """
        wanted = tuple(files)
        results = await asyncio.gather(*(self._put(machine, file) for file in wanted), return_exceptions=True)
        done = tuple(result for result in results if isinstance(result, ProvisionedFile))
        failed = {file: result for file, result in zip(wanted, results, strict=True) if isinstance(result, str)}
        if len(done) < len(wanted):  # there is no result to tell the caller of it
            for put in done:
                if put.kept:
                    self._reporter(Warned(f"{put.name} had been changed on {machine}: it is kept as {put.kept}"))
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if failed:
            directories = " ".join(dict.fromkeys(shell_path(file.path.rpartition("/")[0]) for file in failed))
            user = self._config.ssh.user
            raise RemoteError(
                f"cannot write {', '.join(file.path for file in failed)} on {machine}",
                cause="; ".join(dict.fromkeys(failed.values())),
                next_step=f"on {machine}, let {user} write there: sudo mkdir -p {directories} && sudo chown {user} "
                f"{directories}; or name other directories in {self._config.path.name}",
                details={"machine": machine, "paths": [file.path for file in failed], "kind": "write"},
            )
        return done

    async def http_get_json(self, host: str, port: int, path: str, *, timeout: float = 10.0) -> Any:  # noqa: ANN401
        """JSON over HTTP, from an address as the driver sees it: see :func:`pio_tf.remote.http.get_json`."""
        connection = await self.connection(self.driver.name)
        return await http.get_json(connection, host=host, port=port, path=path, timeout=timeout)

    async def await_or_abort(self, work: Coroutine[Any, Any, _T], *, timeout: float | None = None) -> _T:
        """Await work on the machines. If it ends late, or not when cancelled, abort every connection.

        Args:
            timeout: seconds for the work; None: no limit.

        Raises:
            RemoteError: the work was not done in time (kind "timeout").
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task], timeout=timeout)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task], timeout=_CANCELLED_SECONDS)
            await self._abort_work(task)
            raise
        if not task.done():
            await self._abort_work(task)
            raise RemoteError(
                "the driver does not answer",
                cause=f"not within {timeout:g} s, and an interrupted client waits no longer",
                next_step="pio-tf status",
                details={"machine": self.driver.name, "kind": "timeout"},
            )
        return task.result()

    async def _abort_work(self, task: asyncio.Future[Any]) -> None:
        if not task.done():
            task.cancel()
            self.abort()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Close every connection, the driver's and the bastion's last."""
        while self._open:
            _, (connection, _link) = self._open.popitem()
            connection.close()
            with contextlib.suppress(OSError, asyncssh.Error, asyncio.TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), timeout=5)

    def abort(self) -> None:
        """Cut every connection at once: nothing more is expected of the other ends."""
        for connection, _link in self._open.values():
            connection.abort()

    async def _reach(self, name: str) -> None:
        await self.connection(name)
        # There is nothing more to the driver: it runs no service.
        self._tell(name, "ssh ready", ready=name == self.driver.name)

    async def _put(self, machine: str, file: RemoteFile) -> ProvisionedFile | str:
        """What became of it; why it could not be written."""
        done = await self.run(machine, write_program(file), content=file.content.encode())
        if done.exit_status != 0:
            return done.stderr.strip() or f"exit status {done.exit_status}"
        return read_answer(file, done.stdout)

    def _tell(self, machine: str, detail: str, *, ready: bool = False) -> None:
        """Report what a machine waits for, once: twenty refused connections are one piece of news."""
        if self._told.get(machine) != detail:
            self._told[machine] = detail
            self._reporter(MachineProgress(machine, detail, ready=ready))

    def _tell_first_use(self, machine: str, key: asyncssh.SSHKey, trust: HostKeyTrust) -> None:
        """As ssh does: a key that nobody has vouched for is news. One that AWS has shown is not."""
        if trust.learned == "first use":
            self._reporter(
                Warned(
                    f"{machine}: its host key {key.get_fingerprint()} ({key.get_algorithm()}) was not known and is "
                    f"trusted from now on, unverified: {trust.because}"
                )
            )

    async def _connect(self, target: SshTarget) -> tuple[asyncssh.SSHClientConnection, Link]:
        endpoint, tunnel = await self.route(target.name)
        tunnel_link = self._open[BASTION if endpoint.direct else self.driver.name][1] if tunnel else None
        try:
            return await open_connection(
                endpoint,
                options=self._identity.options,
                retry=self._retry,
                tunnel=tunnel,
                slots=self._slots,
                on_retry=lambda why: self._tell(target.name, f"waiting for ssh: {why}"),
                give_up=lambda: tunnel_link is not None and tunnel_link.lost,
                first_trust=lambda key: self._first_trust.decide(target.instance_id, key),
                on_first_use=lambda key, trust: self._tell_first_use(target.name, key, trust),
            )
        except RemoteError as error:
            if tunnel_link is not None and tunnel_link.lost:
                via = endpoint.via or BASTION
                raise connection_lost(via, f"connecting to {target.name}", tunnel_link.lost_because) from error
            raise

    async def _bastion(self) -> asyncssh.SSHClientConnection | None:
        if self._config.ssh.bastion is None:
            return None
        known = self._open.get(BASTION)
        if known is None or known[1].lost:
            # Unlike the machines', its login may come from any key: ~/.ssh/config, the usual files, an agent.
            options = {**self._identity.options, "agent_path": ()}
            retry = replace(self._retry, timeout=min(BASTION_TIMEOUT, self._retry.timeout))
            known = await open_connection(
                bastion_endpoint(self._config, self._identity),
                options=options,
                retry=retry,
                trust_user_file=True,
                on_first_use=lambda key, trust: self._tell_first_use(BASTION, key, trust),
            )
            self._open = {BASTION: known, **{name: one for name, one in self._open.items() if name != BASTION}}
        return known[0]
