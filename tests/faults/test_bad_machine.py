"""One machine that AWS can't stop, and the deadline of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.model import CLUSTER_TAG
from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.faults import FAIR, Trouble
from tests.faults.scenario import cluster_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.events import Event
    from tests.faults.scenario import Stage
    from tests.faults.world import World


def terminate(world: World, instance_id: str) -> None:
    world._ec2.terminate_instances(InstanceIds=[instance_id])


def take_the_tag(world: World, instance_id: str) -> None:
    world._ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": CLUSTER_TAG}])


def take_the_role(world: World, _instance_id: str) -> None:
    role = world._role.rpartition("/")[2]
    world._trusted("iam").delete_role_policy(RoleName=role, PolicyName="stop-machines")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stages() as stages:
        stage = stages.of(2)
        with stage.world.clock.on_the_wall():  # as the launch times of machines
            yield stage


def up(stage: Stage) -> None:
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, "stopped"))
    assert stage.command("up", Client("first", stage.world, Trouble())).code == 0


def pass_deadline(world: World) -> None:
    world.pass_by(world.config.train.max_runtime + 120)
    world.pass_by(120)


@pytest.mark.parametrize("spoil", [terminate, take_the_tag])
def test_one_machine_that_aws_cannot_stop_does_not_keep_the_others_running(
    stage: Stage, spoil: Callable[[World, str], None]
) -> None:
    up(stage)
    world = stage.world
    spoil(world, world.ids["worker-1"])
    pass_deadline(world)
    states = world.states()
    del states["worker-1"]
    assert set(states.values()) == {"stopped"}


@pytest.mark.parametrize("command", ["status", "up", "extend", "down"])
def test_the_next_command_of_any_client_says_that_aws_did_not_stop_the_machines(stage: Stage, command: str) -> None:
    up(stage)
    world, said = stage.world, list["Event"]()
    take_the_role(world, "")
    pass_deadline(world)
    assert set(world.states().values()) == {"running"}
    cluster = cluster_of(Client("second", world, Trouble()), stage.aws, said.append)
    calls: dict[str, Callable[[Cluster], object]] = {
        "status": Cluster.status,
        "up": Cluster.up,
        "extend": lambda one: one.extend(3600),
        "down": Cluster.down,
    }
    calls[command](cluster)
    (told,) = [str(event) for event in said if "did not stop" in str(event)]
    assert all(name in told for name in world.machines)
