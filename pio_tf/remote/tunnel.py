"""Spark's web pages on this computer: local ports, forwarded through the driver's SSH connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.errors import RemoteError
from pio_tf.events import Done, Reporter, Warned, silent
from pio_tf.remote.ssh_errors import reason
from pio_tf.remote.target import find_target
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.remote.target import SshTarget

LOCALHOST = "127.0.0.1"
APPLICATION_PORT = 4040
HISTORY_PORT = 18080
WORKER_PORT = 8081
"""Spark's defaults."""
ANSWER_SECONDS = 3.0
"""How long a page may take to accept a connection: some ports drop packets."""
RETRY_SECONDS = 5.0
"""Time between attempts to connect to a driver that has become unreachable."""
_PERMANENT = ("host-key-changed", "host-key-unknown", "permission-denied")
"""Kinds of errors that no further attempt can change."""


class WebPage(Struct, frozen=True):
    """A web page at an address for the driver. ``optional``: left out if it does not answer."""

    name: str
    host: str
    port: int
    optional: bool = False


class ForwardedPage(Struct, frozen=True):
    """A page at a port of this computer. ``silent_because``: why it does not answer yet; empty: it does."""

    page: WebPage
    port: int
    silent_because: str = ""

    @property
    def url(self) -> str:
        """The address on this computer."""
        return f"http://{LOCALHOST}:{self.port}"


def spark_pages(
    config: Config, targets: Sequence[SshTarget], settings: Mapping[str, str], *, workers: Collection[int] = ()
) -> tuple[WebPage, ...]:
    """Return the pages of Spark's master, the running application, these workers, and the history server.

    The history server is on the master. Its page is optional unless ``spark.history.ui.port`` is set.

    Args:
        settings: the user's Spark settings.
        workers: numbers: 2 for worker-2.

    Raises:
        ConfigError: one of these machines does not run.
    """
    master, driver = find_target(targets, "master"), find_target(targets, "driver")
    pages = [
        WebPage("master", master.private_ip, config.spark.master_ui_port),
        WebPage("application", driver.private_ip, _port(settings.get("spark.ui.port"), APPLICATION_PORT)),
    ]
    for number in workers:
        worker = find_target(targets, f"worker-{number}")
        pages.append(WebPage(worker.name, worker.private_ip, WORKER_PORT))
    history = settings.get("spark.history.ui.port")
    pages.append(WebPage("history", master.private_ip, _port(history, HISTORY_PORT), optional=history is None))
    return tuple(pages)


async def serve_pages(
    remote: ClusterConnection,
    pages: Sequence[WebPage],
    on_open: Callable[[tuple[ForwardedPage, ...]], None],
    *,
    reporter: Reporter = silent,
    retry_seconds: float = RETRY_SECONDS,
) -> None:
    """Forward a local port to each page, if possible with the page's own number, until the caller is cancelled.

    Each use of a port is a new attempt, so a page may begin to answer later. If the SSH connection is lost, pio-tf
    connects again, with the same local ports.

    Args:
        on_open: called once with the pages, when they can be used.
        retry_seconds: time between attempts to connect again.

    Raises:
        RemoteError: the driver is unreachable at first, refuses the key, or has another host key.
    """
    connection = await remote.connection(remote.driver.name)
    here = await _open(connection, await _existing(connection, pages))
    on_open(here)
    while True:
        await connection.wait_closed()
        reporter(Warned("the SSH connection to the driver was lost: connecting again"))
        connection = await _connect_again(remote, reporter, retry_seconds)
        before, here = here, await _open(connection, here)
        moved = [page for page in here if page.port not in [old.port for old in before]]
        reporter(Done("connected again" + "".join(f"; {page.page.name} is now at {page.url}" for page in moved)))


async def _existing(connection: asyncssh.SSHClientConnection, pages: Sequence[WebPage]) -> tuple[ForwardedPage, ...]:
    """Return the pages, without optional ones that do not answer, at their own port numbers."""
    reasons = await asyncio.gather(*(_silent_because(connection, page) for page in pages))
    found = [ForwardedPage(page, page.port, because) for page, because in zip(pages, reasons, strict=True)]
    return tuple(page for page in found if not (page.page.optional and page.silent_because))


async def _silent_because(connection: asyncssh.SSHClientConnection, page: WebPage) -> str:
    """Return why the page does not answer; empty if it does."""
    try:
        _, writer = await wait_for(connection.open_connection(page.host, page.port), ANSWER_SECONDS)
    except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
        return reason(error)
    writer.close()
    return ""


async def _open(connection: asyncssh.SSHClientConnection, pages: Sequence[ForwardedPage]) -> tuple[ForwardedPage, ...]:
    """Forward a local port to each page: its own number, or another one if that is taken."""
    opened = []
    for page in pages:
        target = (page.page.host, page.page.port)
        try:
            listener = await connection.forward_local_port(LOCALHOST, page.port, *target)
        except OSError:
            listener = await connection.forward_local_port(LOCALHOST, 0, *target)
        opened.append(ForwardedPage(page.page, listener.get_port(), page.silent_because))
    return tuple(opened)


async def _connect_again(
    remote: ClusterConnection, reporter: Reporter, retry_seconds: float
) -> asyncssh.SSHClientConnection:
    reported = ""
    while True:
        try:
            return await remote.connection(remote.driver.name)
        except RemoteError as error:
            if error.details.get("kind") in _PERMANENT:
                raise
            if error.what != reported:
                reporter(Warned(f"{error.what} ({error.cause}): still trying"))
                reported = error.what
        await asyncio.sleep(retry_seconds)


def _port(setting: str | None, default: int) -> int:
    """Return the port of a setting. Its value 0 stands for any port, which pio-tf cannot know."""
    return int(setting) if setting and setting.isdecimal() and int(setting) else default
