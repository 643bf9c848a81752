"""The secret that Spark's master and workers ask for: without it, no program on the network runs code there.

The driver keeps it, so that every client finds it there and it survives stops. On the other machines, the bootstrap
script keeps a copy as root and restarts Spark with it.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.errors import RemoteError
from pio_tf.events import Reporter, Warned
from pio_tf.ssh_library import asyncssh
from pio_tf.training.provisioning import SCRIPT
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.commands import CompletedCommand
    from pio_tf.remote.ssh import ClusterConnection

_FILE = '"$HOME/.pio-tf/spark-secret"'
_MARK = "pio-tf secret: "
_BOOTING = 75
_LOOK = (
    f"out=$(sudo -n {SCRIPT} authenticate 2>&1); status=$?\n"
    f"if [ $status != 0 ] && [ ! -x {SCRIPT} ] && [ -d /run/cloud-init ] && "
    f"[ ! -e /var/lib/cloud/instance/boot-finished ]; then exit {_BOOTING}; fi\n"
    'printf "%s\\n" "$out"; exit $status'
)
_USAGE = 2
"""Exit status of a bootstrap script that is older than this pio-tf."""
_POLL_SECONDS = 1.0
_RPC_REQUEST, _RPC_FAILURE = 3, 5
"""Types of messages in Spark's protocol (org.apache.spark.network.protocol.Message), which has a length before each."""
_LENGTH_BYTES = 8
_LONGEST_ANSWER = 4096
"""Bytes: it begins with the reason, and a stack trace follows."""


class SecretChange(Struct, frozen=True):
    """A secret for machines that have another one, or none."""

    secret: str
    """Empty: Spark runs without authentication."""
    machines: tuple[str, ...]


async def read_secret(remote: ClusterConnection) -> str:
    """Return the cluster's secret; "" if Spark runs without authentication."""
    return (await remote.run(remote.driver.name, f"cat {_FILE} 2>/dev/null; true")).stdout.strip()


async def find_change(
    remote: ClusterConnection, config: Config, machines: Sequence[str], *, report: Reporter, patience: float
) -> SecretChange | None:
    """Return the change that gives all machines one secret; None if they have it.

    A machine that cannot take one keeps a cluster without a secret as it is, with a warning. It never takes the secret
    from a cluster that has one.

    Args:
        machines: master and workers.
        patience: seconds for machines at their first boot, which do not have the script yet.
    """
    current = await read_secret(remote)
    looks = dict(
        zip(machines, await asyncio.gather(*(_look(remote, name, patience) for name in machines)), strict=True)
    )
    unable = {name: look for name, look in looks.items() if look.exit_status != 0}
    own = config.spark.conf
    declined = own.get("spark.authenticate", "true").strip().lower() == "false"
    if declined or (unable and not current):
        wanted = ""
    else:
        wanted = own.get("spark.authenticate.secret") or current or secrets.token_hex(32)
    if unable:
        report(_warning(unable, shared=bool(wanted)))
    expected = _MARK + sha256(wanted.encode()).hexdigest()
    stale = tuple(name for name, look in looks.items() if name not in unable and expected not in look.stdout)
    return SecretChange(wanted, stale) if stale or wanted != current else None


async def apply_change(remote: ClusterConnection, change: SecretChange) -> None:
    """Give the machines the secret, which restarts Spark there; the driver keeps it last.

    Raises:
        RemoteError: a machine did not take it.
    """
    content = change.secret.encode()
    command = f"sudo -n {SCRIPT} authenticate put"
    done = await asyncio.gather(*(remote.run(name, command, content=content) for name in change.machines))
    for name, result in zip(change.machines, done, strict=True):
        _check(name, result)
    keep = f"umask 077; mkdir -p ~/.pio-tf && cat >{_FILE}.new && mv -f {_FILE}.new {_FILE}"
    driver = remote.driver.name
    _check(driver, await remote.run(driver, keep if content else f"rm -f {_FILE}", content=content))


async def asks_for_secret(remote: ClusterConnection, *, master: str, port: int, timeout: float) -> bool | None:
    """Return whether Spark's master takes messages only from programs with the secret; None if it does not say.

    This sends an empty message. A master with authentication refuses it as one that is not of SASL, in every version.
    """
    message = struct.pack(">BQI", _RPC_REQUEST, 1, 1) + b"\0"

    async def ask() -> bytes:
        connection = await remote.connection(remote.driver.name)
        reader, writer = await connection.open_connection(master, port, encoding=None)
        try:
            writer.write(struct.pack(">Q", _LENGTH_BYTES + len(message)) + message)
            (length,) = struct.unpack(">Q", await reader.readexactly(_LENGTH_BYTES))
            return bytes(await reader.readexactly(min(length, _LONGEST_ANSWER) - _LENGTH_BYTES))
        finally:
            writer.close()

    try:
        answer = await wait_for(ask(), timeout=timeout)
    except (OSError, EOFError, asyncssh.Error, asyncio.TimeoutError):
        return None
    if not answer.startswith(bytes([_RPC_FAILURE])):
        return None
    return b"SaslMessage" in answer


async def _look(remote: ClusterConnection, machine: str, patience: float) -> CompletedCommand:
    until = time.monotonic() + patience
    while True:
        done = await remote.run(machine, _LOOK)
        if done.exit_status != _BOOTING or time.monotonic() >= until:
            return done
        await asyncio.sleep(_POLL_SECONDS)


def _warning(unable: dict[str, CompletedCommand], *, shared: bool) -> Warned:
    names = ", ".join(unable)
    if shared:
        what = f"pio-tf could not compare the secret of Spark on {names}"
    else:
        what = f"Spark runs without authentication: {names} cannot take a secret"
    if all(done.exit_status == _USAGE for done in unable.values()):
        return Warned(f"{what}, because the software there is older than this pio-tf; run `pio-tf provision`")
    said = next(iter(unable.values())).stdout.strip().splitlines() or ["no message"]
    return Warned(f"{what} ({said[-1]}); docs/machines.md describes the secret")


def _check(machine: str, done: CompletedCommand) -> None:
    if done.exit_status == 0:
        return
    lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.exit_status}"]
    raise RemoteError(
        f"{machine} did not take Spark's secret",
        cause=lines[-1],
        next_step=f"check its disk (df -h) and its log, /var/log/pio-tf.log: pio-tf ssh {machine}",
        details={"machine": machine, "kind": "command"},
    )
