"""The cost of ``pio-tf train`` on a ready cluster, against the same ``pio train …`` over one SSH connection.

It is measured with and without the check ``pio-status``, which starts a JVM if PredictionIO is the real one.

The machines are up and stay so (``--keep-up``); engine, events and command line are the same. The run itself does not
count, so that it takes one process of Python, and Spark's master and workers are small programs. The sandbox's clock is
this computer's, so that a run's start and end, as the driver wrote them down, divide a command's time into what was
before the run, the run, and what came after it. The CPU seconds are the client's own.
"""

from __future__ import annotations

import asyncio
import resource
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from scripts.bench.timing import alternate

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.bench.sandbox import SandboxCluster

BY_HAND = "by hand, over SSH"
WITHOUT_STATUS = "pio-tf train --skip-check pio-status"
WITH_STATUS = "pio-tf train"
SAID = ("Waiting for SSH and Spark", "Spark has ", ("the driver is configured", "wrote "), "pio-status: ")
"""How the lines begin with which the parts before a run's start end."""
RUN = {BY_HAND: 1, WITHOUT_STATUS: 5, WITH_STATUS: 5}
"""Which of the parts is the run itself."""
PARTS = (
    "begin: Python, pio-tf.hcl, AWS, Terraform's outputs",
    "connect to four machines; Spark's workers",
    "lock; the driver's files",
    "checks",
    "engine, Elasticsearch before; start the run",
    "the run, by the driver's clock",
    "the log's end; proofs",
    "result, end",
)


def bench(cluster: SandboxCluster, *, runs: int) -> None:
    """Train in each way this many times."""
    cluster.pio_tf("train", "--keep-up")  # once unmeasured: caches; its record has the command line
    command = str(cluster.last_run()["command"])
    parts: dict[str, list[list[float]]] = {BY_HAND: [], WITHOUT_STATUS: [], WITH_STATUS: []}
    cpu: dict[str, list[float]] = {name: [] for name in parts}

    def side(name: str, work: Callable[[], list[float]]) -> Callable[[], None]:
        def run() -> None:
            begin = cpu_seconds()
            parts[name].append(work())
            cpu[name].append(cpu_seconds() - begin)

        return run

    alternate(
        {
            BY_HAND: side(BY_HAND, lambda: asyncio.run(by_hand(cluster, command))),
            WITHOUT_STATUS: side(WITHOUT_STATUS, lambda: train(cluster, "--skip-check", "pio-status")),
            WITH_STATUS: side(WITH_STATUS, lambda: train(cluster)),
        },
        turns=runs,
    )
    print(f"\n{'train on a ready cluster, medians':<51}   whole     more  around the run     more    CPU")
    whole = {name: median(sum(run) for run in side) for name, side in parts.items()}
    around = {name: median(sum(run) - run[RUN[name]] for run in side) for name, side in parts.items()}
    for name in parts:
        more = [f"{side[name] - side[BY_HAND]:+7.2f} s" if name != BY_HAND else " " * 9 for side in (whole, around)]
        seconds = f"{whole[name]:>5.2f} s {more[0]}  {around[name]:>12.2f} s {more[1]}  {median(cpu[name]):.2f} s"
        print(f"{name:<51} {seconds}")
    print("The run's own time, which varies more, is what the driver wrote down; by hand, what `date` said there.")
    print(f"\n{'where the time goes, medians':<51}  with pio-status  without")
    for number, part in enumerate(PARTS):
        with_status, without = (median(run[number] for run in parts[name]) for name in (WITH_STATUS, WITHOUT_STATUS))
        print(f"{part:<51}  {with_status:>13.2f} s  {without:>5.2f} s", flush=True)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def by_hand(cluster: SandboxCluster, command: str) -> list[float]:
    """Run the command line in a user's login shell; return the seconds before it, of it, and after it.

    Raises:
        asyncssh.ProcessError: it failed.
    """
    begin = time.time()
    async with cluster.ssh() as driver:
        timed = 'command=$(cat); date +%s.%N; bash -lc "$command" </dev/null >&2; status=$?; date +%s.%N; exit $status'
        done = await driver.run(timed, input=command, check=True)
    started, ended = (float(line) for line in str(done.stdout).split())
    return [started - begin, ended - started, time.time() - ended]


def train(cluster: SandboxCluster, *options: str) -> list[float]:
    """Return the seconds of each part of one ``pio-tf train``.

    Raises:
        RuntimeError: it failed.
    """
    marks = [time.time()]
    lines = []
    with cluster.start("train", "--keep-up", *options) as process:
        for line in process.stdout or ():
            lines.append(line)
            if len(marks) <= len(SAID) and line.startswith(SAID[len(marks) - 1]):
                marks.append(time.time())
            if line.startswith("Trained in "):
                run = cluster.last_run()
                marks += [run["started"], run["ended"], time.time()]
    if process.returncode or len(marks) < len(PARTS):
        raise RuntimeError(f"pio-tf train failed, or says what it does in other words:\n{''.join(lines)}")
    marks.append(time.time())
    return [end - begin for begin, end in pairwise(marks)]
