"""Spark's web pages on this computer: local ports that lead through the driver's SSH connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh

from pio_tf.errors import RemoteError
from pio_tf.events import Done, Reporter, Warned, silent
from pio_tf.remote.ssh_errors import reason
from pio_tf.remote.target import find_target

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
ANSWERS_WITHIN = 3.0
"""Seconds, for a port that drops packets."""
TRIES_AGAIN = 5.0
"""Seconds between attempts to connect to a driver that has become unreachable."""
_HOPELESS = ("host-key-changed", "permission-denied")


@dataclass(frozen=True)
class WebPage:
    """A web page that the driver reaches at ``host:port``. ``optional``: of interest only where it answers."""

    name: str
    host: str
    port: int
    optional: bool = False


@dataclass(frozen=True)
class ForwardedPage:
    """A page at a port of this computer. ``silent_because``: why it did not answer just now; empty: it did."""

    page: WebPage
    port: int
    silent_because: str = ""

    @property
    def url(self) -> str:
        """Its address here."""
        return f"http://{LOCALHOST}:{self.port}"


def spark_pages(
    config: Config, targets: Sequence[SshTarget], settings: Mapping[str, str], *, workers: Collection[int] = ()
) -> tuple[WebPage, ...]:
    """The pages of Spark's master, of the application that runs, of these workers (2 for worker-2), and of the history
    server beside the master, which is optional unless ``spark.history.ui.port`` is set.

    Args:
        settings: Spark's, as the user has set them.

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
    tries_again: float = TRIES_AGAIN,
) -> None:
    """Open a local port for each page, the page's own number where it is free, until the caller is cancelled.

    Each use of a port is a new attempt, so that a page may begin to answer later. A lost connection is made again, with
    the same local ports.

    Args:
        on_open: told the pages, once, when they can be used.
        tries_again: seconds between attempts to connect again.

    Raises:
        RemoteError: the driver could not be reached at first, or refuses the key, or has changed its host key.
    """
    connection = await remote.connection(remote.driver.name)
    here = await _look(connection, pages)
    here = await _open(connection, here)
    on_open(here)
    while True:
        await connection.wait_closed()
        reporter(Warned("the SSH connection to the driver was lost: connecting again"))
        connection = await _connect_again(remote, reporter, tries_again)
        before, here = here, await _open(connection, here)
        moved = [page for page in here if page.port not in [old.port for old in before]]
        reporter(Done("connected again" + "".join(f"; {page.page.name} is now at {page.url}" for page in moved)))


async def _look(connection: asyncssh.SSHClientConnection, pages: Sequence[WebPage]) -> tuple[ForwardedPage, ...]:
    """The pages that there are, at their own port numbers."""
    reasons = await asyncio.gather(*(_silent_because(connection, page) for page in pages))
    looked = [ForwardedPage(page, page.port, because) for page, because in zip(pages, reasons, strict=True)]
    return tuple(page for page in looked if not (page.page.optional and page.silent_because))


async def _silent_because(connection: asyncssh.SSHClientConnection, page: WebPage) -> str:
    """Why nothing answers there; empty where something does."""
    try:
        _, writer = await asyncio.wait_for(connection.open_connection(page.host, page.port), ANSWERS_WITHIN)
    except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
        return reason(error)
    writer.close()
    return ""


async def _open(connection: asyncssh.SSHClientConnection, pages: Sequence[ForwardedPage]) -> tuple[ForwardedPage, ...]:
    """Listen for each of them, at the port that it has, or another one where somebody else has that now."""
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
    remote: ClusterConnection, reporter: Reporter, tries_again: float
) -> asyncssh.SSHClientConnection:
    said = ""
    while True:
        try:
            return await remote.connection(remote.driver.name)
        except RemoteError as error:
            if error.details.get("kind") in _HOPELESS:
                raise
            if error.what != said:
                reporter(Warned(f"{error.what} ({error.cause}): trying on"))
                said = error.what
        await asyncio.sleep(tries_again)


def _port(setting: str | None, default: int) -> int:
    """0, which stands for any port, cannot be known here."""
    return int(setting) if setting and setting.isdecimal() and int(setting) else default
