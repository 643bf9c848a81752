"""A driver that answers every connection through it with the same bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from pio_tf.remote import http
from pio_tf.remote.commands import CompletedCommand

if TYPE_CHECKING:
    from typing import Any

    import asyncssh

    from pio_tf.remote.ssh import ClusterConnection


class Channel:
    """Both ends of one connection through the driver, as asyncssh gives them."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def write(self, data: bytes) -> None:
        """Take the question."""

    async def read(self, _size: int) -> bytes:
        """Return all of the answer, then its end."""
        data, self._answer = self._answer, b""
        return data

    def close(self) -> None:
        """Do nothing."""


class AnsweringDriver:
    """A stand-in for :class:`pio_tf.remote.ssh.ClusterConnection`.

    Every address and command behind the driver answers with these bytes.
    """

    def __init__(self, answer: bytes) -> None:
        self.driver = SimpleNamespace(name="driver")
        self._answer = answer

    async def open_connection(self, *_address: object, **_options: object) -> tuple[Channel, Channel]:
        """Open a channel, as asyncssh's connection does."""
        channel = Channel(self._answer)
        return channel, channel

    async def connection(self, _machine: str) -> AnsweringDriver:
        """Return itself, in place of ClusterConnection's connection."""
        return self

    async def run(self, _machine: str, _command: str, **_options: object) -> CompletedCommand:
        """Run a command in place of ClusterConnection."""
        return CompletedCommand(0, self._answer.decode("utf-8", "replace"), "")

    async def http_get_json(self, host: str, port: int, path: str, *, timeout: float = 10.0) -> Any:  # noqa: ANN401
        """Request JSON in place of ClusterConnection, with the real HTTP over the channel."""
        connection = cast("asyncssh.SSHClientConnection", self)
        return (await http.send_request(connection, http.HttpRequest(host, port, path), timeout=timeout)).json()

    @property
    def remote(self) -> ClusterConnection:
        """Itself, as what it stands for."""
        return cast("ClusterConnection", self)
