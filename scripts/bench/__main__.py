"""The speed of pio-tf beside the shortest thing that a user could do instead, in one run on one machine.

``make bench`` prints the table: whole processes, medians of at least seven turns, the ratio of both sides, the calls to
AWS and the runs of Terraform. ``make bench ONLY=status,plan`` measures some rows, ``JSON=file`` writes the figures, and
``COMPARE=file`` prints the ratios beside those of an earlier run.

These names in ``ONLY=`` show where the time goes, in tables of their own:

- processes: ``pio-tf --help`` against ``python -c pass`` and ``aws --help``; a client for EC2 against boto3's own.
- power: ``status``, ``down`` and ``up`` against the shortest boto3 script that does the same; checks of references.
- growth: calls, CPU seconds and memory of ``status``, ``down``, ``up``, a deadline, ``plan``, SSH and /etc/hosts, for
  100 and 500 machines.
- training: ``pio-tf train`` on a ready cluster of the sandbox against the same command line over SSH.
- log: a run that prints hundreds of megabytes, followed, against the same bytes over SSH and nothing else; the client's
  memory; what hides secrets on the driver, against ``cat``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

import boto3

from scripts.bench import commands, growth, log, power, processes, table, training
from scripts.bench.sandbox import ready_cluster

PARTS = ("processes", "power", "growth", "training", "log")
"""Tables of their own."""
ROWS = (*commands.rows(), *log.rows())
"""The table."""


def main() -> None:
    """Run the requested benchmarks, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join((*(row.name for row in ROWS), *PARTS))
    parser.add_argument("--only", default="", help=f"some of these, with commas between them: {names}")
    parser.add_argument("--json", type=Path, help="write the table to this file")
    parser.add_argument("--compare", type=Path, help="a file of --json: print its ratios beside the new ones")
    parser.add_argument("--starts", type=int, default=15, help="of each process (default: 15)")
    parser.add_argument("--runs", type=int, default=5, help="of each operation on machines (default: 5)")
    parser.add_argument("--sizes", default="10,100,500", help="machines (default: 10,100,500)")
    parser.add_argument("--trainings", type=int, default=7, help="of each way to train (default: 7)")
    parser.add_argument("--megabytes", type=int, default=200, help="of log (default: 200)")
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    rows = table.select(ROWS, [name for name in only if name not in PARTS] or only)
    if unknown := [name for name in only if name not in PARTS and not table.select(ROWS, [name])]:
        parser.error(f"--only: there is no {', '.join(unknown)}; there are {names}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which stops the sandbox
    # An installed package is compiled once; a checkout would be at each start, where this is set.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"Python {sys.version.split()[0]}, boto3 {boto3.__version__}, {os.cpu_count()} cores", flush=True)
    grown = False
    if rows:
        results = table.print_table(rows)
        if arguments.json:
            table.write_json(results, arguments.json)
        grown = bool(arguments.compare) and not table.print_comparison(results, arguments.compare)
    if "processes" in only:
        processes.bench(starts=arguments.starts)
    if "power" in only:
        power.bench(sizes=[int(text) for text in arguments.sizes.split(",")], runs=arguments.runs)
    if "growth" in only:
        growth.bench(sizes=(100, 500))
    if "training" in only:
        with ready_cluster(spark=False) as cluster:
            training.bench(cluster, runs=arguments.trainings)
    if "log" in only:
        with ready_cluster() as cluster:
            log.bench(cluster, megabytes=arguments.megabytes)
    sys.exit(1 if grown else 0)


if __name__ == "__main__":
    main()
