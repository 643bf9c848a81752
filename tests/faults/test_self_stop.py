"""Machines that stop themselves, beside clients: they never end a training, and none is left on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.driver import LASTS
from tests.faults.faults import FAIR, SUSPENDED, Fault, Trouble
from tests.faults.world import GRACE, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.scenario import Stage

STEPS_OF_A_START = (3, 5, 7, 9, 12, 15)
"""Some of the calls of AWS until the driver has been asked."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stages() as stages:
        yield stages.of(1)


def after_a_detached_run(stage: Stage, *, seconds: float) -> None:
    """Let a client start a run and go, and let time pass from the end of the run."""
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, "stopped"))
    assert stage.command("train --detach", Client("gone", stage.world, Trouble())).code == 0
    stage.world.pass_by(LASTS)
    stage.world.pass_by(seconds)


def trains_on_all_machines(stage: Stage, *faults: Fault) -> None:
    """Train, and see all machines running when the run begins, and none after it."""
    outcome = stage.command("train", Client("next", stage.world, Trouble(faults)))
    assert outcome.code == 0, outcome.error
    run = list(stage.world.driver.runs.values())[-1]
    assert (run.client, set(run.began_on.values())) == ("next", {"running"})
    assert set(outcome.powers.values()) == {"stopped"}


@pytest.mark.parametrize("at", STEPS_OF_A_START)
def test_a_train_that_begins_while_the_driver_lingers_starts_it_again_if_it_goes_off(stage: Stage, at: int) -> None:
    """The client is slow at one of its steps: the driver, which it has seen running, powers itself off meanwhile."""
    after_a_detached_run(stage, seconds=60.0)
    trains_on_all_machines(stage, Fault(SUSPENDED, at, seconds=70.0))


@pytest.mark.parametrize("at", STEPS_OF_A_START)
def test_a_train_that_begins_after_the_driver_has_gone_off_starts_again_what_follows_it(stage: Stage, at: int) -> None:
    after_a_detached_run(stage, seconds=stage.world.config.train.linger + 1.0)
    stage.world.pass_by(PATIENCE - 10.0)
    assert stage.world.states() == {"driver": "stopped", "master": "running", "worker-1": "running"}
    trains_on_all_machines(stage, Fault(SUSPENDED, at, seconds=20.0))


def test_a_driver_that_dies_before_its_run_begins_leaves_no_machine_on(stage: Stage) -> None:
    world = stage.world
    world.begin(FAIR, dict.fromkeys(world.machines, "stopped"))
    client = Client("killed", world, Trouble((Fault("killed", 19),)))
    stage.command("train", client)
    assert client.dead
    world.pass_by(60.0)
    assert set(world.states().values()) == {"running"}
    world.spoil("driver", "terminated")
    world.pass_by(GRACE)
    world.pass_by(PATIENCE)
    assert {world.states()[name] for name in world.machines if name != "driver"} <= {"stopping", "stopped"}


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("command", ["down", "down --if-idle"])
def test_a_down_while_the_driver_powers_itself_off_stops_the_others(stage: Stage, command: str, at: int) -> None:
    after_a_detached_run(stage, seconds=60.0)
    asleep = Fault(SUSPENDED, at, seconds=70.0)
    outcome = stage.command(command, Client("down", stage.world, Trouble((asleep,))))
    assert (outcome.code, set(outcome.powers.values())) == (0, {"stopped"}), outcome.error
