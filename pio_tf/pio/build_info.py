"""The versions that a PredictionIO was built for, out of the class that its build writes into the assembly jar."""

from __future__ import annotations

import re
import struct

BUILD_INFO = "org/apache/predictionio/core/BuildInfo$.class"
"""The class of sbt-buildinfo (buildInfoPackage in PredictionIO's build.sbt), the same in 0.12 to 0.14."""

_UTF8, _STRING, _FIELD, _NAME_AND_TYPE = 1, 8, 9, 12
_SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, _STRING: 2, _FIELD: 4, 10: 4, 11: 4, _NAME_AND_TYPE: 4, 15: 3, 16: 2, 18: 4}
"""Bytes after the tag of each kind of constant (JVM specification, 4.4), besides text."""
_TWO_SLOTS = (5, 6)
_ASSIGNMENT = re.compile(rb"(?:\x12(?P<short>.)|\x13(?P<long>..))[\xb3\xb5](?P<field>..)", re.DOTALL)
"""``ldc`` or ``ldc_w`` of a constant, then ``putstatic`` or ``putfield``: scalac's code for ``val name = "text"``."""


def spark_of_build(java_class: bytes) -> str | None:
    """Return the version of Spark that a PredictionIO was built for, or None if its class does not say so.

    Args:
        java_class: the content of :data:`BUILD_INFO`.
    """
    try:
        constants = _constants(java_class)
    except (struct.error, IndexError, KeyError):
        return None
    for found in _ASSIGNMENT.finditer(java_class):
        value = _text(constants, int.from_bytes(found["short"] or found["long"], "big"), _STRING)
        field = constants.get(int.from_bytes(found["field"], "big"))
        if value is None or field is None or field[0] != _FIELD:
            continue
        _, name_and_type = struct.unpack(">HH", field[1])
        if _text(constants, name_and_type, _NAME_AND_TYPE) == "sparkVersion" and re.fullmatch(r"\d+(\.\d+)+", value):
            return value
    return None


def _constants(java_class: bytes) -> dict[int, tuple[int, bytes]]:
    """Return the kind and the content of each constant by its number."""
    magic, _, count = struct.unpack_from(">IIH", java_class)
    if magic != 0xCAFEBABE:
        return {}
    constants, at, number = {}, 10, 1
    while number < count:
        kind = java_class[at]
        if kind == _UTF8:
            (size,) = struct.unpack_from(">H", java_class, at + 1)
            at += 2
        else:
            size = _SIZES[kind]
        constants[number] = (kind, java_class[at + 1 : at + 1 + size])
        at += 1 + size
        number += 2 if kind in _TWO_SLOTS else 1
    return constants


def _text(constants: dict[int, tuple[int, bytes]], number: int, kind: int) -> str | None:
    """Return the text that a constant of a kind begins with a reference to."""
    found = constants.get(number)
    if found is None or found[0] != kind:
        return None
    text = constants.get(int.from_bytes(found[1][:2], "big"))
    return text[1].decode(errors="replace") if text is not None and text[0] == _UTF8 else None
