"""Terraform states that pio-tf itself reads: their identity, Terraform's own locks on them, and copies of a local one.

pio-tf takes these locks while it copies a state, so that Terraform and pio-tf see each other. It never breaks a lock.
The copies, from before each apply, are in ``.pio-tf/<cluster>/state-backups``.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import socket
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import PioTfError, TerraformError
from pio_tf.infra.terraform_messages import lock_error
from pio_tf.json_text import parse_json
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pio_tf.aws.objects import Objects
    from pio_tf.config.schema import Config
    from pio_tf.infra.binary import Product

MOST_BACKUPS: Final = 20
"""Older ones are removed."""
_NEWEST_FORMAT: Final = 4
"""The format of the states that Terraform 0.12 to 1.15 and OpenTofu write: ``stateVersion4`` in
https://github.com/hashicorp/terraform/blob/main/internal/states/statefile/version4.go."""
_REGISTRIES: Final[Mapping[Product, str]] = {"terraform": "registry.terraform.io/", "tofu": "registry.opentofu.org/"}
_RESTORE: Final = "restore a good one, from its older versions in S3 or from a backup; then try again"


@dataclass(frozen=True)
class State:
    """The identity of a state."""

    lineage: str
    serial: int
    resources: int
    encrypted: bool = False
    """By OpenTofu: its resources and outputs are not in sight, so that it counts as not empty."""
    product: Product | None = None
    """The product that wrote it last, by the addresses of its providers; None if they do not tell."""
    outputs: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """As ``terraform output -json`` prints them; None: only Terraform can tell, as the state is encrypted or old."""

    def __str__(self) -> str:
        plural = "" if self.resources == 1 else "s"
        content = "encrypted" if self.encrypted else f"{self.resources} resource{plural}"
        return f"serial {self.serial} of lineage {self.lineage}, {content}"


