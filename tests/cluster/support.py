"""An AWS without permissions for deadlines, and a trainer without machines: what these tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pio_tf.training.trainer import Trainer
from tests.iam.recorder import RecordingAws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


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


class NoMachines(Trainer):
    """Finds every machine ready, and no run: none is behind these instances."""

    async def configure(self, *_given: object) -> None:
        """They are as they are."""

    async def let_go(self, **_given: object) -> None:
        """No run is active."""
