"""Advice on the sizes of machines, from the figures of one run: larger ones, smaller ones, or none.

The rules, which docs/sizes.md explains to users:

- Larger, if a heap was full (the failure's name), or if the tasks spent a tenth of their time or more with garbage
  collection, where Spark's own page of executors turns red. A heap that was full says not how much it lacks: the next
  type of the family is the advice.
- Smaller, after a success only, if 1.25 times the most heap in use fits the heap of a smaller type, nothing
  was spilled to disk, and garbage collection took less than that tenth. A worker's cores must do, too. The most heap in
  use includes garbage: it says what is enough, not what is needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.cluster.spending import comparable_prices
from pio_tf.config.blocks import MINIMUM_DRIVER_MEMORY_MIB
from pio_tf.config.kinds import memory_mib
from pio_tf.config.sizing import MINIMUM_HEAP_MIB, InstanceSpec, heap_mib
from pio_tf.config.type_lists import is_allowed
from pio_tf.machines.instance_types import ARCHITECTURE, find_families
from pio_tf.training.spark_usage import SparkUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.context import ClusterContext
    from pio_tf.infra.cost import Prices
    from pio_tf.training.runs.record import RunRecord

MUCH_GC = 0.1
"""Share of the tasks' time from which on Spark's page of executors marks garbage collection (executorspage.js)."""
ROOM = 1.25
"""A smaller heap, and fewer cores, must be so many times as large as what was used."""
HEAP_SIGNS = frozenset({"heap", "garbage-collection", "executor-heap", "executor-killed"})
"""Failures that more memory is likely to prevent: names in :mod:`pio_tf.training.failure_patterns`."""
_OF_EXECUTORS = re.compile(r"Lost task|ExecutorLost|executor \d|TaskSetManager|ERROR Executor:")
_Role = Literal["driver", "worker"]


class SizeAdvice(Struct, frozen=True):
    """A change of size for the driver, or for all workers."""

    role: _Role
    machines: int
    """How many machines of this role the run had."""
    reason: str
    """What the run showed, as half a sentence."""
    now: str
    """The instance type."""
    then: str
    """The instance type that would do; the same if only the heap can grow; empty: the family has none."""
    heap_now_mib: int
    heap_then_mib: int | None
    """The heap that this type takes; None without such a type."""
    with_master: bool = False
    """Whether the master has the workers' type, and its price is in the sums."""
    remove: str = ""
    """The option that sets the heap, which would stay as it is."""
    hourly_now_usd: float | None = None
    """The price of an hour of all these machines; None: unknown."""
    hourly_then_usd: float | None = None
    prices: str = ""
    """Where the prices come from."""

    def with_prices(self, prices: Prices) -> SizeAdvice:
        """Return it with prices."""
        many = self.machines + self.with_master
        hours = [prices.running_usd([kind] * many, 3600) if kind else None for kind in (self.now, self.then)]
        return replace(self, hourly_now_usd=hours[0], hourly_then_usd=hours[1], prices=prices.note)

    def __str__(self) -> str:
        """Return it in one line."""
        what = "driver" if self.role == "driver" else "1 worker" if self.machines == 1 else f"{self.machines} workers"
        what += " and the master" if self.with_master else ""
        option = "driver.instance_type" if self.role == "driver" else "spark.instance_type"
        if not self.then or self.heap_then_mib is None:
            larger = f"{self.now} is the largest type of its family: choose another family in {option}"
            return f"{what}: {self.reason}; {larger}" + ("" if self.role == "driver" else ", or more workers")
        heaps = f"heap of {gib(self.heap_then_mib)} instead of {gib(self.heap_now_mib)}"
        if self.then == self.now:
            return f"{what}: {self.reason}; remove {self.remove}: {self.now} can hold a {heaps}"
        remove = f", without {self.remove}," if self.remove else ""
        return f'{what}: {self.reason}; {option} = "{self.then}"{remove} has a {heaps}, for {self._price}'

    @property
    def _price(self) -> str:
        if self.hourly_now_usd is None or self.hourly_then_usd is None:
            return "a price that pio-tf does not know"
        return f"{self.hourly_then_usd:.2f} instead of {self.hourly_now_usd:.2f} USD an hour"


def advise(context: ClusterContext, run: RunRecord) -> tuple[SizeAdvice, ...]:
    """Return advice after a run; none is the answer in most cases. Ask AWS only if the run gives a reason.

    Raises:
        AwsError: EC2 does not describe the types.
    """
    reasons = [*find_reasons(run)]
    if not reasons:
        return ()
    types = {role: sorted({kind for of, kind in _machines(run) if of == role}) for role in ("driver", "worker")}
    names = [*types["driver"], *types["worker"]]
    specs = find_families(context.ec2, names)
    found: list[SizeAdvice] = []
    for reason in reasons:
        # Executors are sized for the smallest worker.
        known = [specs[kind] for kind in types[reason.role] if kind in specs]
        if known:
            now = min(known, key=lambda one: (one.memory_mib, one.vcpus))
            family = [one for name, one in specs.items() if name.partition(".")[0] == now.name.partition(".")[0]]
            then = _choose(context.config, reason, now, family)
            if then is not None:
                found.append(_advice(context.config, run, reason, now, then))
    if not found:
        return ()
    prices = comparable_prices(context, {kind for one in found for kind in (one.now, one.then) if kind})
    return tuple(one.with_prices(prices) for one in found)


