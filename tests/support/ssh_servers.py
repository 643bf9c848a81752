"""Real SSH servers on loopback addresses, for tests: each runs bash in a home directory of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import asyncssh

from pio_tf.remote.target import SshTarget

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from asyncssh.forward import SSHForwarder

    from pio_tf.model import Role


def free_port(addresses: tuple[str, ...] = ("127.0.0.1",)) -> int:
    """Return a port that is free on all of these addresses."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.create_server((addresses[0], 0)))
            port: int = first.getsockname()[1]
            try:
                for address in addresses[1:]:
                    stack.enter_context(socket.create_server((address, port)))
            except OSError:
                continue
            return port


class BashSession(asyncssh.SSHServerSession[bytes]):
    """One command under bash: its input, output, signals and end are passed on, as sshd does."""

    def __init__(self, server: MachineServer) -> None:
        self._server = server
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._input: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._process: asyncio.subprocess.Process | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def session_started(self) -> None:
        self._server.run(self._run())

    def data_received(self, data: bytes, _datatype: int | None) -> None:
        self._input.put_nowait(data)

    def eof_received(self) -> bool:
        self._input.put_nowait(None)
        return True

    def signal_received(self, signal: str) -> None:
        self._server.signals.append(signal)
        self.kill(signal)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._may_write.set()
        self._input.put_nowait(None)
        self.kill("HUP")

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def kill(self, name: str) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, getattr(signal, f"SIG{name}"))

    async def _run(self) -> None:
        home = str(self._server.home)
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            self._command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=home,
            env={"HOME": home, "PATH": os.environ["PATH"]},
            start_new_session=True,
        )
        self._server.processes.append(process.pid)
        assert process.stdout
        assert process.stderr
        feeding = asyncio.ensure_future(self._feed(process))
        try:
            await asyncio.gather(self._copy(process.stdout, None), self._copy(process.stderr, 1))
            status = await process.wait()
            if not self._channel.is_closing():
                if status < 0:
                    self._channel.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
                else:
                    self._channel.exit(status)
        finally:
            feeding.cancel()
            self.kill("KILL")
            await process.wait()

    async def _feed(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        with contextlib.suppress(ConnectionError):
            while (data := await self._input.get()) is not None:
                process.stdin.write(data)
                await process.stdin.drain()
        process.stdin.close()

    async def _copy(self, source: asyncio.StreamReader, datatype: int | None) -> None:
        while data := await source.read(65536):
            await self._may_write.wait()
            if not self._channel.is_closing():
                self._channel.write(data, datatype)


class _Login(asyncssh.SSHServer):
    def __init__(self, server: MachineServer) -> None:
        self._server = server

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.connections.append(conn)

    def begin_auth(self, username: str) -> bool:
        self._server.logins.append(username)
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._server.accepts(username, key)

    def session_requested(self) -> BashSession:
        return BashSession(self._server)

    def connection_requested(
        self, dest_host: str, dest_port: int, _orig_host: str, _orig_port: int
    ) -> Coroutine[None, None, Any]:
        self._server.forwarded.append((dest_host, dest_port))
        return self._forward(dest_host, dest_port)

    async def _forward(self, host: str, port: int) -> SSHForwarder:
        forwarder = await self._connection.forward_connection(host, port)
        self._server.forwarders.append(forwarder)
        return forwarder


class MachineServer:
    """One machine: what it was asked to do is in its lists."""

    def __init__(self, *, home: Path, address: str, port: int, key: asyncssh.SSHKey) -> None:
        self.home = home
        self.address = address
        self.port = port
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.authorized = [key.convert_to_public()]
        self.logins: list[str] = []
        self.signals: list[str] = []
        self.processes: list[int] = []
        self.forwarded: list[tuple[str, int]] = []
        self.forwarders: list[SSHForwarder] = []
        self.connections: list[asyncssh.SSHServerConnection] = []
        self._listener: asyncssh.SSHAcceptor | None = None
        self._tasks: set[asyncio.Future[None]] = set()

    def accepts(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "ubuntu" and key in self.authorized

    def run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._listener = await asyncssh.listen(
            self.address,
            self.port,
            server_host_keys=[self.host_key],
            server_factory=lambda: _Login(self),
            encoding=None,
            reuse_address=True,
        )

    def cut(self) -> None:
        """Break every connection, as a network does."""
        for connection in self.connections:
            connection.abort()

    async def stop(self) -> None:
        self.cut()
        if self._listener:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=60)
        for connection in self.connections:
            await connection.wait_closed()
        for _ in range(10):  # asyncssh closes channels, and then the sockets that they lead to, one call after another
            # It does not close one that was opened while its connection ended.
            for forwarder in self.forwarders:
                forwarder.close()
            await asyncio.sleep(0)

    def target(self, name: str, role: Role, instance_id: str) -> SshTarget:
        return SshTarget(name, role, instance_id, private_ip=self.address, address=self.address)
