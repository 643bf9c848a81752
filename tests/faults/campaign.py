"""Many scenarios, in several processes, and a table of their results."""

from __future__ import annotations

import atexit
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.killed import KilledStage, KillingAws
from tests.faults.scenario import KILLED, Result, Stage, play, workers_of
from tests.faults.time import Clock
from tests.faults.world import World
from tests.support.aws_descriptions import read_descriptions_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROCESSES = 25
"""Every so many-th seed is played with a real process, which is killed."""


@dataclass
class Summary:
    """The results of a campaign."""

    scenarios: int = 0
    commands: int = 0
    clients_at_once: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[int] = field(default_factory=Counter)
    past_deadline: int = 0
    past_run_end: int = 0
    stopped_themselves: int = 0
    broken: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Add one more scenario."""
        self.scenarios += 1
        self.commands += len(result.outcomes)
        self.clients_at_once += any(not outcome.alone for outcome in result.outcomes)
        self.faults.update(result.faults)
        self.ends.update(outcome.code for outcome in result.outcomes)
        self.past_deadline += result.past_deadline
        self.past_run_end += result.past_run_end
        self.stopped_themselves += result.stopped_themselves
        if result.violations:
            self.broken.append(result)

    def table(self) -> str:
        """Return the results as a table."""
        rows = [("scenarios", self.scenarios), ("  with two clients at once", self.clients_at_once)]
        rows += [("commands", self.commands)]
        rows += [(f"  {_end_name(code)}", count) for code, count in sorted(self.ends.items())]
        rows += [("faults", sum(self.faults.values()))]
        rows += [(f"  {kind}", count) for kind, count in sorted(self.faults.items())]
        rows += [("drivers that powered themselves off", self.stopped_themselves)]
        rows += [("machines past their run's end", self.past_run_end)]
        rows += [("machines past the deadline", self.past_deadline), ("violated invariants", len(self.broken))]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {count:>7}" for name, count in rows)

    def failures(self) -> str:
        """Return every scenario that broke an invariant, and the command that plays it again."""
        return "\n\n".join(describe(result) for result in self.broken)


def describe(result: Result) -> str:
    """Describe a scenario that broke an invariant."""
    lines = [f"seed {result.seed} ({result.workers} workers): make faults SEED={result.seed} N=1"]
    lines += [f"  {one.client}: `{one.command}` {_end_name(one.code)}" for one in result.outcomes]
    return "\n".join([*lines, *(f"  ! {violation}" for violation in result.violations)])


def _end_name(code: int) -> str:
    return "killed" if code == KILLED else f"exit code {code}"


class Stages:
    """The worlds of a process: an AWS, and in it a cluster of each size, made when it is first played on."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._aws = KillingAws(transition_seconds=1.0, clock=self._clock, now=self._clock.moment)
        self._directory = tempfile.TemporaryDirectory(prefix="pio-tf-faults-")
        self._made: dict[int, Stage] = {}
        self._killed: KilledStage | None = None
        self._number = 0

    def __enter__(self) -> Stages:
        self._aws.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._aws.stop()
        self._directory.cleanup()

    def of(self, workers: int) -> Stage:
        """Return the world of a cluster of that size."""
        if workers not in self._made:
            self._number += 1
            directory = Path(self._directory.name) / f"c{workers}"
            if directory.exists():  # a scenario lost something of it, so that it is created again
                directory = directory.with_name(f"c{workers}-{self._number}")
            self._made[workers] = Stage(World(self._aws, self._clock, workers=workers, directory=directory))
        return self._made[workers]

    @property
    def killed(self) -> KilledStage:
        """The world of clients that are processes, and are killed."""
        if self._killed is None:
            self._killed = KilledStage(self._aws, self._clock, Path(self._directory.name) / "killed")
        return self._killed

    def play(self, seed: int) -> Result:
        """Play a scenario. Its world is kept for the next one, unless something of it was lost."""
        if seed % PROCESSES == PROCESSES - 1:
            return self.killed.play(seed)
        stage = self.of(workers_of(seed))
        try:
            return play(seed, stage)
        finally:
            if stage.world.belongings() != stage.world.began_with:
                del self._made[workers_of(seed)]


_stages: Stages | None = None


def _begin() -> None:
    global _stages
    read_descriptions_once()
    _stages = Stages().__enter__()
    atexit.register(_stages.__exit__)


def _play(seed: int) -> Result:
    assert _stages is not None
    return _stages.play(seed)


def run_campaign(
    seeds: Iterable[int], *, processes: int, on_result: Callable[[Result], None] = lambda _result: None
) -> Summary:
    """Play these scenarios; ``on_result`` hears of each as it ends."""
    summary = Summary()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin) as pool:
        for result in pool.map(_play, seeds, chunksize=5):
            summary.add(result)
            on_result(result)
    return summary
