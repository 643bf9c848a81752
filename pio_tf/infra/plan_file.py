"""A plan file of Terraform or OpenTofu, read without either: a zip of its configuration, its state and the plan itself.

Terraform runs the configuration that is inside the file, with the variables and the backend that are inside it, not
those of its working directory. ``terraform show -json`` shows neither the files nor the backend.

The plan itself (``tfplan``) is a message of Protocol Buffers, in which values are MessagePack (Terraform's
internal/plans/planproto/planfile.proto; OpenTofu has kept the numbers of its fields).
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from pio_tf.errors import TerraformError
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIGURATION: Final = "tfconfig/m-"
"""Prefix of the configuration's files: ``tfconfig/m-MODULE/main.tf``."""
_MODULES: Final = "tfconfig/modules.json"
_STATE: Final = "tfstate"
_END: Final = struct.Struct("<4s4H2LH")
"""The end of a zip archive: signature, disks, files, and size and place of its directory, length of a comment."""
_PLAN: Final = "tfplan"
_VARIABLES, _BACKEND = 2, 13
"""Fields of the message Plan."""
_MOST_BYTES: Final = 512 * 1024 * 1024
"""Limit of all files together, unpacked; a plan of 500 machines has some 20 MB."""


@contextmanager
def reading_plan() -> Iterator[None]:
    """Read ``terraform show -json`` inside.

    Raises:
        TerraformError: something is not as Terraform writes it, so that it is unknown what the plan would do.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise TerraformError(
            "the plan cannot be read, so it is not applied",
            cause=f"something in it is not as Terraform writes it: {error!r}",
            next_step="check terraform.binary and its version: `terraform show -json` must have format version 1",
        ) from error


class PlanFile(Struct, frozen=True):
    """The parts of a plan file that Terraform would run.

    Args:
        files: the configuration: ``tfconfig/m-MODULE/name.tf``, where MODULE is the path of a module without instance
            keys (``spark_cluster.worker``; empty: the root module), to text.
        modules: path of each module, to its directory in the stack.
        variables: values of the root module's variables.
        backend: type of the backend, and its arguments.
        workspace: of the backend.
        state: as the plan has read it from AWS, in JSON; empty: there is none.
    """

    files: Mapping[str, str]
    modules: Mapping[str, str]
    variables: Mapping[str, Any]
    backend: tuple[str, Mapping[str, Any]]
    workspace: str
    state: bytes


def read_plan_file(content: bytes) -> PlanFile:
    """Read a plan file.

    Raises:
        ValueError: it is not as Terraform writes it, or it is encrypted.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse_ambiguity(content, archive)
            files = {name: archive.read(name).decode() for name in archive.namelist() if name.startswith(CONFIGURATION)}
            modules = _modules(archive.read(_MODULES))
            plan = list(_fields(archive.read(_PLAN)))
            state = archive.read(_STATE) if _STATE in archive.namelist() else b""
    except zipfile.BadZipFile as error:
        raise ValueError(_why_no_zip(content)) from error
    except (LookupError, TypeError, AttributeError, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise ValueError(f"something in it is not as Terraform writes it: {error!r}") from error
    return _assemble(files, modules, plan, state)


def _assemble(files: dict[str, str], modules: dict[str, str], plan: list[tuple[int, bytes]], state: bytes) -> PlanFile:
    try:
        entries = [dict(_fields(value)) for number, value in plan if number == _VARIABLES]
        variables = {entry[1].decode(): _variable(_dynamic(entry[2])) for entry in entries}
        (backend,) = [dict(_fields(value)) for number, value in plan if number == _BACKEND]
        arguments = dict(_dynamic(backend[2]))
        return PlanFile(files, modules, variables, (backend[1].decode(), arguments), backend[3].decode(), state)
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError, struct.error) as error:
        raise ValueError(f"something in it is not as Terraform writes it: {error!r}") from error


def _refuse_ambiguity(content: bytes, archive: zipfile.ZipFile) -> None:
    """Refuse what Python and Go may read differently, and what does not fit into memory."""
    signature, *disks, files, _all_files, size, start, _comment = _END.unpack(content[-_END.size :])
    if signature != b"PK\5\6" or any(disks) or start + size + _END.size != len(content):
        raise ValueError("it is not a zip archive as Terraform writes it")
    names = [one.orig_filename for one in archive.infolist()]
    if names != archive.namelist() or len(set(names)) != files:
        raise ValueError("it contains two files of one name, or a name that is none")
    if sum(one.file_size for one in archive.infolist()) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB")


def _modules(manifest: bytes) -> dict[str, str]:
    entries = parse_json(manifest)
    modules = {one["Key"]: one["Dir"] for one in entries}
    if len(modules) != len(entries) or any(one.keys() - {"Key", "Source", "Dir"} for one in entries):
        raise ValueError(f"{_MODULES} names a module twice, or one with a version")
    return modules


def _why_no_zip(content: bytes) -> str:
    try:
        encrypted = "encrypted_data" in json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return "it is not a zip archive, as plan files are"
    return "it is encrypted (OpenTofu)" if encrypted else "it is JSON, not a plan file"


def _variable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value without its type, which Terraform writes before it: ``[type as JSON, value]``."""
    if value is None:
        return None
    _type, inner = value
    return inner


def _dynamic(message: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return the value in a message DynamicValue."""
    (content,) = [value for number, value in _fields(message) if number == 1]
    value, end = _unpack(content, 0)
    if end != len(content):
        raise ValueError("there is something behind a value")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that have a length: texts, bytes and messages. Numbers are left out."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field has the unknown type {kind}")
        if at + length > len(message):
            raise ValueError("a field is cut off")
        if kind == 2:
            yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_LENGTHS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_COUNTS = {0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def _unpack(data: bytes, at: int) -> tuple[Any, int]:
    """Return a value of MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), and where it ends."""
    code, at = data[at], at + 1
    if code in _CONSTANTS:
        return _CONSTANTS[code], at
    if code < 0x80 or code >= 0xE0:
        return (code if code < 0x80 else code - 0x100), at
    if code in _NUMBERS:
        return _number(_NUMBERS[code], data, at)
    if 0xA0 <= code < 0xC0 or code in _LENGTHS:
        length, at = (code & 0x1F, at) if code < 0xC0 else _number(_LENGTHS[code], data, at)
        if at + length > len(data):
            raise ValueError("a text is cut off")
        return data[at : at + length].decode(), at + length
    if code < 0xA0:
        count, is_map = code & 0x0F, code < 0x90
    elif code in _COUNTS:
        (count, at), is_map = _number(_COUNTS[code], data, at), code >= 0xDE
    else:
        raise ValueError(f"a value is unknown, or of the type {code:#x}")  # an unknown value is an extension
    items = []
    for _ in range(count * 2 if is_map else count):
        item, at = _unpack(data, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if is_map else items), at


def _number(form: str, data: bytes, at: int) -> tuple[Any, int]:
    (value,) = struct.unpack_from(form, data, at)
    return value, at + struct.calcsize(form)
