"""An AWS without permissions for deadlines, and a driver without a machine: what these tests share."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from tests.support.recording_aws import RecordingAws

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from pio_tf.training.driver_session import DriverSession


class Aws(RecordingAws):
    """Refuses some calls of Scheduler's for want of permission: ``POST``, ``GET``, …"""

    refused: frozenset[str] = frozenset()

    def __enter__(self) -> Aws:
        self.start()
        return self

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/schedules/") and environ["REQUEST_METHOD"] in self.refused:
            start_response("403 Forbidden", [("x-amzn-ErrorType", "AccessDeniedException")])
            return [b'{"Message": ""}']
        return super()._application(environ, start_response)


class NoMachines:
    """A driver that is ready, without a run: no machine is behind these instances."""

    async def configure(self, *_given: object) -> None:
        """They are as they are."""

    async def prepare_stop(self, **_given: object) -> None:
        """No run is active."""


@asynccontextmanager
async def no_machines(*_setup: object, **_how: object) -> AsyncIterator[DriverSession]:
    """A session with such a driver."""
    yield cast("DriverSession", NoMachines())
