"""A way to the driver that needs no open port: a program that carries the connection on its input and output.

AWS's CLI has two such programs. ``aws ssm start-session`` goes through Systems Manager, to which an agent on the
machine connects. ``aws ec2-instance-connect open-tunnel`` goes through an endpoint in the VPC. Users may have others in
~/.ssh/config, as ProxyCommand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.errors import ConfigError
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pio_tf.config.schema import Config

_PROGRAMS = {"aws": "version 2 of the AWS CLI", "session-manager-plugin": "AWS's Session Manager plugin"}
SAID_BYTES = 4096
"""How much of the end of a program's messages is kept."""
_ENDS_WITHIN = 1.0
"""Seconds in which a program whose connection has failed says why, and ends."""

TARGET_NOT_CONNECTED = (
    "the driver's SSM agent is not connected: it must run, the driver needs an instance profile with the policy "
    "AmazonSSMManagedInstanceCore, and a route to the internet or VPC endpoints of ssm and ssmmessages"
)
_FINAL = {
    "SessionManagerPlugin is not found": "install AWS's Session Manager plugin on this computer",
    "AccessDenied|UnauthorizedOperation|not authorized to perform": "allow it: `pio-tf iam --for ssh` has the policy",
    "no available instance connect endpoints": "create an EC2 Instance Connect Endpoint in the driver's VPC, and name "
    "its security group in network.ssh_security_group_ids",
    "[Ii]nvalid choice": "install a newer AWS CLI: `aws --version` must say 2",
}
"""Messages after which waiting does not help, with the next step. The first two are of AWS's CLI for every service."""
_PASSING = {
    "TargetNotConnected": TARGET_NOT_CONNECTED,
    "Connection to destination port failed": "check that sshd listens at ssh.port on the driver",
}
"""Messages while a machine boots. An agent that is online may refuse sessions for another minute or two."""


class ProxyCommand(Struct, frozen=True):
    """The program that leads to a machine.

    Args:
        words: the program and its arguments.
        way: what it goes through, for messages.
        starts: another program that it starts.
        environment: returns that of the program; None: this process's own.
    """

    words: tuple[str, ...]
    way: str
    starts: tuple[str, ...] = ()
    environment: Callable[[], Mapping[str, str]] | None = None


class ProxyFailed(asyncssh.ConnectionLost):
    """A connection failed, and the program that carries it has said why.

    Args:
        said: its message.
        next_step: what the user can do.
        final: whether further attempts would fail, too.
    """

    def __init__(self, said: str, *, next_step: str, final: bool) -> None:
        super().__init__(said)
        self.next_step = next_step
        self.final = final


def proxy_command(config: Config, instance_id: str) -> ProxyCommand | None:
    """Return the program that ``ssh.via`` names for the driver; None: it names none."""
    ssh, region, environment = config.ssh, config.aws.region, partial(_aws_environment, config)
    if ssh.via == "ssm":
        document = ("--document-name", "AWS-StartSSHSession", "--parameters", f"portNumber={ssh.port}")
        words = ["aws", "ssm", "start-session", "--region", region, "--target", instance_id, *document]
        return ProxyCommand(tuple(words), "AWS Systems Manager", ("session-manager-plugin",), environment)
    if ssh.via == "instance-connect":
        port = ("--remote-port", str(ssh.port))
        words = ["aws", "ec2-instance-connect", "open-tunnel", "--region", region, "--instance-id", instance_id, *port]
        return ProxyCommand(tuple(words), "EC2 Instance Connect", (), environment)
    return None


def _aws_environment(config: Config) -> Mapping[str, str]:
    from pio_tf.aws.session import Aws

    return Aws(config).environment()


def check_proxy(config: Config) -> None:
    """Check that the programs which lead to the driver are on this computer, before any machine is started.

    Raises:
        ConfigError: one is missing.
    """
    command = proxy_command(config, "")
    if command is None:
        return
    for program, title in _PROGRAMS.items():
        if program in (*command.words, *command.starts) and shutil.which(program) is None:
            raise ConfigError(
                f"{config.where('ssh.via')}: ssh.via: there is no program {program} on this computer",
                cause=f"pio-tf connects to the driver through {command.way}",
                next_step=f"install {title}",
                details={"program": program},
            )


class Proxy:
    """A running program that carries a connection. ``socket`` is this process's end of it."""

    def __init__(self, process: asyncio.subprocess.Process, ours: socket.socket) -> None:
        self.socket = ours
        self._process = process
        self._said = b""
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, command: ProxyCommand) -> Proxy:
        """Start the program. Ctrl-C does not end it: an interrupted client still has to tell the driver.

        Raises:
            AwsError: there are no credentials for it.
            ProxyFailed: it can't be started.
        """
        environment = None if command.environment is None else await asyncio.to_thread(command.environment)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *command.words,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=asyncio.subprocess.PIPE,
                    env=environment,
                    start_new_session=True,
                )
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                said = f"{command.words[0]}: {error.strerror}"
                raise ProxyFailed(said, next_step=f"install {command.words[0]}", final=True) from error
            raise
        return cls(process, ours)

    async def why(self) -> ProxyFailed | None:
        """Return the error for a connection that has failed, if the program says why."""
        with contextlib.suppress(asyncio.TimeoutError):
            await wait_for(asyncio.shield(self._reading), timeout=_ENDS_WITHIN)
        said = " ".join(self._said.decode(errors="replace").split())
        for messages, final in ((_FINAL, True), (_PASSING, False)):
            for pattern, next_step in messages.items():
                if re.search(pattern, said):
                    return ProxyFailed(said, next_step=next_step, final=final)
        return ProxyFailed(said, next_step="try it without pio-tf", final=False) if said else None

    async def close(self) -> None:
        """End the program, and what it has started."""
        self.socket.close()
        try:
            self._signal(signal.SIGTERM)
            await wait_for(self._process.wait(), timeout=_ENDS_WITHIN)
        except asyncio.TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()
        self._reading.cancel()

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        stream = self._process.stderr
        assert stream is not None  # noqa: S101 - it is a pipe
        while data := await stream.read(SAID_BYTES):
            self._said = (self._said + data)[-SAID_BYTES:]
