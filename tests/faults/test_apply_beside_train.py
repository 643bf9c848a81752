"""An apply or a destruction beside another client's training: it changes nothing that the training needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.cluster.apply_guard import ApplyGuard
from pio_tf.errors import Locked, MachinesMayBeRunning
from pio_tf.infra.plan import Plan, ResourceChange
from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.faults import FAIR, NO_SSH, Fault, Trouble
from tests.faults.scenario import Stage, _acting, cluster_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.cluster.objects import ClusterObjects

CHANGE = ResourceChange("module.x.aws_instance.this", "aws_instance", ("update",), machine="worker-1")
PLAN = Plan(Path("plan"), (CHANGE,), has_changes=True)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stages() as stages:
        yield stages.of(1)


def command(stage: Stage, state: str, *faults: Fault) -> ClusterObjects:
    """Return the objects of a command, while all machines are in this state."""
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, state))
    client = Client("applies", stage.world, Trouble(faults))
    _acting.set(client)
    return cluster_of(client, stage.aws, lambda _event: None)._command()


def test_nothing_changes_while_the_driver_runs_and_does_not_answer(stage: Stage) -> None:
    with pytest.raises(Locked, match="did not change worker-1: the driver does not answer"):
        command(stage, "running", Fault(NO_SSH, 1)).stack._refuse_to_cut_off(PLAN)


def test_nothing_changes_while_another_client_starts_the_driver(stage: Stage) -> None:
    with pytest.raises(Locked, match="would cut off a start: the driver is pending"):
        command(stage, "pending").stack._refuse_to_cut_off(PLAN)


def test_stopped_machines_change(stage: Stage) -> None:
    command(stage, "stopped").stack._refuse_to_cut_off(PLAN)


def guard_of(apply: ClusterObjects) -> ApplyGuard:
    guard = ApplyGuard(apply.context, apply.fleet, apply.deadline, apply.driver, apply.fleet.look())
    guard.begin(PLAN)
    return guard


def test_an_apply_stops_the_machine_that_terraform_has_started_for_a_change(stage: Stage) -> None:
    guard = guard_of(command(stage, "stopped"))
    stage.world._set(stage.world.ids["worker-1"], "running")
    guard.restore(None)
    assert stage.world.states()["worker-1"] == "stopped"


def test_an_apply_leaves_the_machines_alone_that_another_client_has_started_meanwhile(stage: Stage) -> None:
    guard = guard_of(command(stage, "stopped"))
    assert stage.command("up", Client("up", stage.world, Trouble())).code == 0
    _acting.set(Client("applies", stage.world, Trouble()))
    guard.restore(None)
    assert set(stage.world.states().values()) == {"running"}


@pytest.mark.parametrize(("state", "why"), [("running", "does not answer"), ("pending", "another client has started")])
def test_a_destruction_that_cannot_ask_the_driver_removes_nothing(stage: Stage, state: str, why: str) -> None:
    with pytest.raises(MachinesMayBeRunning) as refused:
        command(stage, state, Fault(NO_SSH, 1)).stack.destroy()
    assert why in f"{refused.value.what} {refused.value.cause}"
    assert stage.world.belongings() == stage.world.began_with
