"""The memory and cores of a training: what Spark was given, and what it used of them.

``run_usage.py`` collects the figures on the driver during the run.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pio_tf.pio.command import spark_mib

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.model import Machine

_HEAP = "heap in use in the {} at a heartbeat, garbage included, at most; Spark 3.0 and later say it"


@dataclass(frozen=True, config=ConfigDict(allow_inf_nan=False, defer_build=True))
class SparkUsage:
    """Memory and cores of one run. None: Spark does not say, or was not asked in time."""

    driver_heap_bytes: int | None = Field(default=None, ge=0, description="heap that the driver was given")
    executor_heap_bytes: int | None = Field(default=None, ge=0, description="heap that each executor was given")
    driver_peak_bytes: int | None = Field(default=None, ge=0, description=_HEAP.format("driver"))
    executor_peak_bytes: int | None = Field(default=None, ge=0, description=_HEAP.format("fullest executor"))
    gc_share: float | None = Field(
        default=None, ge=0, le=1, description="garbage collection in the time of all tasks, from 0 to 1"
    )
    memory_spilled_bytes: int | None = Field(default=None, ge=0, description="spilled by tasks, by its size in memory")
    disk_spilled_bytes: int | None = Field(default=None, ge=0, description="the same, by its size on disk")
    skew: float | None = Field(
        default=None, ge=0, description="longest task of the longest stage, in units of the median of its tasks"
    )
    longest_stage: str | None = Field(default=None, description="name of that stage")
    longest_stage_seconds: float | None = Field(default=None, ge=0, description="how long that stage took")
    executors: int | None = Field(default=None, ge=0, description="executors, also those that were lost")
    cores: int | None = Field(default=None, ge=0, description="cores of the executors")
    cluster_cores: int | None = Field(default=None, ge=0, description="cores of the workers that Spark's master had")
    idle_share: float | None = Field(
        default=None, ge=0, le=1, description="the executors' core time without a task, from 0 to 1"
    )
    seen_seconds: float | None = Field(
        default=None, ge=0, description="from the run's start to the last answer of Spark; null: there was none"
    )
    spark: str | None = Field(default=None, description="Spark's version")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> SparkUsage:
        """Read the ``usage`` of a record. Figures that make no sense count as unknown."""
        try:
            return _READER.validate_python(dict(raw))
        except ValidationError as error:
            wrong = {one["loc"][0] for one in error.errors() if one["loc"]}
            return _READER.validate_python({name: value for name, value in raw.items() if name not in wrong})

    @property
    def is_known(self) -> bool:
        """Return whether Spark has said anything."""
        return self.seen_seconds is not None


_READER = TypeAdapter(SparkUsage)


def given_to_spark(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return what a run is given, as its record's ``usage`` has it at the start.

    Args:
        settings: of Spark, in force in the run.
    """
    heaps = {
        "driver_heap_bytes": spark_mib(settings.get("spark.driver.memory", "")),
        "executor_heap_bytes": spark_mib(settings.get("spark.executor.memory", "")),
    }
    return {name: int(mib * 2**20) for name, mib in heaps.items() if mib}


def files_for_usage(config: Config, machines: Sequence[Machine], ui_port: int) -> dict[str, str]:
    """Return files for a run's directory: the program that collects its figures, and the addresses that it asks."""
    by_role = {machine.role: machine.private_ip for machine in machines}
    if not ui_port or not by_role.keys() >= {"driver", "master"}:
        return {}
    place = {
        "driver": by_role["driver"],
        "ui_port": ui_port,
        "master": by_role["master"],
        "master_ui_port": config.spark.master_ui_port,
    }
    text = resources.files("pio_tf").joinpath("training", "runs", "run_usage.py").read_text(encoding="utf-8")
    return {"run_usage.py": text, "spark_pages.json": json.dumps(place)}
