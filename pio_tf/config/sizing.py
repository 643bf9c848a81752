"""Sizes of Spark's driver and executors: memory and cores, from the instance types."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.config.blocks import MINIMUM_DRIVER_MEMORY_MIB
from pio_tf.config.kinds import memory_mib
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pio_tf.config.roles import Role
    from pio_tf.config.schema import Config

MINIMUM_HEAP_MIB = 512
"""Spark refuses to start with less than 450 MiB (1.5 times the 300 MiB that UnifiedMemoryManager reserves) of the JVM's
memory, which is some per cent less than -Xmx."""


class InstanceSpec(Struct, frozen=True):
    """An instance type, as EC2 describes it (DescribeInstanceTypes)."""

    name: str
    memory_mib: int
    vcpus: int
    architecture: str
    needs_ena: bool = False
    """True if its network card needs the ENA driver: an instance without EnaSupport can't start as this type."""
    virtualizations: tuple[str, ...] = ("hvm",)
    """The kinds of images that it runs: ``hvm``, ``paravirtual``."""


class Sizing(Struct, frozen=True):
    """The sizes for `pio train`. Memory is a JVM heap, as Spark writes it (``26973m``)."""

    driver_memory: str
    executor_memory: str
    executor_cores: int
    executors: int
    """One per worker machine, as in the guide."""
    warnings: tuple[str, ...] = ()


