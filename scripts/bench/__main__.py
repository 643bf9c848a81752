"""The speed of pio-tf against the least program for the same work, in one run on one machine. Run by ``make bench``.

1. Processes: ``pio-tf --help`` against ``python -c pass`` and ``aws --help``; a client for EC2 against boto3's own.
2. Power: ``status``, ``down`` and ``up`` against the shortest boto3 script that does the same; checks of references.
3. Training: ``pio-tf train`` on a ready cluster of the sandbox against the same command line over SSH, and where the
   difference goes.
4. Log: a run that prints hundreds of megabytes, followed, against the same bytes over SSH and nothing else; the
   client's memory; what hides secrets on the driver, against ``cat``.

Both sides of each comparison take turns. Figures are medians. The options make it shorter or longer.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import boto3

from scripts.bench import log, power, processes, training
from scripts.bench.sandbox import ready_cluster

PARTS = ("processes", "power", "training", "log")


def main() -> None:
    """Run the requested benchmarks, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be given more than once")
    parser.add_argument("--starts", type=int, default=15, help="of each process (default: 15)")
    parser.add_argument("--runs", type=int, default=5, help="of each operation on machines (default: 5)")
    parser.add_argument("--sizes", default="10,100,500", help="machines (default: 10,100,500)")
    parser.add_argument("--trainings", type=int, default=4, help="of each way to train (default: 4)")
    parser.add_argument("--megabytes", type=int, default=200, help="of log (default: 200)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which stops the sandbox
    # An installed package is compiled once; a checkout would be at each start, where this is set.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"Python {sys.version.split()[0]}, boto3 {boto3.__version__}, {os.cpu_count()} cores", flush=True)
    parts = arguments.only or PARTS
    if "processes" in parts:
        processes.bench(starts=arguments.starts)
    if "power" in parts:
        power.bench(sizes=[int(text) for text in arguments.sizes.split(",")], runs=arguments.runs)
    if {"training", "log"} & set(parts):
        with ready_cluster() as cluster:
            if "training" in parts:
                training.bench(cluster, runs=arguments.trainings)
            if "log" in parts:
                log.bench(cluster, megabytes=arguments.megabytes)


if __name__ == "__main__":
    main()
