"""A cluster's machines over SSH: a connection to the driver, and through it to all others.

::

    async with ClusterConnection(config, targets) as remote:
        await remote.run("driver", "uname -r")

Only the driver must be reachable from this computer, directly or through a bastion. pio-tf connects to the master and
the workers at their private addresses through the driver's connection, and so does HTTP.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from pio_tf.errors import RemoteError
from pio_tf.events import MachineProgress, Reporter, Warned, silent
from pio_tf.remote import commands, http
from pio_tf.remote.bash import shell_path
from pio_tf.remote.connect import RetryPolicy, open_connection, shown_host_key
from pio_tf.remote.files import ProvisionedFile, RemoteFile, read_answer, write_program
from pio_tf.remote.host_keys import ConsoleTrust, HostKey, trusts_first_use
from pio_tf.remote.known_hosts import KnownHosts, Pin
from pio_tf.remote.login import load_login
from pio_tf.remote.target import BASTION, bastion_endpoint, machine_endpoint
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    import asyncssh

    from pio_tf.config.schema import Config
    from pio_tf.remote.commands import CompletedCommand
    from pio_tf.remote.connect import MachineConnection
    from pio_tf.remote.host_keys import ConsoleKeys
    from pio_tf.remote.target import Endpoint, SshTarget

AT_ONCE = 64
"""Connection attempts at one time: a login takes some milliseconds of CPU here and on the driver."""
BASTION_TIMEOUT = 30.0
"""Seconds. A bastion does not boot with the cluster: it runs or it does not."""
_CANCELLED_SECONDS = 1.5
"""Time for cancelled work to end its commands on the machines."""
_T = TypeVar("_T")


class ClusterConnection:
    """Commands, files and HTTP on the machines of a cluster. Machines have names: ``driver``, ``worker-1``.

    As a context manager, it first connects to the driver. pio-tf connects to other machines on first use.

    Args:
        targets: the driver, and the machines to connect to through it.
        retry: how long to wait for a machine that boots.
        console_keys: returns the host keys on a machine's console; called for each machine without a pinned key.
        attended: whether a person at a terminal reads the warnings: see ``ssh.host_keys``.

    Raises:
        ConfigError: ``ssh.key`` cannot be used.
        RemoteError: the driver is unreachable, refuses the key, or shows another host key than the pinned one, or one
            that pio-tf cannot verify.
    """

    def __init__(
        self,
        config: Config,
        targets: Sequence[SshTarget],
        *,
        reporter: Reporter = silent,
        retry: RetryPolicy | None = None,
        console_keys: ConsoleKeys | None = None,
        attended: bool = False,
    ) -> None:
        self._config = config
        self._login = load_login(config)
        self._targets = {target.name: target for target in targets}
        self._reporter = reporter
        self._retry = retry or RetryPolicy()
        self._console_trust = ConsoleTrust(console_keys, first_use=trusts_first_use(config, attended=attended))
        self._open: dict[str, MachineConnection] = {}
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._reported: dict[str, str] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.driver = next(target for target in targets if target.role == "driver")

    async def __aenter__(self) -> ClusterConnection:
        try:
            await self.connection(self.driver.name)
        except BaseException as error:
            await self.__aexit__(type(error))
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self.abort()  # Ctrl-C, SIGTERM: the other end may be the reason, so do not wait for it
        await self.close()

    async def connection(self, machine: str) -> asyncssh.SSHClientConnection:
        """Return the connection to a machine. Connect if there is none, or if it was lost.

        Raises:
            RemoteError: the machine is unreachable.
        """
        return (await self._connected(machine)).ssh

    async def route(self, machine: str) -> tuple[Endpoint, MachineConnection | None]:
        """Return the endpoint of a machine, or of the ``bastion``, and the connection that leads there, if any.

        Raises:
            ConfigError: there is no bastion.
            RemoteError: the machine on the way is unreachable.
        """
        if machine == BASTION:
            return bastion_endpoint(self._config, self._login), None
        endpoint = machine_endpoint(self._config, self._login, self._targets[machine])
        if not endpoint.direct:
            return endpoint, await self._connected(self.driver.name)
        return endpoint, await self._connected(BASTION) if self._config.ssh.bastion else None

    async def read_host_key(self, machine: str) -> HostKey:
        """Return the host key of a machine, or of the ``bastion``, without a login. Pin nothing for it.

        Raises:
            ConfigError: there is no bastion.
            RemoteError: the machine, or the driver on the way to it, is unreachable.
        """
        endpoint, tunnel = await self.route(machine)
        key = await shown_host_key(endpoint, tunnel=tunnel, timeout=self._retry.attempt)
        name = endpoint.host_key_name
        trust = await self._console_trust.read(endpoint)
        on_console = key in trust.keys if trust.learned == "console" else None
        pinned = KnownHosts(endpoint.known_hosts).pins(name)
        return HostKey(Pin(name, key, "console" if on_console else "accepted"), pinned, on_console)

    async def reach(self, machines: Iterable[str]) -> None:
        """Connect to these machines, all at once, and report ``ssh ready`` for each.

        Raises:
            RemoteError: some machines are unreachable. The error names all of them.
        """
        results = await asyncio.gather(*(self._reach(name) for name in machines), return_exceptions=True)
        errors = [result for result in results if isinstance(result, RemoteError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, RemoteError):
                raise result
        if len(errors) == 1:
            raise errors[0]
        if errors:
            first = errors[0]
            names = [str(error.details.get("machine")) for error in errors]
            raise RemoteError(
                f"cannot log in to {len(names)} machines: {', '.join(names)}",
                cause=f"the first: {first.what}; {first.cause}",
                next_step=first.next_step,
                details={**first.details, "machines": names},
            ) from first

    async def run(self, machine: str, command: str, *, content: bytes = b"", timeout: float = 60.0) -> CompletedCommand:
        """Run a bash command to its end, with ``content`` as its standard input. Any exit status is fine.

        Raises:
            RemoteError: the machine is unreachable, the connection was lost, or the command took longer than
                ``timeout`` seconds.
        """
        connection = await self.connection(machine)
        try:
            return await wait_for(commands.run(connection, machine, command, content=content), timeout=timeout)
        except asyncio.TimeoutError as error:
            raise RemoteError(
                f"a command on {machine} did not end within {timeout:g} s",
                cause=command.strip().splitlines()[0][:200],
                next_step="log in and find what blocks it (a full disk, a dead network file system)",
                details={"machine": machine, "kind": "timeout"},
            ) from error

    async def stream(self, machine: str, command: str, on_line: Callable[[str], None], *, login: bool = False) -> int:
        """Run a bash command and hand out its output line by line: see :func:`pio_tf.remote.commands.stream`."""
        connection = await self.connection(machine)
        return await commands.stream(connection, machine, command, on_line, login=login)

    async def transfer(
        self,
        machine: str,
        command: str,
        *,
        content: Iterable[bytes] = (),
        on_data: Callable[[bytes], None] | None = None,
    ) -> CompletedCommand:
        """Run a bash command while bytes stream to and from it: see :func:`pio_tf.remote.commands.transfer`."""
        connection = await self.connection(machine)
        return await commands.transfer(connection, machine, command, content=content, on_data=on_data)

    async def put_files(self, machine: str, files: Iterable[RemoteFile]) -> tuple[ProvisionedFile, ...]:
        """Write these files where their content or mode differs. Keep versions that pio-tf did not write.

        Raises:
            RemoteError: the machine is unreachable, or a file could not be written. The others may have been.
        """
        wanted = tuple(files)
        results = await asyncio.gather(*(self._put(machine, file) for file in wanted), return_exceptions=True)
        done = tuple(result for result in results if isinstance(result, ProvisionedFile))
        failed = {file: result for file, result in zip(wanted, results, strict=True) if isinstance(result, str)}
        if len(done) < len(wanted):  # the caller gets no result that would say so
            for file in done:
                if file.kept:
                    self._reporter(Warned(f"{file.name} had been changed on {machine}: it is kept as {file.kept}"))
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
        """Return the JSON at ``http://host:port/path``, as the driver sees it.

        Raises:
            RemoteError: no connection, no answer within ``timeout`` seconds, a status other than 200, or no JSON.
        """
        connection = await self.connection(self.driver.name)
        return (await http.send_request(connection, http.HttpRequest(host, port, path), timeout=timeout)).json()

    async def await_or_abort(self, work: Coroutine[Any, Any, _T], *, timeout: float | None = None) -> _T:
        """Await work on the machines. If it is late, or does not end when cancelled, abort every connection.

        Args:
            timeout: seconds for the work; None: no limit.

        Raises:
            RemoteError: the work took longer (kind "timeout").
        """
        task = asyncio.ensure_future(work)
        late = False
        try:
            await asyncio.wait([task], timeout=timeout)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task], timeout=_CANCELLED_SECONDS)
            raise
        finally:
            if late := not task.done():
                task.cancel()
                self.abort()
                await asyncio.wait([task])
        if late:
            raise RemoteError(
                "the driver does not answer",
                cause=f"not within {timeout:g} s, and an interrupted client waits no longer",
                next_step="pio-tf status",
                details={"machine": self.driver.name, "kind": "timeout"},
            )
        return task.result()

    async def close(self) -> None:
        """Close every connection, the driver's and the bastion's last."""
        while self._open:
            _, connection = self._open.popitem()
            await connection.close()

    def abort(self) -> None:
        """Cut every connection at once, without a message to the other ends."""
        for connection in self._open.values():
            connection.ssh.abort()

    async def _reach(self, name: str) -> None:
        await self.connection(name)
        self._report(name, "ssh ready", ready=name == self.driver.name)  # the driver runs no service to wait for

    async def _put(self, machine: str, file: RemoteFile) -> ProvisionedFile | str:
        """Write a file. Return the result, or why it could not be written."""
        done = await self.run(machine, write_program(file), content=file.content.encode())
        if done.exit_status != 0:
            return done.stderr.strip() or f"exit status {done.exit_status}"
        return read_answer(file, done.stdout)

    def _report(self, machine: str, detail: str, *, ready: bool = False) -> None:
        """Report the state of a machine, unless the last report was the same: twenty refused connections are one."""
        if self._reported.get(machine) != detail:
            self._reported[machine] = detail
            self._reporter(MachineProgress(machine, detail, ready=ready))

    async def _connected(self, name: str) -> MachineConnection:
        async with self._opening[name]:
            if name in self._open and self._open[name].lost:
                await self._open.pop(name).close()
            if name not in self._open:
                self._open[name] = await self._connect(name)
            return self._open[name]

    async def _connect(self, name: str) -> MachineConnection:
        endpoint, tunnel = await self.route(name)

        def on_retry(why: str) -> None:
            if not endpoint.is_bastion:
                self._report(name, f"waiting for ssh: {why}")

        bastion_retry = replace(self._retry, timeout=min(BASTION_TIMEOUT, self._retry.timeout))
        connection = await open_connection(
            endpoint,
            retry=bastion_retry if endpoint.is_bastion else self._retry,
            tunnel=tunnel,
            slots=self._slots,
            decide_trust=lambda shown: self._console_trust.decide(
                endpoint,
                shown,
                patience=self._retry.timeout,
                on_wait=lambda: self._report(name, "waiting for its console, which shows its host keys"),
            ),
            on_retry=on_retry,
        )
        trust = connection.first_trust
        # As ssh does, warn of a key that is trusted unseen. AWS has shown the key of a console.
        if trust is not None and trust.learned == "first use":
            (key,) = trust.keys
            self._reporter(
                Warned(
                    f"{endpoint.machine}: its host key {key.get_fingerprint()} ({key.get_algorithm()}) was not known "
                    f"and is trusted from now on, unverified: {trust.because}"
                )
            )
        return connection
