"""What ``pio-tf train`` costs on a ready cluster: against the same ``pio train …`` over one SSH connection, with and
without the check ``pio-status``, which starts a JVM where PredictionIO is the real one.

The machines are up and stay so (``--keep-up``); engine, events and command line are the same. The sandbox's clock is
this computer's, so that a run's start and end, as the driver wrote them down, divide a command's time into what was
before the run, the run, and what came after it.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from scripts.bench.sandbox import PIO_TF
from scripts.bench.timing import alternate

if TYPE_CHECKING:
    from scripts.bench.sandbox import SandboxCluster

BY_HAND = "by hand, over SSH"
WITHOUT_STATUS = "pio-tf train --skip-check pio-status"
WITH_STATUS = "pio-tf train"
SAID = ("Waiting for SSH and Spark", "Spark has ", ("the driver is configured", "wrote "), "pio-status: ")
"""How the lines begin with which the parts before a run's start end."""
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
    """Each way so many times."""
    cluster.pio_tf("train", "--keep-up")  # once unmeasured: caches; its record has the command line
    command = str(cluster.last_run()["command"])
    parts: dict[str, list[list[float]]] = {WITHOUT_STATUS: [], WITH_STATUS: []}
    times = alternate(
        {
            BY_HAND: lambda: asyncio.run(by_hand(cluster, command)),
            WITHOUT_STATUS: lambda: parts[WITHOUT_STATUS].append(train(cluster, "--skip-check", "pio-status")),
            WITH_STATUS: lambda: parts[WITH_STATUS].append(train(cluster)),
        },
        turns=runs,
    )
    base = median(times[BY_HAND])
    print(f"\n{'train on a ready cluster':<51}  median      more  slowest")
    for name, seconds in times.items():
        more = "" if name == BY_HAND else f"{median(seconds) - base:+.2f} s"
        print(f"{name:<51} {median(seconds):>5.2f} s  {more:>8}  {max(seconds):>5.2f} s")
    print(f"\n{'where the time goes, medians':<51}  with pio-status  without")
    for number, part in enumerate(PARTS):
        with_status, without = (median(run[number] for run in parts[name]) for name in (WITH_STATUS, WITHOUT_STATUS))
        print(f"{part:<51}  {with_status:>11.2f} s  {without:>5.2f} s", flush=True)


async def by_hand(cluster: SandboxCluster, command: str) -> None:
    """The command line, in the login shell that a person would have.

    Raises:
        asyncssh.ProcessError: it failed.
    """
    async with cluster.ssh() as driver:
        await driver.run('bash -lc "$(cat)"', input=command, check=True)


def train(cluster: SandboxCluster, *options: str) -> list[float]:
    """The seconds of each part of one ``pio-tf train``.

    Raises:
        RuntimeError: it failed.
    """
    marks = [time.time()]
    lines = []
    process = subprocess.Popen(
        [PIO_TF, "train", "--keep-up", *options],
        cwd=cluster.project,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - for the type: it is a pipe
    for line in process.stdout:
        lines.append(line)
        if len(marks) <= len(SAID) and line.startswith(SAID[len(marks) - 1]):
            marks.append(time.time())
        if line.startswith("Trained in "):
            run = cluster.last_run()
            marks += [run["started"], run["ended"], time.time()]
    if process.wait() or len(marks) < len(PARTS):
        raise RuntimeError(f"pio-tf train failed, or says what it does in other words:\n{''.join(lines)}")
    marks.append(time.time())
    return [end - begin for begin, end in pairwise(marks)]
