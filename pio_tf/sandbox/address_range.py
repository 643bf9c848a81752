"""The addresses that a sandbox has for itself on this computer: 127.N.0.0/16."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

FIRST = IPv4Network("127.77.0.0/16")
"""The range of the first sandbox. Sandboxes of pio-tf without ranges are here, too."""
_NUMBERS = range(77, 255)
_LISTEN = "0A"
"""The state in /proc/net/tcp."""


@contextmanager
def claimed_range(
    numbers: Collection[int] = _NUMBERS, *, preferred: IPv4Network | None = None
) -> Iterator[IPv4Network]:
    """Yield the preferred range, else the first one that is free; no other sandbox on this computer gets it meanwhile.

    The claim is an abstract Unix socket. It is one for all users and directories, belongs to the same network namespace
    as the addresses, and ends with the process, however it ends.

    Args:
        numbers: the second numbers of the addresses to choose from.
        preferred: the range that the sandbox had before it crashed.

    Raises:
        SandboxError: no range is free.
    """
    ranges = [IPv4Network((f"127.{number}.0.0", 16)) for number in numbers]
    for addresses in (*([preferred] if preferred else []), *ranges):
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0pio-tf-sandbox/{addresses}")
            except OSError:
                continue
            if not _is_in_use(addresses):
                yield addresses
                return
    raise SandboxError(
        "no addresses are left for another sandbox on this computer",
        cause=f"in each of {len(ranges)} ranges like {FIRST}, a sandbox or another program listens",
        next_step="stop a sandbox, or see what listens there with `ss -ltn`",
    )


def _is_in_use(addresses: IPv4Network) -> bool:
    """Return whether a program of any user listens there, such as the rest of a sandbox that has crashed."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address = IPv4Address(struct.pack("=I", int(local.partition(":")[0], 16)))  # in the processor's byte order
        if state == _LISTEN and address in addresses:
            return True
    return False
