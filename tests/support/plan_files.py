"""Plan files as Terraform writes them, for forgers: a zip of a stack, and the parts of ``tfplan`` that count."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULES = {
    "": ".",
    "bootstrap": "modules/bootstrap",
    "driver": "modules/driver",
    "driver.machine": "modules/machine",
    "failsafe": "modules/failsafe",
    "network": "modules/network",
    "profile": "modules/profile",
    "security": "modules/security",
    "spark_cluster": "modules/spark-cluster",
    "spark_cluster.master": "modules/machine",
    "spark_cluster.worker": "modules/machine",
    "worker_bootstrap": "modules/bootstrap",
}
"""The stack's modules, as Terraform 1.15.5 lists them."""


def configuration(stack: Mapping[str, str]) -> dict[str, str]:
    """Return a stack's files as a plan file has them: those of a module once for each call."""
    return {
        f"tfconfig/m-{module}/{name.rpartition('/')[2]}": text
        for module, directory in MODULES.items()
        for name, text in stack.items()
        if name.endswith(".tf") and (name.rpartition("/")[0] or ".") == directory
    }


def plan_file(
    files: Mapping[str, str],
    variables: Mapping[str, Any],
    *,
    modules: Mapping[str, str] = MODULES,
    backend: tuple[str, Mapping[str, Any]] = ("local", {"path": None, "workspace_dir": None}),
    workspace: str = "default",
    state: str = "{}",
    more: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """Return a plan file."""
    manifest = [{"Key": key, "Source": f"./{place}", "Dir": place} for key, place in modules.items()]
    message = b"\x08\x03" + field(14, b"1.15.5") + field(13, _backend(*backend, workspace))
    for name, value in variables.items():
        typed = pack([b'"dynamic"', value])
        message += field(2, field(1, name.encode()) + field(2, field(1, typed)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tfplan", message)
        archive.writestr("tfstate", state)
        for name, text in {**files, "tfconfig/modules.json": json.dumps(manifest), **(more or {})}.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _backend(kind: str, arguments: Mapping[str, Any], workspace: str) -> bytes:
    return field(1, kind.encode()) + field(2, field(1, pack(dict(arguments)))) + field(3, workspace.encode())


def field(number: int, content: bytes) -> bytes:
    """Return a field of Protocol Buffers that has a length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + _varint(number >> 7)


def pack(value: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return a value in MessagePack."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 0x80 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return b"\xc5" + struct.pack(">H", len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xda" + struct.pack(">H", len(text))) + text
    if isinstance(value, dict):
        inside = b"".join(pack(key) + pack(one) for key, one in value.items())
        return (bytes([0x80 | len(value)]) if len(value) < 16 else b"\xde" + struct.pack(">H", len(value))) + inside
    items = b"".join(map(pack, value))
    return (bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + struct.pack(">H", len(value))) + items