def usable_mib(total_mib: int) -> int:
    """Return the MiB that a machine can give to one JVM, heap and overhead together. See :func:`heap_mib`."""
    return total_mib - max(1024, -(-total_mib * 5 // 100))


def heap_mib(total_mib: int) -> int:
    """Return the heap, in MiB, of the machine's one JVM. It is negative if the machine is too small.

    ::

        usable = total - max(1024 MiB, 5 % of total)
        heap   = min(usable / 1.10, usable - 384 MiB), whole MiB

    The operating system keeps 1 GiB, as Spark's standalone worker leaves it ("total memory minus 1 GiB",
    SPARK_WORKER_MEMORY in spark-standalone.html). On a large machine it keeps 5 %: Linux shows some per cent less
    memory than the instance type has, and the worker counts from what Linux shows. Beside the heap, the JVM needs
    memory for threads, code and direct buffers: max(384 MiB, 10 % of the heap), Spark's own default for containers
    (spark.executor.memoryOverheadFactor in configuration.html). The standalone master does not count that memory, so
    it must stay free. r3.xlarge: 31232 MiB, 29670 usable, heap 26972 MiB.
    """
    usable = usable_mib(total_mib)
    return min(usable * 10 // 11, usable - 384)


def size_cluster(
    config: Config, specs: Mapping[str, InstanceSpec], *, driver_type: str = "", worker_types: Collection[str] = ()
) -> Sizing:
    """Return heaps and cores for `pio train`: from pio-tf.hcl, else from the instance types.

    All executors are equal: if workers have several types, the smallest decides.

    Args:
        config: the configuration.
        specs: instance types by name, at least those of the driver and the workers.
        driver_type: the type that the driver has; default: the first of pio-tf.hcl.
        worker_types: the types that workers have; default: the first of pio-tf.hcl.

    Raises:
        ConfigError: an instance type is unknown or too small, or a heap or a number of cores does not fit it.
    """
    drivers, workers = config.types("driver"), config.types("worker")
    driver = _spec(config, specs, drivers.option, driver_type or drivers.first)
    others = [_spec(config, specs, workers.option, kind) for kind in sorted(set(worker_types)) or [workers.first]]
    worker = min(others, key=lambda one: (one.memory_mib, one.vcpus))
    _check_driver(config, driver, drivers.option)
    warnings: list[str] = []
    if _differ(driver.memory_mib, worker.memory_mib):
        warnings.append(
            f"the driver ({driver.name}) has {_gib(driver.memory_mib)} of memory and a worker ({worker.name}) "
            f"{_gib(worker.memory_mib)}: the driver needs about as much memory as an executor, so choose equal types"
        )
    driver_heap = _heap(config, driver, "driver.memory", config.driver.memory, drivers.option, warnings)
    executor_heap = _heap(
        config, worker, "spark.executor_memory", config.spark.executor_memory, workers.option, warnings
    )
    return Sizing(
        driver_memory=f"{driver_heap}m",
        executor_memory=f"{executor_heap}m",
        executor_cores=min(_cores(config, one, workers.option) for one in others),
        executors=config.spark.workers,
        warnings=tuple(warnings),
    )


def usable_types(config: Config, specs: Mapping[str, InstanceSpec], role: Role) -> tuple[str, ...]:
    """Return the types of a role that can hold what pio-tf.hcl asks for.

    Raises:
        ConfigError: one that pio-tf.hcl names can't. pio-tf leaves out such a type of its own.
    """
    wanted = config.types(role)
    usable = []
    for kind in wanted.types:
        with nullcontext() if wanted.must_fit(kind) else suppress(ConfigError):
            spec = _spec(config, specs, wanted.option, kind)
            if role == "driver":
                _check_driver(config, spec, wanted.option)
                _heap(config, spec, "driver.memory", config.driver.memory, wanted.option, [])
            elif role == "worker":
                _heap(config, spec, "spark.executor_memory", config.spark.executor_memory, wanted.option, [])
                _cores(config, spec, wanted.option)
            usable.append(kind)
    return tuple(usable)


def _differ(driver_mib: int, worker_mib: int) -> bool:
    """Return whether two machines have other sizes. r3.xlarge and r5.xlarge count as one: 30.5 and 32 GiB."""
    return abs(driver_mib - worker_mib) > 0.05 * max(driver_mib, worker_mib)


def _spec(config: Config, specs: Mapping[str, InstanceSpec], option: str, name: str) -> InstanceSpec:
    if name not in specs:
        raise _error(
            config,
            option,
            f"the instance type {name} does not exist in {config.aws.region}",
            f"choose a type that `aws ec2 describe-instance-types --region {config.aws.region}` lists",
        )
    return specs[name]


def _check_driver(config: Config, driver: InstanceSpec, option: str) -> None:
    if driver.memory_mib < MINIMUM_DRIVER_MEMORY_MIB and not config.driver.allow_small_memory:
        raise _error(
            config,
            option,
            f"{driver.name} has {_gib(driver.memory_mib)} of memory; a Spark driver for the Universal Recommender "
            f"needs at least {_gib(MINIMUM_DRIVER_MEMORY_MIB)}",
            "choose a larger type (r3.xlarge has 30.5 GiB), or set allow_small_memory = true in the driver block "
            "if less is enough for your data",
        )


def _heap(
    config: Config, spec: InstanceSpec, option: str, asked: str | None, type_option: str, warnings: list[str]
) -> int:
    """Return the heap for a machine, and warn about one that leaves the JVM too little memory beside it."""
    proposed, most = heap_mib(spec.memory_mib), usable_mib(spec.memory_mib)
    if asked is None:
        if proposed < MINIMUM_HEAP_MIB:
            raise _error(
                config,
                type_option,
                f"{spec.name} has {_gib(spec.memory_mib)} of memory, which leaves less than the {MINIMUM_HEAP_MIB} MiB "
                "of heap that Spark needs",
                "choose a type with 2 GiB or more",
            )
        return proposed
    heap = memory_mib(asked)
    if heap < MINIMUM_HEAP_MIB:
        raise _error(
            config,
            option,
            f"must be at least {MINIMUM_HEAP_MIB}m, Spark's minimum, got {asked}",
            f"remove the line for {max(proposed, MINIMUM_HEAP_MIB)}m, or write more",
        )
    if heap > most:
        raise _error(
            config,
            option,
            f"{asked} is more than {spec.name} can hold: of its {_gib(spec.memory_mib)}, the operating system leaves "
            f"{max(most, 0)}m",
            f"remove the line for {proposed}m, write less, or choose a larger type in {type_option}",
        )
    if heap > proposed:
        warnings.append(
            f"{config.where(option)}: {option}: {asked} leaves {most - heap} MiB on {spec.name} for the JVM beside its "
            f"heap; {proposed}m is safe"
        )
    return heap


def _cores(config: Config, worker: InstanceSpec, type_option: str) -> int:
    asked = config.spark.executor_cores
    if asked is not None and asked > worker.vcpus:
        raise _error(
            config,
            "spark.executor_cores",
            f"must be at most {worker.vcpus}, the vCPUs of {worker.name}, got {asked}",
            f"remove the line for {worker.vcpus}, or choose a larger type in {type_option}",
        )
    return asked or worker.vcpus


def _error(config: Config, option: str, message: str, next_step: str) -> ConfigError:
    return ConfigError(f"{config.where(option)}: {option}: {message}", next_step=next_step, details={"name": option})


def _gib(mib: int) -> str:
    return f"{mib / 1024:.4g} GiB"
