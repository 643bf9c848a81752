"""Disks beside the root disk: instance store, which is blank at every start, and volumes, which are not."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Literal, TypeAlias

from tests.real_machines.commands import run

if TYPE_CHECKING:
    from pathlib import Path

Kind: TypeAlias = Literal["instance store", "volume"]
MODELS: dict[Kind, str] = {
    "instance store": "Amazon EC2 NVMe Instance Storage",
    "volume": "Amazon Elastic Block Store",
}
"""What NVMe disks say of themselves in EC2."""
_numbers = itertools.count()


class Disk:
    """One disk: a loop device over a file.

    Args:
        directory: where the blocks are kept.
        mib: its size.
        kind: whether it is blank at every start.
    """

    def __init__(self, directory: Path, *, mib: int = 128, kind: Kind = "instance store") -> None:
        # scripts/test-machines knows disks of a killed run by this name.
        owner = os.environ["PIO_TF_MACHINE_CGROUP"].rpartition("-")[2]
        self._file = directory / f"pio-tf-store-{owner}-{next(_numbers)}"
        self._mib = mib
        self.kind = kind
        self.device: str | None = None

    def attach(self) -> str:
        """Attach the disk; return its device on this computer."""
        if self.kind == "instance store":
            self._file.unlink(missing_ok=True)
        with self._file.open("ab") as blocks:
            blocks.truncate(self._mib << 20)
        self.device = run("losetup", "--find", "--show", self._file).strip()
        return self.device

    def detach(self) -> None:
        """Detach the disk: no machine uses it any more."""
        if self.device is not None:
            run("losetup", "--detach", self.device)
            self.device = None

    def write(self, data: bytes) -> None:
        """Write at its beginning, while it is not attached."""
        with self._file.open("wb") as blocks:
            blocks.write(data)

    def read(self, size: int) -> bytes:
        """Read from its beginning."""
        with self._file.open("rb") as blocks:
            return blocks.read(size)
