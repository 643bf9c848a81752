"""Runs for reports: good and bad ones, with and without figures, with hostile words in their causes."""

from __future__ import annotations

from datetime import datetime, timezone

from pio_tf.infra.cost import Prices
from pio_tf.report import render
from pio_tf.training.runs.record import Client, RunRecord

NOW = datetime(2026, 11, 30, 9, 50, tzinfo=timezone.utc)
PRICES = Prices({"r5.2xlarge": 0.504}, {}, "on-demand prices of eu-west-1, from AWS's price list of 2026-11-11")
GIB = 2**30
HOSTILE = (
    'a heap was too small: <script>document.title = "taken"</script> <img src="https://example.org/x.png"> '
    "&amp; \"' \x1b[31m \u202e " + "x" * 300
)
_FIRST = 1_767_225_600
"""2026-01-01, in seconds since 1970."""


def sample_run(number: int) -> RunRecord:
    """Return the run of a week: every seventh one fails, and one in eleven has no figures."""
    started = _FIRST + number * 7 * 86_400
    bad = number % 7 == 1
    seconds = 900.0 + 60 * (number * 37 % 60) if bad else 3000.0 + 100 * (number * 53 % 61)
    heap = 58 * GIB
    usage = {
        "driver_heap_bytes": heap,
        "executor_heap_bytes": heap,
        "driver_peak_bytes": (5 + number * 3 % 9) * GIB,
        "executor_peak_bytes": (30 + number * 7 % 27) * GIB,
        "gc_share": 0.01 + number * 5 % 11 / 100,
        "idle_share": 0.1 + number * 11 % 40 / 100,
        "disk_spilled_bytes": number % 3 * GIB,
        "skew": 1.0 + number % 4,
        "executors": 2,
        "cores": 16,
        "seen_seconds": seconds - 5,
        "spark": "3.5.9",
    }
    kind = "x9.huge" if number % 13 == 7 else "r5.2xlarge"
    return RunRecord(
        id=f"{datetime.fromtimestamp(started, timezone.utc):%Y%m%dT%H%M%SZ}-{number:04x}",
        cluster="recommender",
        client=Client("ann", "laptop", 1, ""),
        command="pio train",
        engine_dir="/opt/engine",
        machines=tuple(f"{name} {kind} i-{name}" for name in ("driver", "master", "worker-1", "worker-2")),
        state="failed" if bad else "succeeded",
        started=float(started),
        ended=started + seconds,
        cause=HOSTILE if bad else "",
        sign="heap" if bad else "",
        model="" if bad else f"urindex_{started}",
        usage={} if number % 11 == 3 else usage,
    )


def report_of(*runs: RunRecord) -> str:
    """Return the report about these runs."""
    return render("recommender", runs, PRICES, now=NOW)


def sample_report(number: int) -> str:
    """Return the report about so many runs."""
    return report_of(*map(sample_run, range(number)))
