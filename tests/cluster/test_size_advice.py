"""Advice on sizes of machines after a run, with EC2's types and AWS's price list."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.aws.session import Aws
from pio_tf.cluster.size_advice import SizeAdvice, advise
from pio_tf.config.sizing import heap_mib
from pio_tf.context import ClusterContext
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.runs.record import Client, RunRecord
from tests.support.builders import make_config
from tests.support.price_list import PriceListServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Advise = Callable[..., tuple[SizeAdvice, ...]]

REGION = "eu-west-1"
GIB = 2**30
NOW = datetime(2026, 11, 11, tzinfo=timezone.utc)
FIGURES = {
    "driver_peak_bytes": 40 * GIB,
    "executor_peak_bytes": 40 * GIB,
    "gc_share": 0.02,
    "disk_spilled_bytes": 0,
    "executors": 2,
    "cores": 16,
    "idle_share": 0.1,
    "seen_seconds": 3600.0,
}
"""Of a run that suits r5.2xlarge: 64 GiB and 8 vCPUs."""
LITTLE_USED = {**FIGURES, "driver_peak_bytes": GIB, "executor_peak_bytes": GIB, "idle_share": 0.9}
DRIVERS_LINE = 'a heap was too small: Exception in thread "main" java.lang.OutOfMemoryError: Java heap space'
EXECUTORS_LINE = (
    "a heap was too small: 26/11/30 10:00:00 WARN TaskSetManager: Lost task 1.0 in stage 3.0 (TID 7) "
    "(10.0.0.12 executor 0): java.lang.OutOfMemoryError: Java heap space"
)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    aws = LocalAws(transition_seconds=0)
    aws.start()
    yield aws.url
    aws.stop()


@pytest.fixture
def advised(tmp_path: Path, aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Advise]:
    """Yield a function that returns the advice after a run with a driver, a master and two workers."""
    server = PriceListServer({(REGION, f"r5.{size}"): usd for size, usd in (("2xlarge", 0.5), ("4xlarge", 1.0))})

    def advise_after(
        usage: dict[str, object], *, kind: str = "r5.2xlarge", blocks: dict[str, Any] | None = None, **facts: str
    ) -> tuple[SizeAdvice, ...]:
        config = make_config(tmp_path, aws={"region": REGION}, **(blocks or {}))
        cache = {"XDG_CACHE_HOME": str(tmp_path)}
        context = ClusterContext(config, lambda _: None, Aws(config), cache, time.monotonic, time.sleep, lambda: NOW)
        run = RunRecord(
            id="20261123T180000Z-0000",
            cluster="ur",
            client=Client("ann", "laptop", 1, "2026-11-23T18:00:00Z"),
            command="pio train",
            engine_dir="/engine",
            machines=tuple(f"{name} {kind} i-0" for name in ("driver", "master", "worker-1", "worker-2")),
            state="succeeded",
            usage=usage,
        )
        return advise(context, run.with_(**facts))

    with server.serve() as url:
        for name, value in (("URL", aws), ("URL_PRICING", url)):
            monkeypatch.setenv(f"AWS_ENDPOINT_{name}", value)
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            monkeypatch.setenv(f"AWS_{name}", "x")
        yield advise_after


def test_a_run_that_its_machines_suit_gets_no_advice(advised: Advise) -> None:
    assert advised(FIGURES) == ()


@pytest.mark.parametrize("state", ["failed", "cancelled", "running", "lost"])
def test_without_figures_or_a_success_there_is_no_advice(advised: Advise, state: str) -> None:
    assert advised({}) == ()
    assert advised(LITTLE_USED, state=state) == ()


def test_a_drivers_full_heap_asks_for_the_next_type_with_the_price_of_the_region(advised: Advise) -> None:
    (found,) = advised({}, state="failed", sign="heap", cause=DRIVERS_LINE)
    assert (found.role, found.now, found.then, found.machines) == ("driver", "r5.2xlarge", "r5.4xlarge", 1)
    assert (found.heap_now_mib, found.heap_then_mib) == (heap_mib(64 * 1024), heap_mib(128 * 1024))
    assert (found.hourly_now_usd, found.hourly_then_usd) == (0.5, 1.0)
    assert str(found) == (
        'driver: its heap was full; driver.instance_type = "r5.4xlarge" has a heap of 110.5 GiB instead of 55.3 GiB, '
        "for 1.00 instead of 0.50 USD an hour"
    )


@pytest.mark.parametrize(
    ("sign", "cause", "reason"),
    [
        ("heap", EXECUTORS_LINE, "an executor's heap was full"),
        ("executor-heap", "", "an executor's heap was full"),
        ("executor-killed", "", "an executor was killed for lack of memory beside its heap"),
    ],
)
def test_an_executors_full_heap_is_the_workers_and_the_masters_type(
    advised: Advise, sign: str, cause: str, reason: str
) -> None:
    (found,) = advised({}, state="failed", sign=sign, cause=cause)
    assert (found.role, found.then, found.machines, found.reason) == ("worker", "r5.4xlarge", 2, reason)
    assert (found.hourly_now_usd, found.hourly_then_usd) == (1.5, 3.0)
    assert str(found).startswith("2 workers and the master: ")
    (alone,) = advised(
        {}, state="failed", sign=sign, cause=cause, blocks={"spark": {"master_instance_type": "r5.large"}}
    )
    assert (alone.machines, alone.with_master) == (2, False)


def test_much_garbage_collection_asks_for_larger_workers_also_after_a_success(advised: Advise) -> None:
    (found,) = advised({**FIGURES, "gc_share": 0.1})
    assert (found.role, found.then) == ("worker", "r5.4xlarge")
    assert "garbage collection took 10% of the tasks' time" in str(found)


def test_little_use_of_heap_and_cores_asks_for_the_smallest_type_that_has_room(advised: Advise) -> None:
    driver, worker = advised({**FIGURES, "driver_peak_bytes": 9 * GIB, "executor_peak_bytes": GIB, "idle_share": 0.7})
    # The driver's 9 GiB and a quarter more fit the heap of an r5.large (13.6 GiB).
    assert (driver.role, driver.then) == ("driver", "r5.large")
    # Of 8 cores, 2.4 worked: an r5.large has 2.
    assert (worker.role, worker.then) == ("worker", "r5.xlarge")
    assert "the executors used at most 1.0 GiB of their heap, and 70% of their core time was idle" in str(worker)


def test_a_price_that_is_unknown_is_said_to_be(advised: Advise) -> None:
    (found,) = advised({}, state="failed", sign="heap", kind="r5d.metal", cause=DRIVERS_LINE)
    assert str(found).endswith(
        "r5d.metal is the largest type of its family: choose another family in driver.instance_type"
    )
    (other,) = advised({}, state="failed", sign="heap", kind="x1e.xlarge", cause=DRIVERS_LINE)
    assert str(other).endswith("for a price that pio-tf does not know")


def test_prices_of_two_sources_are_not_compared(advised: Advise) -> None:
    (found,) = advised({}, state="failed", sign="heap", kind="r5.4xlarge", cause=DRIVERS_LINE)
    # AWS's list has r5.4xlarge for 1.00 USD, and no r5.8xlarge.
    assert (found.then, found.hourly_now_usd, found.hourly_then_usd) == ("r5.8xlarge", 1.008, 2.016)


def test_a_heap_that_the_user_has_set_grows_on_the_same_machine_first(advised: Advise) -> None:
    (found,) = advised({}, state="failed", sign="heap", cause=DRIVERS_LINE, blocks={"driver": {"memory": "20g"}})
    assert str(found) == (
        "driver: its heap was full; remove driver.memory: r5.2xlarge can hold a heap of 55.3 GiB instead of 20.0 GiB"
    )
    (full,) = advised({}, state="failed", sign="heap", cause=DRIVERS_LINE, blocks={"driver": {"memory": "50g"}})
    assert '"r5.4xlarge", without driver.memory, has a heap of 110.5 GiB instead of 50.0 GiB' in str(full)
    assert advised({**FIGURES, "driver_peak_bytes": GIB}, blocks={"driver": {"memory": "20g"}}) == ()


def test_a_type_that_the_guard_forbids_is_no_advice(advised: Advise) -> None:
    guard = {"guard": {"instance_types": ["r5.2xlarge", "r5.8xlarge"]}}
    (found,) = advised({}, state="failed", sign="heap", cause=DRIVERS_LINE, blocks=guard)
    assert found.then == "r5.8xlarge"


def test_spilled_data_is_a_reason_against_a_smaller_type(advised: Advise) -> None:
    assert len(advised(LITTLE_USED)) == 2
    assert advised({**LITTLE_USED, "disk_spilled_bytes": 1}) == ()
