"""Terraform's locks on a state, taken while pio-tf itself copies one: so Terraform and pio-tf see each other.

A lock that somebody else holds is never removed.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import socket
import uuid
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.errors import Locked
from pio_tf.infra.diagnostics import Diagnostic, failure
from pio_tf.json_text import parse_json
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.aws.objects import Objects


@contextmanager
def hold_object(objects: Objects, key: str, *, path: str, directory: Path) -> Iterator[None]:
    """Hold the lock object of a state in S3.

    Args:
        path: the state, for whoever meets the lock.
        directory: the stack, for advice.

    Raises:
        Locked: somebody else holds it; they are named.
        AwsError: it cannot be written.
    """
    description = json.dumps(
        {
            "ID": str(uuid.uuid4()),
            "Operation": "OperationTypeMigration",
            "Info": "",
            "Who": f"{_user()}@{socket.gethostname()}",
            "Version": f"pio-tf {__version__}",
            "Created": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
            "Path": path.removeprefix("s3://"),
        }
    )
    etag = objects.create(key, description.encode())
    if etag is None:
        found = objects.read(key)
        raise locked(found.body.decode("utf-8", "replace") if found else "{}", directory=directory)
    try:
        yield
    finally:
        objects.remove(key, etag=etag)


@contextmanager
def hold_file(path: Path, *, directory: Path) -> Iterator[bytes]:
    """Hold the lock of a state in a file, as Terraform does, and read it.

    Raises:
        Locked: somebody else holds it.
    """
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            described = path.with_name(f".{path.name}.lock.info")
            raise locked(described.read_text("utf-8") if described.is_file() else "{}", directory=directory) from error
        yield file.read()


def locked(description: str, *, directory: Path) -> Locked:
    """The error for a lock that somebody else holds.

    Args:
        description: what Terraform wrote into it, as JSON.
        directory: the stack, for advice.
    """
    try:
        fields = dict(parse_json(description))
    except (ValueError, TypeError):
        fields = {}
    fields["Created"] = str(fields.get("Created", "")).replace("T", " ")
    lines = "\n".join(f"  {name}: {fields.get(name) or 'unknown'}" for name in ("ID", "Operation", "Who", "Created"))
    told = failure(
        "moving the state",
        [Diagnostic("error", "Error acquiring the state lock", f"Lock Info:\n{lines}")],
        exit_code=1,
        directory=str(directory),
    )
    assert isinstance(told, Locked)  # noqa: S101 - the lines above name a lock
    return told


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "somebody"
