"""An apply or a destruction beside another client's training: it changes nothing that the training needs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.cluster.apply_guard import ApplyGuard
from pio_tf.errors import Locked, MachinesMayBeRunning
from pio_tf.infra.plan import Plan, ResourceChange
from pio_tf.training.runs.bucket_lock import BucketLock, DriverReport
from pio_tf.training.runs.record import Client as Owner
from tests.faults.campaign import Stages
from tests.faults.client import Client, acting
from tests.faults.faults import FAIR, NO_SSH, Fault, Trouble
from tests.faults.scenario import Outcome, Stage, cluster_of
from tests.faults.time import Turns
from tests.training.bucket_world import make_run_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.cluster.objects import ClusterObjects
    from tests.faults.driver import Held

CHANGE = ResourceChange("module.x.aws_instance.this", "aws_instance", ("update",), machine="worker-1")
PLAN = Plan(Path("plan"), (CHANGE,), has_changes=True)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stages() as stages:
        yield stages.of(1)


def command(stage: Stage, state: str, *faults: Fault) -> ClusterObjects:
    """Return the objects of a command, while all machines are in this state."""
    stage.tidy()
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, state))
    client = Client("applies", stage.world, Trouble(faults))
    acting.set(client)
    return cluster_of(client, stage.aws, lambda _event: None)._command()


def guard_of(apply: ClusterObjects, plan: Plan | None = None) -> ApplyGuard:
    """Return the guard of an apply; with a plan, right before Terraform changes something."""
    guard = ApplyGuard(apply.context, apply.fleet, apply.deadline, apply.driver, apply.fleet.look())
    if plan is not None:
        guard.lock(plan)
        guard.begin(plan)
    return guard


def lock_of(stage: Stage) -> Held | None:
    """Return the holder of the driver's lock."""
    return stage.world.driver.held


def test_nothing_changes_while_the_driver_runs_and_does_not_answer(stage: Stage) -> None:
    apply = guard_of(command(stage, "running", Fault(NO_SSH, 1)))
    with pytest.raises(Locked, match="did not change worker-1: the driver does not answer"), apply:
        apply.lock(PLAN)


def test_nothing_changes_while_another_client_starts_the_driver(stage: Stage) -> None:
    apply = guard_of(command(stage, "pending"))
    with pytest.raises(Locked, match="would cut off a start: the driver is pending"), apply:
        apply.lock(PLAN)


def test_nothing_changes_if_another_client_has_started_the_driver_since_it_was_asked_for(stage: Stage) -> None:
    apply = guard_of(command(stage, "stopped"))
    apply.lock(PLAN)
    assert stage.command("up", Client("up", stage.world, Trouble())).code == 0
    acting.set(Client("applies", stage.world, Trouble()))
    with pytest.raises(Locked, match="would cut off a start: the driver is running"):
        apply.begin(PLAN)


def test_stopped_machines_change(stage: Stage) -> None:
    with guard_of(command(stage, "stopped")) as apply:
        apply.lock(PLAN)
    assert lock_of(stage) is None


def test_new_machines_are_created_beside_a_run(stage: Stage) -> None:
    apply = command(stage, "running", Fault(NO_SSH, 1))
    new = ResourceChange("module.x.aws_instance.this", "aws_instance", ("create",), machine="worker-9")
    with guard_of(apply, Plan(Path("plan"), (new,), has_changes=True)):
        assert lock_of(stage) is None


def test_no_run_begins_from_before_the_change_until_the_power_is_restored(stage: Stage) -> None:
    apply = guard_of(command(stage, "running"), PLAN)
    with apply:
        trains = stage.command("train", Client("trains", stage.world, Trouble()))
        assert trains.code == Locked.exit_code
        assert "the machines are being changed by applies" in str(trains.error)
        acting.set(Client("applies", stage.world, Trouble()))
        apply.restore(None)
        assert lock_of(stage) is not None
    assert lock_of(stage) is None
    assert stage.command("train", Client("trains", stage.world, Trouble())).code == 0


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_with_the_state_in_s3_no_training_is_begun_while_machines_change_though_the_driver_is_off(
    stage: Stage, state: str
) -> None:
    (bucket,) = make_run_bucket(stage.world.aws)

    def lock(name: str) -> BucketLock:
        client = Owner(name, "laptop", 17, "2026-11-23T18:00:00Z")
        return BucketLock(bucket=bucket, report_driver=lambda: DriverReport("off"), starts_within=600, client=client)

    apply = command(stage, state)
    apply.storage.lock = lock("ann")
    with guard_of(apply, PLAN) as guard:
        with pytest.raises(Locked, match="the machines are being changed by ann"):
            lock("bob").take("R1")
        guard.restore(None)
    lock("bob").take("R1")
    with pytest.raises(Locked, match="run R1 is being started"), guard_of(apply) as guard:
        guard.lock(PLAN)
    with pytest.raises(Locked, match="run R1 is being started"):
        apply.stack.destroy()