def read_state(text: bytes | str, *, name: str) -> State | None:
    """Return a state's identity; None for an empty state, which holds nothing that could be lost.

    Raises:
        TerraformError: the text is no state.
    """
    if not text.strip():
        return None
    try:
        raw = parse_json(text)
    except ValueError as error:
        raise _no_state(name, f"it is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise _no_state(name, "it is not a JSON object")
    version = raw.get("version")
    if isinstance(version, int) and version > _NEWEST_FORMAT:
        raise _no_state(
            name,
            f"its format, version {version}, is newer than this pio-tf",
            next_step="use the Terraform that wrote it, or a newer one, and a newer pio-tf",
        )
    try:
        resources = raw.get("resources") or ()
        encrypted = "encrypted_data" in raw
        product = _product(resources)
        outputs = raw.get("outputs") if version == _NEWEST_FORMAT and not encrypted else None
        state = State(str(raw["lineage"]), int(raw["serial"]), len(resources), encrypted, product, outputs)
    except KeyError as error:
        raise _no_state(name, f"it has no {error.args[0]}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise _no_state(name, f"its serial or its resources are unreadable: {error}") from error
    return state if state.resources or state.encrypted or raw.get("outputs") else None


def _product(resources: Iterable[object]) -> Product | None:
    """Return the product that has written the resources: each has its own registry, which all providers name."""
    providers = [str(one.get("provider")) for one in resources if isinstance(one, dict)]
    for product, registry in _REGISTRIES.items():
        if providers and all(registry in provider for provider in providers):
            return product
    return None


def _no_state(name: str, cause: str, *, next_step: str = _RESTORE) -> TerraformError:
    return TerraformError(f"{name} is not a Terraform state", cause=cause, next_step=next_step)


@contextmanager
def lock_object(objects: Objects, key: str, *, path: str, by_hand: str) -> Iterator[None]:
    """Hold the lock object of a state in S3.

    Args:
        path: URL of the state, which Terraform shows to a client that meets the lock.
        by_hand: the command line of Terraform in the stack, for the next step.

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
        raise lock_error({"ID": "unknown", **_holder(found.body if found else b"")}, by_hand)
    try:
        yield
    finally:
        objects.remove(key, etag=etag)


@contextmanager
def lock_file(path: Path, *, by_hand: str) -> Iterator[bytes]:
    """Hold the lock of a state in a file, as Terraform does, and yield the content.

    Args:
        by_hand: as for :func:`lock_object`.

    Raises:
        Locked: another process holds it.
    """
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            info = path.with_name(f".{path.name}.lock.info")
            raise lock_error(_holder(info.read_bytes() if info.is_file() else b""), by_hand) from error
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


class StateBackups:
    """The backups of a cluster's local state, named by the time (UTC) and private to this user.

    A state in a backend has none: S3's bucket keeps older versions.

    Args:
        by_hand: as for :func:`lock_object`.
    """

    def __init__(self, config: Config, *, by_hand: str) -> None:
        self.directory = config.work_dir / "state-backups"
        self._by_hand = by_hand
        self._state = None if config.terraform.backend else config.stack_dir / "terraform.tfstate"

    def newest(self) -> Path | None:
        """Return the newest backup; None if there is none."""
        return next(iter(reversed(self._all())), None)

    def save(self) -> Path | None:
        """Save a copy of the state, unless the newest one is the same. Return its path; None if there is no state.

        Raises:
            Locked: another process is using the state.
            TerraformError: the file is no state: it was not written completely.
        """
        self.check_state()
        if self._state is None or not self._state.is_file():
            return None
        with lock_file(self._state, by_hand=self._by_hand) as content:
            self._check(content)
        newest = self.newest()
        if newest is not None and newest.read_bytes() == content:
            return newest
        backup = self._write(content, ".tfstate")
        for old in self._all()[:-MOST_BACKUPS]:
            old.unlink()
        return backup

    def check_state(self) -> State | None:
        """Check the state before Terraform reads it, and return it. None: there is none, or it is empty.

        Raises:
            TerraformError: it cannot be read, or is no state; the newest backup is named.
        """
        if self._state is None:
            return None
        try:
            content = self._state.read_bytes()
        except FileNotFoundError:
            return None
        except IsADirectoryError as error:
            raise self._with_backup(_no_state(str(self._state), "it is a directory")) from error
        except OSError as error:
            raise TerraformError(
                f"cannot read the state {self._state}",
                cause=error.strerror or str(error),
                next_step="check its permissions, and the path: ls -l",
            ) from error
        return self._check(content)

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Save the state, and name the copy in errors of what is done inside."""
        backup = self.save()
        try:
            yield
        except PioTfError as error:
            if backup is not None:
                error.details["state_backup"] = str(backup)
                error.next_step = "; ".join(filter(None, [error.next_step, f"the earlier state is saved as {backup}"]))
            raise

    def take(self, errored: Path) -> Path:
        """Move a state that was restored out of the stack. Return where it is now."""
        copy = self._write(errored.read_bytes(), ".errored")
        errored.unlink()
        return copy

    def _all(self) -> list[Path]:
        return sorted(self.directory.glob("*.tfstate"))

    def _check(self, content: bytes) -> State | None:
        try:
            state = read_state(content, name=str(self._state))
        except TerraformError as error:
            raise self._with_backup(error) from error.__cause__
        if not content.strip() and self.newest():  # before the first apply, Terraform's lock makes an empty file
            raise self._with_backup(_no_state(str(self._state), "it is empty"))
        return state

    def _with_backup(self, error: TerraformError) -> TerraformError:
        if newest := self.newest():
            remove = f"rm -r {self._state} && " if self._state and self._state.is_dir() else ""
            error.next_step = f"restore the newest backup: {remove}cp {newest} {self._state}; then `pio-tf plan`"
        return error

    def _write(self, content: bytes, suffix: str) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.directory / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}{suffix}"
        write_atomically(path, content)
        return path
