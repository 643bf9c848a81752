"""The table of ``make bench``: what pio-tf does, each row beside the shortest thing that a user could do instead.

Both sides of a row take turns in one run, so that a busy moment of the computer hits both. A ratio is the median of
those of the turns. It can be compared with that of another run or computer; seconds cannot.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Literal, TypeVar

from pio_tf.sandbox.provider import install_mirror
from scripts.bench.local_aws import local_aws
from scripts.bench.sandbox import ready_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from scripts.bench.local_aws import LocalAws
    from scripts.bench.sandbox import SandboxCluster

_T = TypeVar("_T")

TURNS = 7
"""The fewest measurements of each side. One more comes first, which fills caches and does not count."""
SLOWER = 1.15
"""A ratio that has grown by more than this factor since an earlier run is marked."""
HEADER = (
    f"{'row':<13} {'pio-tf':>8} {'instead':>8}  {'instead of pio-tf':<30} {'ratio':>6} {'CPU':>5}  {'aim':<8}"
    f" {'AWS calls':>9} {'Terraform runs':>14}"
)


@dataclass(frozen=True)
class Counts:
    """What one side asks of others: requests to AWS by its own process, and the runs of Terraform that it starts."""

    aws_calls: int
    terraform_runs: int


@dataclass(frozen=True)
class Side:
    """One of the two that a row compares.

    Args:
        run: does the work once.
        prepare: is called before each run, and not measured.
        counts: does the work once more, and counts.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    counts: Callable[[], Counts] | None = None


@dataclass(frozen=True)
class Row:
    """One row of the table, before it is measured.

    Args:
        name: how ``ONLY=`` selects it.
        instead: what a user could do instead, for the table.
        aim: the highest ratio, or the most seconds, that it should have.
        sides: returns pio-tf's side and the other one.
        limits: what the aim limits: the ratio, the seconds that pio-tf takes, or the seconds beyond the other side.
        turns: how often each side is measured.
        named_only: too long for the whole table: it is measured only if ``ONLY=`` names it.
    """

    name: str
    instead: str
    aim: float
    sides: Callable[[Workbench], tuple[Side, Side]]
    limits: Literal["ratio", "seconds", "seconds more"] = "ratio"
    turns: int = TURNS
    named_only: bool = False


@dataclass(frozen=True)
class Result:
    """One measured row. Seconds are medians."""

    name: str
    instead: str
    seconds: float
    instead_seconds: float
    ratio: float
    cpu_ratio: float | None
    """The ratio of CPU seconds, children included; None: the work is done in other processes."""
    aim: float
    limits: str
    turns: int
    counts: Counts | None
    instead_counts: Counts | None

    @property
    def is_met(self) -> bool:
        """Whether the aim is reached."""
        more = self.seconds - self.instead_seconds
        return {"ratio": self.ratio, "seconds": self.seconds, "seconds more": more}[self.limits] <= self.aim

    def line(self) -> str:
        """Return the row of the table."""
        aim = {"ratio": f"≤ {self.aim:g}", "seconds": f"≤ {self.aim:g} s", "seconds more": f"+{self.aim:g} s"}
        calls, runs = "-", "-"
        if self.counts is not None:
            other = self.instead_counts
            calls = f"{self.counts.aws_calls}" + (f" / {other.aws_calls}" if other else "")
            runs = f"{self.counts.terraform_runs}" + (f" / {other.terraform_runs}" if other else "")
        cpu = f"{self.cpu_ratio:>5.2f}" if self.cpu_ratio is not None else f"{'-':>5}"
        return (
            f"{self.name:<13} {self.seconds:>6.3f} s {self.instead_seconds:>6.3f} s  {self.instead:<30} "
            f"{self.ratio:>6.2f} {cpu}  {aim[self.limits]:<8} {calls:>9} {runs:>14}{'' if self.is_met else '   missed'}"
        )


class Workbench:
    """What rows measure on: made when a row first needs it, removed at the end."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Workbench:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and remove what was made."""
        self._open.close()

    def keep(self, manager: AbstractContextManager[_T]) -> _T:
        """Enter a context, which ends with the workbench. Return its value."""
        return self._open.enter_context(manager)

    @cached_property
    def cluster(self) -> SandboxCluster:
        """A cluster of the sandbox whose four machines run."""
        return self.keep(ready_cluster())

    @cached_property
    def terraformrc(self) -> Path:
        """Terraform's CLI configuration, which leads to the AWS provider without a network."""
        return install_mirror(self.aws.directory / "terraform")

    @cached_property
    def aws(self) -> LocalAws:
        """A local AWS without machines behind it."""
        return self.keep(local_aws())


def measure(row: Row, workbench: Workbench) -> Result:
    """Measure a row: each side in turn, the first turn for nothing."""
    sides = row.sides(workbench)
    seconds: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for turn in range(row.turns + 1):
        for index in (0, 1) if turn % 2 else (1, 0):
            sides[index].prepare()
            used, begin = _cpu(), time.perf_counter()
            sides[index].run()
            if turn:
                seconds[index].append(time.perf_counter() - begin)
                cpu[index].append(_cpu() - used)
    ours, other = (side.counts() if side.counts is not None else None for side in sides)
    return Result(
        row.name,
        row.instead,
        seconds=statistics.median(seconds[0]),
        instead_seconds=statistics.median(seconds[1]),
        ratio=_ratio(*seconds),
        cpu_ratio=_ratio(*cpu) if min(map(min, cpu)) > 0.005 else None,
        aim=row.aim,
        limits=row.limits,
        turns=row.turns,
        counts=ours,
        instead_counts=other,
    )


def print_table(rows: Iterable[Row]) -> list[Result]:
    """Measure rows, and print each as soon as it is known."""
    results = []
    print(HEADER, flush=True)
    with Workbench() as workbench:
        for row in rows:
            result = measure(row, workbench)
            results.append(result)
            print(result.line(), flush=True)
    return results


def select(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    """Return the rows with these names, which may be beginnings of names; without any, all that are not too long."""
    if not only:
        return [row for row in rows if not row.named_only]
    return [row for row in rows if any(row.name.startswith(name) for name in only)]


def write_json(results: Sequence[Result], path: Path) -> None:
    """Write results, which :func:`print_comparison` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
    path.write_text(json.dumps({**about, "rows": [asdict(result) for result in results]}, indent=2) + "\n")


def print_comparison(results: Sequence[Result], path: Path) -> bool:
    """Print the ratios beside those of an earlier run. Return whether none has grown notably."""
    earlier = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    print(f"\n{'row':<13} {'ratio in ' + path.name:>24} {'now':>6} {'change':>7}")
    good = True
    for result in results:
        before = earlier.get(result.name)
        if before is None:
            print(f"{result.name:<13} {'-':>24} {result.ratio:>6.2f}")
            continue
        change = result.ratio / before["ratio"]
        slower = change > SLOWER
        good = good and not slower
        print(
            f"{result.name:<13} {before['ratio']:>24.2f} {result.ratio:>6.2f} {change:>7.2f}"
            f"{'   slower' if slower else ''}"
        )
    return good


def _ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """Return the median of the turns' ratios."""
    return statistics.median(one / two for one, two in zip(ours, other, strict=True))


def _cpu() -> float:
    """Return the CPU seconds of this process and its ended children."""
    used = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
