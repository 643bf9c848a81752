"""One machine that AWS can't stop, and the deadline of the others."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.faults import BAD, FAIR, Trouble
from tests.faults.scenario import cluster_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.events import Event
    from tests.faults.scenario import Stage
    from tests.faults.world import World


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    with Stages() as stages:
        yield stages


@pytest.fixture
def stage(stages: Stages) -> Stage:
    return stages.of(2)


@contextmanager
def without_permission(world: World) -> Iterator[None]:
    """Take from the deadline's role the permission to stop machines."""
    iam = world._trusted("iam")
    policy = {"RoleName": world._role.rpartition("/")[2], "PolicyName": "stop-machines"}
    document = iam.get_role_policy(**policy)["PolicyDocument"]
    iam.delete_role_policy(**policy)
    try:
        yield
    finally:
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))


def up(stage: Stage) -> None:
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, "stopped"))
    assert stage.command("up", Client("first", stage.world, Trouble())).code == 0


def told_by(stage: Stage, command: str) -> list[str]:
    """Return what a command of another client says."""
    said: list[Event] = []
    cluster = cluster_of(Client("second", stage.world, Trouble()), stage.aws, said.append)
    calls: dict[str, Callable[[Cluster], object]] = {
        "status": Cluster.status,
        "up": Cluster.up,
        "extend": lambda one: one.extend(9 * 3600),
        "down": Cluster.down,
    }
    calls[command](cluster)
    return [str(event) for event in said]


def pass_deadline(world: World) -> None:
    world.pass_by(world.config.train.max_runtime + 120)
    world.pass_by(120)


@pytest.mark.parametrize("kind", BAD)
def test_one_machine_that_aws_cannot_stop_does_not_keep_the_others_running(stage: Stage, kind: str) -> None:
    up(stage)
    world = stage.world
    world.spoil("worker-1", kind)
    pass_deadline(world)
    states = world.states()
    del states["worker-1"]
    assert set(states.values()) == {"stopped"}


@pytest.mark.parametrize("command", ["status", "extend"])
def test_a_command_names_a_machine_that_has_lost_its_tag_while_it_runs(stage: Stage, command: str) -> None:
    up(stage)
    world = stage.world
    world.spoil("worker-1", "untagged")
    told = " ".join(told_by(stage, command))
    assert "neither pio-tf nor a deadline stops a machine of Terraform's outputs: worker-1 (i-" in told
    assert world.ids["worker-1"] in told
    assert "`pio-tf apply` restores the tag" in told


def test_status_names_a_running_machine_that_the_deadline_leaves_out(stage: Stage) -> None:
    up(stage)
    world = stage.world
    world.spoil("worker-1", "untagged")
    told_by(stage, "extend")
    world.restore()
    (told,) = [line for line in told_by(stage, "status") if "the deadline leaves out" in line]
    assert f"leaves out worker-1 ({world.ids['worker-1']}, running): `pio-tf extend`" in told


@pytest.mark.parametrize("command", ["status", "up", "extend", "down"])
def test_the_next_command_of_any_client_says_that_aws_did_not_stop_the_machines(stage: Stage, command: str) -> None:
    up(stage)
    world = stage.world
    with without_permission(world):
        pass_deadline(world)
    assert set(world.states().values()) == {"running"}
    (told,) = [line for line in told_by(stage, command) if "did not stop" in line]
    assert all(name in told for name in world.machines)


@pytest.mark.parametrize("command", ["down", "destroy"])
def test_a_driver_that_has_lost_its_tag_is_asked_for_runs_all_the_same(stage: Stage, command: str) -> None:
    world = stage.world
    world.begin(FAIR, dict.fromkeys(world.machines, "stopped"))
    assert stage.command("train --detach", Client("first", world, Trouble())).code == 0
    world.spoil("driver", "untagged")
    ended = stage.command(command, Client("second", world, Trouble()))
    assert ended.code == 4, ended.crash
    assert "is active, started by" in str(ended.error)
    assert set(world.states().values()) == {"running"}


def test_down_by_force_stops_the_others_of_a_driver_that_has_lost_its_tag(stage: Stage) -> None:
    up(stage)
    world = stage.world
    world.spoil("driver", "untagged")
    ended = stage.command("down --force", Client("second", world, Trouble()))
    assert ended.code == 7
    assert f"did not stop driver ({world.ids['driver']}" in str(ended.error)
    states = world.states()
    assert states.pop("driver") == "running"
    assert set(states.values()) == {"stopped"}
