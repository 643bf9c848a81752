"""Copies of a local state from before each apply, in ``.pio-tf/<cluster>/state-backups``."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import PioTfError, TerraformError
from pio_tf.infra.backend.state import lock_file, read_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config

MOST_BACKUPS: Final = 20
"""Older ones are removed."""


class StateBackups:
    """The backups of a cluster's local state, named by the time (UTC) and private to this user.

    A state in a backend has none: S3's bucket keeps older versions.
    """

    def __init__(self, config: Config) -> None:
        self.directory = config.work_dir / "state-backups"
        self._stack = config.stack_dir
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
        if self._state is None or not self._state.is_file():
            return None
        with lock_file(self._state, directory=self._stack) as content:
            self._check(content)
        newest = self.newest()
        if newest is not None and newest.read_bytes() == content:
            return newest
        backup = self._write(content, ".tfstate")
        for old in self._all()[:-MOST_BACKUPS]:
            old.unlink()
        return backup

    def check_state(self) -> None:
        """Check the state before Terraform reads it.

        Raises:
            TerraformError: it was not written completely; the newest backup is named.
        """
        if self._state is not None and self._state.is_file():
            self._check(self._state.read_bytes())

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

    def _check(self, content: bytes) -> None:
        try:
            read_state(content, name=str(self._state))
        except TerraformError as error:
            if newest := self.newest():
                error.next_step = f"restore the newest backup: cp {newest} {self._state}; then `pio-tf plan`"
            raise

    def _write(self, content: bytes, suffix: str) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.directory / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}{suffix}"
        write_atomically(path, content)
        return path
