"""A run that prints as fast as it can, followed by ``pio-tf train --attach``: how fast, and in how much memory.

Against it, in the same run: the log of a run that prints nothing; the log's bytes copied over SSH by asyncssh alone,
and by OpenSSH's client where there is one; and on the driver, what hides secrets (Perl) against ``cat``, from a pipe to
a file each, as the runner has it. Client and driver share this computer's cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from pio_tf import Cluster
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.proof import Before, Traces
from pio_tf.training.redact import Redactor
from pio_tf.training.run import start_run
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.record import Client, RunRecord, new_run_id
from pio_tf.training.runs.run_copies import Archive
from scripts.bench.spark_log import SECRET, write_log
from scripts.bench.table import Row, Side
from scripts.bench.timing import alternate

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.bench.sandbox import SandboxCluster
    from scripts.bench.table import Workbench

SECRETS = (SECRET, "another one")
ASYNCSSH, HIDING, CAT = "asyncssh alone", "driver: what hides secrets", "driver: cat"
SUCCESS = "echo '[INFO] [CoreWorkflow$] Training completed successfully.'"
TURNS = 3
ROW_BYTES = 200_000_000
COPY = """
import asyncio, sys, time
import asyncssh
address, port, user, key, command = sys.argv[1:]
async def main():
    async with asyncssh.connect(
        address, int(port), username=user, client_keys=[key], known_hosts=None, config=None
    ) as driver:
        process = await driver.create_process(command, encoding=None)
        while await process.stdout.read(65536):
            pass
asyncio.run(main())
"""


@dataclass(frozen=True)
class Followed:
    """A run, seen to its end by a client of its own."""

    seconds: float
    """The client's, from its start to its end."""
    peak_mib: float
    """The most memory that the client had."""
    written: float
    """Seconds from the run's start to its end: until all was in the driver's log."""


def rows() -> tuple[Row, ...]:
    """Return the rows of logs."""
    return (
        Row("attach", "asyncssh alone, 200 MB", 2.5, attach, named_only=True),
        Row("hiding", "cat, 200 MB", 3.0, hiding),
    )


