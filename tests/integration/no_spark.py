"""A second PredictionIO on the driver: the stand-in, whose `pio train` starts no Spark.

It reads, prints, waits, fails and writes as the first one does, without the CPU time of the JVMs. It is for tests of
what pio-tf does with a run. This file takes the place of its ``java_spark.py``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SUBMIT = """\
#!/bin/bash
while [[ $1 != */train.py ]]; do shift; done
exec "$PIO_HOME/lib/python" "$@"
"""
"""Its spark-submit: it runs the program that comes after the options."""


class Spark:
    """A cluster of one executor, which is this process."""

    master = "local"
    application = "no-spark"

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        """Take what the real one takes."""

    def stop(self) -> None:
        """End the application."""

    def count_executors(self) -> int:
        """Return as many as the training waits for."""
        return 1

    def describe_executors(self) -> list[dict[str, Any]]:
        """Return no executor."""
        return []

    def count_pairs(self, first: Collection[tuple[int, int]], second: Collection[tuple[int, int]]) -> Counter[Any]:
        """Join two lists of keys and values by their keys. Return how often each pair of values is."""
        values = defaultdict(list)
        for key, value in second:
            values[key].append(value)
        return Counter((one, other) for key, one in first for other in values[key])
