"""An AWS that refuses deadlines, and a session whose steps are recorded."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pio_tf.cluster.training_session import TrainingSession
from pio_tf.training.runs.run_copies import find_run
from tests.support.builders import make_config
from tests.support.recording_aws import RecordingAws

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from pio_tf.cluster.objects import ClusterObjects
    from pio_tf.events import Event, Reporter
    from pio_tf.training.runs.record import RunRecord

_T = TypeVar("_T")


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


class FollowedRuns:
    """A connection to a driver that has these runs.

    Args:
        step: records that a run is followed.
    """

    def __init__(self, runs: Iterable[RunRecord], step: Callable[[str], None]) -> None:
        self._runs = {run.id: run for run in runs}
        self._step = step

    async def find(self, wanted: str) -> str:
        """Return the id of a run."""
        return find_run(wanted, self._runs)

    async def follow(self, run: str, *, stop_after: bool) -> RunRecord:
        """Follow a run to its end."""
        self._step(f"follow {run}, stop_after={stop_after}")
        return self._runs[run]


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
        self.runs: list[RunRecord] = []
        """Those that the driver has."""

    def step(self, name: str) -> None:
        """Take one step."""
        self.calls.append(name)
        self.does.get(name, lambda: None)()

    def stop(self, **how: object) -> None:
        """Stop the machines."""
        self.stops.append(how)
        self.step("down")

    def running(self, _outputs: object, *, strict: bool) -> tuple[None, None]:
        """Look for the machines."""
        assert not strict
        return None, None

    def connect(self, _view: object, work: Callable[[FollowedRuns], Coroutine[Any, Any, _T]], *, upload: str) -> _T:
        """Do some work over one connection to the driver."""
        assert not upload
        self.step("connect")
        return asyncio.run(work(FollowedRuns(self.runs, self.step)))

    def session(self, *, keep_up: bool = False, reporter: Reporter | None = None) -> TrainingSession:
        """Return a session with these steps."""
        config = make_config(train={"keep_up": keep_up})
        command = SimpleNamespace(
            context=SimpleNamespace(config=config, report=reporter or self.events.append),
            fleet=SimpleNamespace(any_on=lambda: True, seen=None),
            deadline=SimpleNamespace(say_until=lambda: None),
            power=self,
            driver=SimpleNamespace(running=self.running, session=self.connect),
            created=SimpleNamespace(outputs=lambda: None),
            storage=SimpleNamespace(checked_upload=lambda url: url),
        )
        return TrainingSession(cast("ClusterObjects", command), keep_up=None)
