"""Defaults of the arguments of several commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.infra.plan import Plan

    Agree: TypeAlias = Callable[[Plan], None]
    """Raises an error if a plan that creates machines is not to be applied."""

IDLE_FOR = 1800.0
"""Seconds that `down --if-idle` leaves machines alone after their start and after the last run."""


def always(_plan: Plan) -> None:
    """Agree to every plan."""
