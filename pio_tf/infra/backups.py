"""Copies of a local state from before each apply, and what Terraform leaves beside it when it cannot write one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from pio_tf.errors import PioTfError, TerraformError
from pio_tf.infra.backend.locks import hold_file
from pio_tf.infra.backend.move import read_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config

KEPT: Final = 20
"""Backups that are kept, the newest ones."""
ERRORED: Final = "errored.tfstate"
"""What Terraform writes into the stack when it has changed something and cannot write its state."""


class StateBackups:
    """The backups of a cluster's state, in ``.pio-tf/<cluster>/state-backups``, by the time (UTC); this user's alone.

    A state in a backend has none here: S3's bucket keeps older versions.
    """

    def __init__(self, config: Config) -> None:
        self.directory = config.work_dir / "state-backups"
        self._stack = config.stack_dir
        self._state = None if config.terraform.backend else config.stack_dir / "terraform.tfstate"

    def newest(self) -> Path | None:
        """The last one."""
        found = sorted(self.directory.glob("*.tfstate"))
        return found[-1] if found else None

    def keep(self) -> Path | None:
        """Keep a copy of the state as it is, unless the last one is the same. Where it is; None: there is no state.

        Raises:
            Locked: somebody else is at work on the state.
            TerraformError: the file is no state: it was not written to its end.
        """
        if self._state is None or not self._state.is_file():
            return None
        with hold_file(self._state, directory=self._stack) as content:
            self.check(content)
        newest = self.newest()
        if newest is not None and newest.read_bytes() == content:
            return newest
        copy = self._write(content)
        for old in sorted(self.directory.glob("*.tfstate"))[:-KEPT]:
            old.unlink()
        return copy

    def check(self, content: bytes) -> None:
        """Refuse what is no state, and name the last one that was.

        Raises:
            TerraformError: it is none.
        """
        try:
            read_state(content, named=str(self._state))
        except TerraformError as error:
            if newest := self.newest():
                error.next_step = (
                    f"bring back the last one that was whole: cp {newest} {self._state}; then `pio-tf plan`"
                )
            raise

    @contextmanager
    def named(self, kept: Path | None) -> Iterator[None]:
        """Errors meanwhile name the state as it was before."""
        try:
            yield
        except PioTfError as error:
            if kept is not None:
                error.details["state_backup"] = str(kept)
                error.next_step = "; ".join(filter(None, [error.next_step, f"the state from before is kept as {kept}"]))
            raise

    def put_aside(self, errored: Path) -> Path:
        """Take a state away that has been brought back."""
        copy = self._write(errored.read_bytes(), suffix=".errored")
        errored.unlink()
        return copy

    def _write(self, content: bytes, *, suffix: str = ".tfstate") -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = self.directory / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}{suffix}"
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return copy
