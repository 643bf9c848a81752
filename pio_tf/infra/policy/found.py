"""What a check has found, before it is known where pio-tf.hcl stands and what it waives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pio_tf.infra.guard import Removal


@dataclass(frozen=True)
class Found:
    """One thing that breaks a rule."""

    rule: str
    """Its id."""
    address: str
    message: str
    place: str
    """The dotted name in pio-tf.hcl that it comes from: ``network.ssh_cidrs.0``."""
    removal: Removal | None = None
