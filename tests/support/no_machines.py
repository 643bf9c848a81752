"""A driver without a machine, for instances with nothing behind them."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from pio_tf.training.driver_session import DriverSession


class NoMachines:
    """A driver that is ready, without a run: no machine is behind these instances."""

    async def configure_for_use(self, *_given: object) -> None:
        """Write nothing: there are no machines."""

    async def rehearse(self, *_given: object) -> None:
        """Pass every check: there are no machines."""

    async def prepare_stop(self, **_given: object) -> None:
        """Permit every stop: no run is active."""

    def hold_for_change(self) -> AbstractAsyncContextManager[None]:
        """Give the lock to every client: no run is active."""
        return nullcontext()

    hold_for_removal = hold_for_change


@asynccontextmanager
async def no_machines(*_setup: object, **_how: object) -> AsyncIterator[DriverSession]:
    """Open a session with such a driver."""
    yield cast("DriverSession", NoMachines())
