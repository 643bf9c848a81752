"""Whether a port answers, as the driver sees it: a channel of its SSH connection, for which it needs no program."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncssh

from pio_tf.remote.explain import reason
from pio_tf.training.preflight.model import Finding, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.errors import RemoteError
    from pio_tf.remote.ssh import Remote
    from pio_tf.training.preflight.model import Preflight


async def about_hosts(preflight: Preflight, at: Sequence[tuple[str, int]], *, needed: int, where: str) -> Finding:
    """Whether a service's hosts accept connections.

    Args:
        at: host and port of each.
        needed: how many must; if fewer do the check has failed, and if fewer than all do it warns.
        where: where in pio-tf.hcl their addresses come from.
    """
    timeout = preflight.limits.connect
    refusals = await asyncio.gather(*(_refusal(preflight.remote, host, port, timeout=timeout) for host, port in at))
    down = [f"{host}:{port}: {why}" for (host, port), why in zip(at, refusals, strict=True) if why]
    if not down:
        return ok(f"{', '.join(f'{host}:{port}' for host, port in at)} accept{'s' if len(at) == 1 else ''} connections")
    finding = failed if len(at) - len(down) < needed else warning
    return finding(
        "; ".join(down),
        "check that it runs there, and that its security group lets the driver connect; its address is from " + where,
    )


def http_refusal(error: RemoteError, *, timeout: float) -> str:
    """Why there was no answer over HTTP within ``timeout`` seconds, in the same words."""
    waited_for = isinstance(error.__cause__, asyncio.TimeoutError)
    return f"no answer within {timeout:g} s" if waited_for else error.cause or error.what


async def _refusal(remote: Remote, host: str, port: int, *, timeout: float) -> str:
    """Why no TCP connection could be made; "" where one was accepted."""
    connection = await remote.connection(remote.driver.name)
    try:
        _, writer = await asyncio.wait_for(connection.open_connection(host, port, encoding=None), timeout=timeout)
    except asyncio.TimeoutError:
        return f"no answer within {timeout:g} s"
    except (OSError, asyncssh.Error) as error:
        return reason(error)
    writer.close()
    return ""
