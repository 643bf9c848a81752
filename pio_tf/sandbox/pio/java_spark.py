"""Spark's Java API, through the gateway that spark-submit opens for a program in Python.

pyspark itself is not imported, and Spark SQL is not used: the sample takes less time than their start.
Some of the Java API has no public name in Python.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

from py4j.java_gateway import GatewayParameters, JavaGateway

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from py4j.java_gateway import JavaObject

_COUNT = re.compile(r"\((\d+),(\d+)\)=(\d+)")
"""An entry of a Java map from pairs of numbers to counts, as Java prints it."""


class Spark:
    """A Spark context with the settings of spark-submit, and with ``settings``, which override them."""

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        port, secret = int(os.environ["PYSPARK_GATEWAY_PORT"]), os.environ["PYSPARK_GATEWAY_SECRET"]
        self._jvm = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=secret)).jvm
        configuration = self._jvm.org.apache.spark.SparkConf().setAppName(name)
        for key, value in settings.items():
            configuration.set(key, value if isinstance(value, str) else json.dumps(value))
        self._context = self._jvm.org.apache.spark.api.java.JavaSparkContext(configuration)
        self._context.setLogLevel("WARN")
        self.master = str(self._context.master())
        self.application = str(self._context.sc().applicationId())

    def stop(self) -> None:
        """End the application."""
        self._context.stop()

    @property
    def page(self) -> str:
        """The address of the driver's web page."""
        return str(self._context.sc().uiWebUrl().get())

    def count_executors(self) -> int:
        """Return the number of executors, without the driver."""
        return int(self._context.sc().getExecutorMemoryStatus().size()) - 1

    def describe_executors(self) -> list[dict[str, Any]]:
        """Return each executor that has completed tasks, by id. A local master has one, the driver."""
        found = self._context.sc().statusStore().executorList(True)
        described = [
            {"id": executor.id(), "host": executor.hostPort().rpartition(":")[0], "tasks": executor.completedTasks()}
            for executor in map(found.apply, range(found.size()))
        ]
        executors = [one for one in described if one["id"] != "driver"] or described
        return sorted((one for one in executors if one["tasks"]), key=lambda one: str(one["id"]))

    def count_pairs(self, first: Collection[tuple[int, int]], second: Collection[tuple[int, int]]) -> Counter[Any]:
        """Join two lists of keys and values by their keys, on the executors. Return how often each pair of values is.

        It needs no code on the executors but Spark's own, which works on objects of Java.
        """
        joined = self._distribute(first).join(self._distribute(second), self._partitions)
        counted = _COUNT.findall(joined.values().countByValue().toString())
        return Counter({(int(one), int(other)): int(count) for one, other, count in counted})

    @property
    def _partitions(self) -> int:
        """One partition per core, and at least two."""
        return max(2, int(self._context.defaultParallelism()))

    def _distribute(self, pairs: Collection[tuple[int, int]]) -> JavaObject:
        keys, values = (self._distribute_numbers(numbers) for numbers in zip(*pairs, strict=True))
        return keys.zip(values)

    def _distribute_numbers(self, numbers: Iterable[int]) -> JavaObject:
        # With a file, because py4j would send them one by one.
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
            file.writelines(f"{number}\n" for number in numbers)
            file.flush()
            lines = self._jvm.java.nio.file.Files.readAllLines(self._jvm.java.io.File(file.name).toPath())
        return self._context.parallelize(lines, self._partitions)
