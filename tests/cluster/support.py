"""An AWS that refuses deadlines, and a session whose steps are recorded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pio_tf.cluster.training_session import TrainingSession
from tests.support.builders import make_config
from tests.support.recording_aws import RecordingAws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pio_tf.cluster.objects import ClusterObjects
    from pio_tf.events import Event, Reporter


class Aws(RecordingAws):
    """An AWS that refuses some calls of Scheduler, named as ``POST`` or ``GET``."""

    refused: frozenset[str] = frozenset()

    def __enter__(self) -> Aws:
        self.start()
        return self

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/schedules/") and environ["REQUEST_METHOD"] in self.refused:
            start_response("403 Forbidden", [("x-amzn-ErrorType", "AccessDeniedException")])
            return [b'{"Message": ""}']
        return super()._application(environ, start_response)


class Steps:
    """The objects of a command, for a training session: each step records its call, and then does what a test asks.

    Args:
        reporter: default: events are kept.
        keep_up: leave the machines running.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.events: list[Event] = []
        self.does: dict[str, Callable[[], object]] = {}
        self.stops: list[dict[str, Any]] = []
        """How the machines were to stop."""

    def step(self, name: str) -> None:
        """Take one step."""
        self.calls.append(name)
        self.does.get(name, lambda: None)()

    def stop(self, **how: object) -> None:
        """Stop the machines."""
        self.stops.append(how)
        self.step("down")

    def session(self, *, keep_up: bool = False, reporter: Reporter | None = None) -> TrainingSession:
        """Return a session with these steps."""
        config = make_config(train={"keep_up": keep_up})
        command = SimpleNamespace(
            context=SimpleNamespace(config=config, report=reporter or self.events.append),
            fleet=SimpleNamespace(any_on=lambda: True, seen=None),
            deadline=SimpleNamespace(say_until=lambda: None),
            power=self,
        )
        return TrainingSession(cast("ClusterObjects", command), keep_up=None)
