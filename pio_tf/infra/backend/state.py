"""Terraform states that pio-tf itself reads: their identity, and Terraform's own locks on them.

pio-tf takes these locks while it copies a state, so that Terraform and pio-tf see each other. It never breaks a lock.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import socket
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.errors import TerraformError
from pio_tf.infra.terraform_errors import lock_error
from pio_tf.json_text import parse_json
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.aws.objects import Objects


@dataclass(frozen=True)
class State:
    """The identity of a state."""

    lineage: str
    serial: int
    resources: int

    def __str__(self) -> str:
        plural = "" if self.resources == 1 else "s"
        return f"serial {self.serial} of lineage {self.lineage}, {self.resources} resource{plural}"


def read_state(text: bytes | str, *, name: str) -> State | None:
    """Return a state's identity; None for an empty state, which holds nothing that could be lost.

    Raises:
        TerraformError: the text is no state.
    """
    if not text.strip():
        return None
    try:
        raw = parse_json(text)
        state = State(str(raw["lineage"]), int(raw["serial"]), len(raw.get("resources") or ()))
        # OpenTofu's encryption leaves neither resources nor outputs in sight.
        other_content = bool(raw.get("outputs") or raw.get("encrypted_data"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TerraformError(
            f"{name} is not a Terraform state",
            cause=f"{type(error).__name__}: {error}",
            next_step="restore a good one, from its older versions in S3 or from a backup; then try again",
        ) from error
    return state if state.resources or other_content else None


@contextmanager
def lock_object(objects: Objects, key: str, *, path: str, directory: Path) -> Iterator[None]:
    """Hold the lock object of a state in S3.

    Args:
        path: URL of the state, which Terraform shows to a client that meets the lock.
        directory: the stack, for advice.

    Raises:
        Locked: another client holds it.
        AwsError: it cannot be written.
    """
    lock = {
        "ID": str(uuid.uuid4()),
        "Operation": "OperationTypeMigration",
        "Info": "",
        "Who": f"{_user()}@{socket.gethostname()}",
        "Version": f"pio-tf {__version__}",
        "Created": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
        "Path": path.removeprefix("s3://"),
    }
    etag = objects.create(key, json.dumps(lock).encode())
    if etag is None:
        found = objects.read(key)
        raise lock_error({"ID": "unknown", **_holder(found.body if found else b"")}, str(directory))
    try:
        yield
    finally:
        objects.remove(key, etag=etag)


@contextmanager
def lock_file(path: Path, *, directory: Path) -> Iterator[bytes]:
    """Hold the lock of a state in a file, as Terraform does, and yield the content.

    Raises:
        Locked: another process holds it.
    """
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            info = path.with_name(f".{path.name}.lock.info")
            raise lock_error(_holder(info.read_bytes() if info.is_file() else b""), str(directory)) from error
        yield file.read()


def _holder(content: bytes) -> dict[str, str]:
    """Return what Terraform has written into a lock, with the time as Terraform prints it."""
    try:
        return {name: str(value).replace("T", " ", name == "Created") for name, value in parse_json(content).items()}
    except (ValueError, AttributeError):
        return {}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
