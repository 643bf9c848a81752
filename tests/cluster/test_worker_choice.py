"""The workers of a training that needs only some of them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from msgspec.structs import replace

from pio_tf.cluster.fleet import FleetView
from pio_tf.cluster.worker_choice import check_workers, choose_workers
from pio_tf.config.sizing import Sizing
from pio_tf.errors import ConfigError, NotReady
from pio_tf.events import Event, Warned
from pio_tf.model import Machine, MachineOutput, Outputs, PowerState, Role
from pio_tf.pio.command import limit_cores
from tests.support.builders import make_config

NAMES = ("driver", "master", "worker-1", "worker-2", "worker-3")
DRIVER = Machine("driver", "driver", "i-0", "r5.large", "stopped", "10.0.0.1", None, None)
SIZING = Sizing("20g", "20g", executor_cores=4, executors=3)


def role(name: str) -> Role:
    return "driver" if name == "driver" else "master" if name == "master" else "worker"


OUTPUTS = Outputs("ur", "eu-west-1", tuple(MachineOutput(name, role(name), f"i-{name}", name) for name in NAMES))


def view(**states: PowerState) -> FleetView:
    """Return the machines, stopped but for these: ``worker_2="running"``."""
    machines = [
        replace(DRIVER, name=name, role=role(name), state=states.get(name.replace("-", "_"), "stopped"))
        for name in NAMES
    ]
    return FleetView(tuple(machines), datetime.now(tz=timezone.utc))


def chosen(workers: int, **states: PowerState) -> tuple[list[str], list[Event]]:
    said: list[Event] = []
    outputs = choose_workers(OUTPUTS, view(**states), workers, said.append)
    assert [one.name for one in outputs.machines[:2]] == ["driver", "master"]
    return [one.name for one in outputs.workers], said


def test_the_first_workers_are_chosen() -> None:
    assert chosen(2) == (["worker-1", "worker-2"], [])


def test_workers_that_run_come_first() -> None:
    assert chosen(1, worker_3="running") == (["worker-3"], [])
    assert chosen(2, worker_3="pending") == (["worker-1", "worker-3"], [])


def test_workers_that_run_besides_are_left_alone_with_a_warning() -> None:
    names, said = chosen(1, worker_1="running", worker_2="running", worker_3="running")
    assert names == ["worker-1"]
    assert [event.message for event in said if isinstance(event, Warned)] == [
        "worker-2 (i-0, running), worker-3 (i-0, running) run, too: they are not needed for 1 worker, and billed"
    ]


def test_fewer_workers_than_asked_for_are_an_error() -> None:
    with pytest.raises(NotReady, match="ur has 3 of the 4 workers so far"):
        chosen(4)


@pytest.mark.parametrize("workers", [0, -1, 4])
def test_a_number_that_the_cluster_does_not_have_is_refused(workers: int) -> None:
    with pytest.raises(ConfigError) as caught:
        check_workers(make_config(spark={"workers": 3}), workers)
    assert f"cannot train with {workers} workers: ur has 3 workers" in str(caught.value)
    assert "from 1 to 3" in caught.value.next_step


def test_all_numbers_up_to_the_clusters_are_accepted() -> None:
    for workers in (None, 1, 3):
        check_workers(make_config(spark={"workers": 3}), workers)


def test_spark_gets_as_many_cores_as_the_workers_have_unless_the_user_says_otherwise() -> None:
    config, outputs = make_config(), OUTPUTS.only({"worker-1", "worker-2"})
    assert limit_cores(config, outputs, SIZING, extra=["--verbose"]) == ("--total-executor-cores", "8", "--verbose")
    fewer = ["--executor-cores", "2"]
    assert limit_cores(config, outputs, SIZING, extra=fewer) == ("--total-executor-cores", "4", *fewer)
    own = ["--total-executor-cores", "3"]
    assert limit_cores(config, outputs, SIZING, extra=own) == tuple(own)
    set_in_file = make_config(spark={"conf": {"spark.cores.max": "5"}})
    assert limit_cores(set_in_file, outputs, SIZING, extra=()) == ()