class Reason(Struct, frozen=True):
    """A reason to change the size of a role."""

    role: _Role
    text: str
    heap_mib: int
    """The heap that is enough; 0: more than there was."""
    cores: float = 0.0
    """The cores of one executor that are enough."""

    @property
    def grows(self) -> bool:
        """Whether the heap is to be larger than it was."""
        return not self.heap_mib


def find_reasons(run: RunRecord) -> Iterator[Reason]:
    """Yield the reasons that a run gives, at most one for each role."""
    usage = SparkUsage.of(run.usage)
    much_gc = usage.gc_share is not None and usage.gc_share >= MUCH_GC
    if run.sign in HEAP_SIGNS:
        of_worker = run.sign.startswith("executor") or bool(_OF_EXECUTORS.search(run.cause))
        killed = "an executor was killed for lack of memory beside its heap"
        full = "an executor's heap was full" if of_worker else "its heap was full"
        yield Reason("worker" if of_worker else "driver", killed if run.sign == "executor-killed" else full, 0)
    elif much_gc:
        yield Reason("worker", f"garbage collection took {usage.gc_share:.0%} of the tasks' time", 0)
    if run.state != "succeeded" or much_gc or usage.gc_share is None or usage.disk_spilled_bytes:
        return
    if usage.driver_peak_bytes:
        peak = usage.driver_peak_bytes // 2**20
        yield Reason("driver", f"it used at most {gib(peak)} of its heap", int(peak * ROOM) or 1)
    if usage.executor_peak_bytes and usage.idle_share is not None and usage.cores and usage.executors:
        peak = usage.executor_peak_bytes // 2**20
        busy = (1 - usage.idle_share) * usage.cores / usage.executors
        idle = f"{usage.idle_share:.0%} of their core time was idle"
        text = f"the executors used at most {gib(peak)} of their heap, and {idle}"
        yield Reason("worker", text, int(peak * ROOM) or 1, busy * ROOM)


def _machines(run: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield role and type of each machine of a run."""
    for machine in run.machines:
        name, kind = machine.split(" ")[:2]
        yield name.partition("-")[0], kind


def _choose(
    config: Config, reason: Reason, now: InstanceSpec, family: Sequence[InstanceSpec]
) -> InstanceSpec | Literal[""] | None:
    """Return the cheapest type of the family that would do; the type itself, if its memory is not all used.

    None: no change. Empty: it should be larger, and the family has nothing larger.
    """
    fixed = config.driver.memory if reason.role == "driver" else config.spark.executor_memory
    usable = [
        one for one in family if one.architecture == ARCHITECTURE and is_allowed(one.name, config.guard.instance_types)
    ]
    # Within a family, the price grows with memory and vCPUs. A metal type costs what the largest other one does.
    in_order = sorted(usable, key=lambda one: (one.memory_mib, one.vcpus, "metal" in one.name))
    if reason.grows:
        if fixed is not None and heap_mib(now.memory_mib) >= ROOM * memory_mib(fixed):
            return now
        return next((one for one in in_order if one.memory_mib > now.memory_mib), "")
    if fixed is not None:
        return None  # the user has chosen the heap
    small_driver = reason.role == "driver" and not config.driver.allow_small_memory
    for one in in_order:
        fits = heap_mib(one.memory_mib) >= max(reason.heap_mib, MINIMUM_HEAP_MIB) and one.vcpus >= reason.cores
        if fits and not (small_driver and one.memory_mib < MINIMUM_DRIVER_MEMORY_MIB):
            return one if one.memory_mib < now.memory_mib else None
    return None


def _advice(
    config: Config, run: RunRecord, reason: Reason, now: InstanceSpec, then: InstanceSpec | Literal[""]
) -> SizeAdvice:
    spark, of_driver = config.spark, reason.role == "driver"
    fixed = config.driver.memory if of_driver else spark.executor_memory
    option = "driver.memory" if of_driver else "spark.executor_memory"
    return SizeAdvice(
        reason.role,
        machines=sum(role == reason.role for role, _ in _machines(run)),
        reason=reason.text,
        now=now.name,
        then=then.name if then else "",
        heap_now_mib=memory_mib(fixed) if fixed else heap_mib(now.memory_mib),
        heap_then_mib=heap_mib(then.memory_mib) if then else None,
        with_master=not (of_driver or spark.master_instance_type or spark.master_instance_types),
        remove=option if fixed else "",
    )


def gib(mib: float) -> str:
    """Return ``9.5 GiB``."""
    return f"{mib / 1024:.1f} GiB"