def test_nothing_changes_while_a_run_is_active(stage: Stage) -> None:
    apply = guard_of(command(stage, "stopped"))
    assert stage.command("train --detach", Client("trains", stage.world, Trouble())).code == 0
    acting.set(Client("applies", stage.world, Trouble()))
    with pytest.raises(Locked, match=r"changing worker-1 would cut off a run: run \S+ is active"), apply:
        apply.lock(PLAN)


ALL = Plan(
    Path("plan"),
    tuple(
        ResourceChange(f"module.{name}.aws_instance.this", "aws_instance", ("update",), machine=name)
        for name in ("driver", "master", "worker-1")
    ),
    has_changes=True,
)


@pytest.fixture
def changed(stage: Stage) -> ApplyGuard:
    """Return an apply that has changed all machines, which were stopped: Terraform has started them."""
    apply = command(stage, "stopped")
    guard = guard_of(apply)
    guard.lock(ALL)
    apply.deadline.arm(stage.world.terraform_outputs(), apply.fleet.look(), apply.deadline.after(None))
    guard.begin(ALL)
    for instance_id in stage.world.ids.values():
        stage.world._set(instance_id, "running")
    return guard


def test_an_apply_stops_all_machines_that_terraform_has_started(stage: Stage, changed: ApplyGuard) -> None:
    changed.restore(None)
    assert set(stage.world.states().values()) == {"stopped"}


def test_an_apply_whose_computer_slept_past_the_deadline_stops_what_terraform_has_started_since(
    stage: Stage, changed: ApplyGuard
) -> None:
    stage.world.pass_by(stage.world.config.train.max_runtime + 120)
    assert not stage.world.deadline()
    for instance_id in stage.world.ids.values():
        stage.world._set(instance_id, "running")
    changed.restore(None)
    assert set(stage.world.states().values()) == {"stopped"}


@pytest.mark.parametrize("trains", ["train --detach", "train --keep-up", "up"])
def test_an_apply_leaves_machines_that_it_has_started_to_a_client_that_uses_them(
    stage: Stage, changed: ApplyGuard, trains: str
) -> None:
    assert stage.command(trains, Client("trains", stage.world, Trouble())).code == 0
    acting.set(Client("applies", stage.world, Trouble()))
    changed.restore(None)
    assert set(stage.world.states().values()) == {"running"}


def test_an_apply_stops_the_machine_that_terraform_has_started_for_a_change(stage: Stage) -> None:
    guard = guard_of(command(stage, "stopped"), PLAN)
    stage.world._set(stage.world.ids["worker-1"], "running")
    guard.restore(None)
    assert stage.world.states()["worker-1"] == "stopped"


def test_an_apply_waits_for_the_machine_that_its_deadline_stops(stage: Stage) -> None:
    guard = guard_of(command(stage, "stopped"), PLAN)
    stage.world._set(stage.world.ids["worker-1"], "stopping")
    guard.restore(None)
    assert stage.world.states()["worker-1"] == "stopped"


def test_an_apply_that_cannot_see_what_it_left_running_says_that_machines_may_run(stage: Stage) -> None:
    guard = guard_of(command(stage, "stopped", Fault("unavailable", 4, times=6)), PLAN)
    stage.world._set(stage.world.ids["worker-1"], "running")
    with pytest.raises(MachinesMayBeRunning, match="the apply succeeded, and pio-tf could not determine"):
        guard.restore(None)


def test_an_apply_leaves_the_machines_alone_that_another_client_has_started_meanwhile(stage: Stage) -> None:
    guard = guard_of(command(stage, "stopped"), PLAN)
    assert stage.command("up", Client("up", stage.world, Trouble())).code == 0
    acting.set(Client("applies", stage.world, Trouble()))
    guard.restore(None)
    assert set(stage.world.states().values()) == {"running"}


@pytest.mark.parametrize(("state", "why"), [("running", "does not answer"), ("pending", "another client has started")])
def test_a_destruction_that_cannot_ask_the_driver_removes_nothing(stage: Stage, state: str, why: str) -> None:
    with pytest.raises(MachinesMayBeRunning) as refused:
        command(stage, state, Fault(NO_SSH, 1)).stack.destroy()
    assert why in f"{refused.value.what} {refused.value.cause}"
    assert stage.world.belongings() == stage.world.began_with


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize("order", range(4))
def test_an_apply_at_the_same_time_as_a_training_changes_no_machine_under_the_run(
    stage: Stage, order: int, state: str
) -> None:
    world, turns, ends = stage.world, Turns(random.Random(order)), dict[str, Outcome]()  # noqa: S311 - no secret
    world.begin(FAIR, dict.fromkeys(world.machines, state))
    clients = {name: Client(name, world, Trouble(), turns) for name in ("applies", "trains")}
    turns.run(
        {
            "applies": lambda: ends.update(applies=stage.command("apply", clients["applies"])),
            "trains": lambda: ends.update(trains=stage.command("train --detach", clients["trains"])),
        }
    )
    assert world.wrong == []
    assert {end.crash for end in ends.values()} == {""}
    assert {0, Locked.exit_code} >= {ends["applies"].code}
    running = [run for run in world.driver.runs.values() if run.state == "running"]
    assert running or ends["trains"].code != 0
