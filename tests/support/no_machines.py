"""A driver without a machine, for instances with nothing behind them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pio_tf.training.driver_session import DriverSession


class NoMachines:
    """A driver that is ready, without a run: no machine is behind these instances."""

    async def configure(self, *_given: object) -> None:
        """Write nothing: there are no machines."""

    async def prepare_stop(self, **_given: object) -> None:
        """Permit every stop: no run is active."""


@asynccontextmanager
async def no_machines(*_setup: object, **_how: object) -> AsyncIterator[DriverSession]:
    """Open a session with such a driver."""
    yield cast("DriverSession", NoMachines())