def attach(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of following a log that is there already: whole processes, with their starts."""
    cluster = workbench.cluster
    write_log(cluster.home / "bench.log", ROW_BYTES)
    runs: list[str] = []

    def begin() -> None:
        record = asyncio.run(start(cluster, f"cat ~/bench.log; {SUCCESS}"))
        runs.append(record.id)
        while not (cluster.home / ".pio-tf" / "runs" / record.id / "ended").exists():
            time.sleep(0.1)

    def follow_last() -> None:
        with cluster.start("train", "--attach", "--keep-up", runs[-1], stdout=subprocess.DEVNULL) as process:
            if process.wait():
                raise RuntimeError(f"`pio-tf train --attach {runs[-1]}` ended with {process.returncode}")

    return Side(follow_last, prepare=begin), Side(copies(cluster, "cat ~/bench.log")[ASYNCSSH])


def hiding(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of the filter of a run's output."""
    log = Path(workbench.keep(TemporaryDirectory())) / "bench.log"
    write_log(log, ROW_BYTES)
    sides = filters(log)
    return Side(sides[HIDING]), Side(sides[CAT])


def bench(cluster: SandboxCluster, *, megabytes: int) -> None:
    """Run all benchmarks of logs."""
    log = cluster.home / "bench.log"
    lines = write_log(log, megabytes * 1_000_000)
    size = log.stat().st_size
    empty, full = [], []
    for _ in range(TURNS):
        empty.append(follow(cluster, "true"))
        full.append(follow(cluster, "cat ~/bench.log"))
    nothing = medians(copies(cluster, "true"))
    copying = {name: seconds - nothing[name] for name, seconds in medians(copies(cluster, "cat ~/bench.log")).items()}
    following = median(one.seconds for one in full) - median(one.seconds for one in empty)
    hiding = medians(filters(log))
    print(f"\n{f'log of {size / 1e6:.0f} MB, {lines:,} lines':<34}  seconds    MB/s    lines/s")
    for name, seconds in {"pio-tf train --attach": following, **copying, **hiding}.items():
        print(f"{name:<34} {seconds:>8.2f} {size / 1e6 / seconds:>7.1f} {lines / seconds:>10,.0f}")
    print(
        f"A client's start, login and end, the same for nothing, are taken off. The run's own {lines:,} lines were in"
    )
    print(f"the driver's log after {median(one.written for one in full):.2f} s.")
    print(f"pio-tf train --attach / asyncssh alone: {following / copying[ASYNCSSH]:.1f}")
    print(f"on the driver: hiding secrets / cat: {hiding[HIDING] / hiding[CAT]:.1f}")
    peaks = [median(one.peak_mib for one in side) for side in (full, empty)]
    print(f"client's peak memory: {peaks[0]:.1f} MiB; {peaks[1]:.1f} MiB for an empty log", flush=True)


def follow(cluster: SandboxCluster, command: str) -> Followed:
    """Start a run of this command, and follow it with a client of its own.

    Raises:
        RuntimeError: the client failed.
    """
    record = asyncio.run(start(cluster, f"{command}; {SUCCESS}"))
    begin = time.perf_counter()
    peak = 0.0
    with (
        Path(os.devnull).open("w") as nowhere,
        cluster.start("train", "--attach", "--keep-up", record.id, stdout=nowhere) as process,
    ):
        while process.poll() is None:
            peak = max(peak, peak_mib(process.pid))
            time.sleep(0.02)
    seconds = time.perf_counter() - begin
    run = cluster.last_run()
    if process.returncode or run["id"] != record.id:
        raise RuntimeError(
            f"`pio-tf train --attach {record.id}` ended with {process.returncode}; the last run is {run}"
        )
    return Followed(seconds, peak, written=run["ended"] - run["started"])


async def start(cluster: SandboxCluster, command: str) -> RunRecord:
    """Start a run of any command on the driver, as pio-tf starts a training there."""
    loaded = Cluster.load(cluster.project / "pio-tf.hcl", environ=cluster.environment)
    client = Client.here()
    record = RunRecord(
        new_run_id(),
        "bench",
        client,
        command,
        engine_dir="",
        traces=asdict(Traces("", "")),
        before=asdict(Before()),
    )
    async with (
        ClusterConnection(loaded.config, loaded.targets()) as remote,
        hold_driver_lock(remote, client, doing="preparing", run=record.id) as lock,
    ):
        return await start_run(
            remote, lock, record, command=command, redactor=Redactor(SECRETS), archive=Archive.of(loaded.config)
        )


def copies(cluster: SandboxCluster, command: str) -> dict[str, Callable[[], object]]:
    """Return the simplest ways to copy a command's output to this computer."""
    address = (cluster.address, str(cluster.port), cluster.user, str(cluster.key))
    ways = {ASYNCSSH: calling(sys.executable, "-c", COPY, *address, command)}
    if ssh := shutil.which("ssh"):
        quiet = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR")
        options = [*(f"-o{word}" for word in quiet), "-F", "none", "-i", str(cluster.key), "-p", str(cluster.port)]
        ways["ssh (OpenSSH)"] = calling(ssh, *options, f"{cluster.user}@{cluster.address}", command)
    return ways


def filters(log: Path) -> dict[str, Callable[[], object]]:
    """Return the filter that a run's output passes through on the driver, and ``cat`` for comparison."""
    program, copy = log.with_name("bench-redact"), log.with_name("bench-copy")
    program.write_text(Redactor(SECRETS).in_perl())
    pipe = 'from=$0 to=$1; shift; cat "$from" | "$@" >"$to"'
    return {
        HIDING: calling("bash", "-c", pipe, str(log), str(copy), "perl", str(program)),
        CAT: calling("bash", "-c", pipe, str(log), str(copy), "cat"),
    }


def calling(*command: str) -> Callable[[], object]:
    """Return a function that runs this command to its end and discards its output."""
    return lambda: subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def medians(sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each side."""
    return {name: median(seconds) for name, seconds in alternate(sides, turns=TURNS).items()}


def peak_mib(process: int) -> float:
    """Return the most memory that a process has used so far (VmHWM), MiB; 0 once it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
