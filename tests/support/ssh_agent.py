"""An SSH agent on a socket, as far as clients ask one: list the keys, sign with one.

https://datatracker.ietf.org/doc/html/draft-miller-ssh-agent
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncssh

_LIST, _KEYS, _SIGN, _SIGNATURE, _FAILURE = 11, 12, 13, 14, 5


@contextlib.asynccontextmanager
async def ssh_agent(socket: Path, *keys: asyncssh.SSHKey) -> AsyncIterator[None]:
    """Run an agent that has these keys while the block runs."""
    by_blob = {key.public_data: key for key in keys}

    def answer(request: bytes) -> bytes:
        if request[0] == _LIST:
            entries = b"".join(_text(blob) + _text(b"") for blob in by_blob)
            return bytes([_KEYS]) + struct.pack(">I", len(by_blob)) + entries
        blob, rest = _read(request[1:])
        data, _flags = _read(rest)
        key = by_blob.get(blob)
        if request[0] != _SIGN or key is None:
            return bytes([_FAILURE])
        return bytes([_SIGNATURE]) + _text(key.sign(data, key.algorithm))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack(">I", await reader.readexactly(4))
                writer.write(_text(answer(await reader.readexactly(length))))
        writer.close()

    async with await asyncio.start_unix_server(serve, socket):
        yield


def _text(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _read(content: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">I", content[:4])
    return content[4 : 4 + length], content[4 + length :]
