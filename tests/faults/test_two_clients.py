"""Two clients that train at once, and one can't reach the driver: it never cuts off the other's run."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import MachinesMayBeRunning
from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.faults import FAIR, NO_SSH, Fault, Trouble
from tests.faults.scenario import Outcome, Stage
from tests.faults.time import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS_OF_A_START = 20
"""Calls of AWS until the machines run, and before the driver would be asked."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stages() as stages:
        yield stages.of(1)


def without_ssh(stage: Stage, turns: Turns | None = None) -> Client:
    return Client("no SSH", stage.world, Trouble((Fault(NO_SSH, 1),)), turns)


@pytest.mark.parametrize("order", range(8))
def test_a_client_without_ssh_leaves_another_clients_run_alone_and_names_the_machines(stage: Stage, order: int) -> None:
    world, turns, ends = stage.world, Turns(random.Random(order)), dict[str, Outcome]()  # noqa: S311 - no secret
    world.begin(FAIR, dict.fromkeys(world.machines, "stopped"))
    blocked, trains = without_ssh(stage, turns), Client("trains", world, Trouble(), turns)
    turns.run(
        {
            "no SSH": lambda: ends.update(blocked=stage.command("train", blocked)),
            "trains": lambda: ends.update(trains=stage.command("train --keep-up", trains)),
        }
    )
    assert world.wrong == []
    assert ends["trains"].code == 0
    assert ends["blocked"].code == MachinesMayBeRunning.exit_code
    error = str(ends["blocked"].error)
    assert all(instance_id in error for instance_id in world.ids.values())
    assert world.deadline(), "it stands"


def test_a_client_without_ssh_stops_the_machines_that_it_alone_has_started(stage: Stage) -> None:
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, "stopped"))
    outcome = stage.command("train", without_ssh(stage))
    assert outcome.code not in (0, MachinesMayBeRunning.exit_code)
    assert set(outcome.powers.values()) == {"stopped"}


@pytest.mark.parametrize("at", range(1, STEPS_OF_A_START))
def test_a_train_that_ctrl_c_ends_at_any_step_of_its_start_stops_what_it_has_started(stage: Stage, at: int) -> None:
    """Interrupt after the call has taken effect: AWS has a deadline that the client has not read back."""
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, "stopped"))
    interrupted = Trouble((Fault("interrupted", at, after_effect=True), Fault(NO_SSH, 1)))
    outcome = stage.command("train", Client("interrupted", stage.world, interrupted))
    assert interrupted.happened["interrupted after effect"]
    assert outcome.code != MachinesMayBeRunning.exit_code
    assert set(outcome.powers.values()) == {"stopped"}
