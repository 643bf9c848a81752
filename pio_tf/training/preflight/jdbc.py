"""``jdbc``: the database accepts connections, and its JDBC driver is on the driver machine."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pio_tf.config.storage import JdbcSource
from pio_tf.training.preflight.model import Finding, failed, ok, skipped, together
from pio_tf.training.preflight.tcp import about_hosts

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pio_tf.training.preflight.model import Preflight

_SERVERS = re.compile(r"jdbc:[^/]*//([^/?]*)")
_USUAL_PORTS = {"postgresql": 5432, "mysql": 3306}


async def check_jdbc(preflight: Preflight) -> Finding:
    """Connect to the database of every source of this type, and look for its jar."""
    asked: list[Awaitable[Finding]] = []
    for source in preflight.config.sources:
        if isinstance(source.block, JdbcSource):
            where = preflight.config.where(source.path)
            asked.append(about_hosts(preflight, addresses(source.block.url), needed=1, where=where))
            asked.append(_about_jar(preflight, source.block, where=where))
    return together(await asyncio.gather(*asked)) if asked else skipped("no source is a database")


def addresses(url: str) -> list[tuple[str, int]]:
    """Host and port of each server of ``jdbc:postgresql://db-1:5432,db-2/pio``. Without a port: the database's usual
    one; without a host, as in ``jdbc:postgresql:pio``: the driver machine itself."""
    usual = _USUAL_PORTS[url.split(":")[1]]
    match = _SERVERS.match(url)
    servers = (server.rpartition("@")[2].partition(":") for server in (match[1] if match else "").split(","))
    return [(host or "localhost", int(port) if port.isdigit() else usual) for host, _, port in servers]


async def _about_jar(preflight: Preflight, block: JdbcSource, *, where: str) -> Finding:
    jar = block.driver_jar
    if (await preflight.driver_facts()).jdbc_drivers.get(jar) in ("file", "executable"):
        return ok(f"{jar} is there")
    return failed(f"{jar} is not a file on the driver", f"copy the JDBC driver there, or correct driver_jar in {where}")
