"""A Java class as scalac writes one for an object with text constants, such as sbt-buildinfo's."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def object_class(values: Mapping[str, str], *, padding: int = 0) -> bytes:
    """Return a class whose constructor assigns the values to fields.

    Args:
        padding: constants before the others. More than 255 need instructions with wide indices.
    """
    constants = [b"\x01" + struct.pack(">H", 1) + b"x" for _ in range(padding)]
    constants += [b"\x05" + bytes(8), b""]  # a long, which takes two numbers

    def add(content: bytes) -> int:
        constants.append(content)
        return len(constants)

    def text(value: str) -> int:
        return add(b"\x01" + struct.pack(">H", len(value)) + value.encode())

    owner = add(b"\x07" + struct.pack(">H", text("org/apache/predictionio/core/BuildInfo$")))
    kind = text("Ljava/lang/String;")
    code = b""
    for name, value in values.items():
        named = add(b"\x0c" + struct.pack(">HH", text(name), kind))
        field = add(b"\x09" + struct.pack(">HH", owner, named))
        constant = add(b"\x08" + struct.pack(">H", text(value)))
        load = b"\x12" + bytes([constant]) if constant < 256 else b"\x13" + struct.pack(">H", constant)
        code += b"\x2a" + load + b"\xb5" + struct.pack(">H", field)  # aload_0, ldc, putfield
    pool = b"".join(constants)
    return struct.pack(">IHHH", 0xCAFEBABE, 0, 50, len(constants) + 1) + pool + code
