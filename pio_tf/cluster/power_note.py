"""Which machines ran before an apply, in a file for as long as it lasts: who is killed can't put the power back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pio_tf.model import Machine


@dataclass(frozen=True)
class PowerBefore:
    """The machines that there were, and those that ran, by id."""

    known: frozenset[str]
    awake: frozenset[str]
    of_another: bool = False
    """Whether it was noted by an earlier apply, which was cut off."""

    def started(self, machines: Iterable[Machine], *, and_new: bool) -> list[Machine]:
        """Those that run now and did not before.

        Args:
            and_new: those, too, that were not there before.
        """
        return [
            machine
            for machine in machines
            if machine.is_on
            and machine.instance_id not in self.awake
            and (and_new or machine.instance_id in self.known)
        ]


class PowerNote:
    """The file: ``.pio-tf/<cluster>/power-before-apply.json``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def before(self, machines: Sequence[Machine]) -> PowerBefore:
        """The power as it is; where an earlier apply was cut off, as that one has noted it."""
        return self.left() or PowerBefore(
            known=frozenset(machine.instance_id for machine in machines),
            awake=frozenset(machine.instance_id for machine in machines if machine.is_on),
        )

    def keep(self, before: PowerBefore) -> None:
        """Note it, before Terraform changes anything.

        Raises:
            ConfigError: there is no place for the file.
        """
        if before.of_another:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            note = {"known": sorted(before.known), "awake": sorted(before.awake)}
            write_atomically(self._path, json.dumps(note) + "\n")
        except OSError as error:
            raise ConfigError(
                f"cannot write {self._path}, where the machines' power is noted before a change",
                cause=str(error.strerror),
                next_step="see what is in the way, who may write there and whether the disk is full: "
                f"ls -ld {self._path.parent}; df -h",
            ) from error

    def left(self) -> PowerBefore | None:
        """What an apply has noted that was cut off; None: there is none."""
        try:
            raw = json.loads(self._path.read_text())
            return PowerBefore(frozenset(map(str, raw["known"])), frozenset(map(str, raw["awake"])), of_another=True)
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def end(self) -> None:
        """The power is as it should be."""
        if self.left() is not None:  # or a directory that may not be written would be an error of every `down`
            self._path.unlink(missing_ok=True)
