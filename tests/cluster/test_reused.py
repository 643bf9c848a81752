"""One `Cluster` for a cluster's whole life: a command does not rely on what an earlier one knew.

The tests share one cluster and one object, and run in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.errors import AwsError, GuardRefused
from pio_tf.events import Event, Step, Warned
from tests.cluster.support import Aws
from tests.support.no_machines import no_machines
from tests.support.provider_scripts import TERRAFORM
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Life:
    """A cluster of three machines, and the one object for it."""

    def __init__(self, aws: Aws, project: Project) -> None:
        self.aws = aws
        self.project = project
        self.told: list[Event] = []
        self.on_step: Callable[[str], None] = lambda _step: None
        environ = {"PATH": str(TERRAFORM.parent), "HOME": str(project.directory)}
        config = Cluster.load(project.write(), environ=environ).config
        self.cluster = Cluster(config, reporter=self._hear, environ=environ, open_session=no_machines)

    def _hear(self, event: Event) -> None:
        self.told.append(event)
        if isinstance(event, Step):
            self.on_step(event.message)

    def start_elsewhere(self) -> None:
        """Start all machines as another client."""
        ids = [instance_id for instance_id, _ in self.project.instances().values()]
        ec2(self.aws.url).start_instances(InstanceIds=ids)

    @property
    def running(self) -> set[str]:
        """Names of the machines that are on."""
        return {name for name, state in self.project.states().items() if state in ("pending", "running")}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Iterator[Life]:
    with Aws(transition_seconds=0.1) as aws:
        yield Life(aws, Project(tmp_path_factory.mktemp("life"), name="life", url=aws.url, mirror=mirror))


def test_a_refused_apply_stops_nothing_of_other_clients_though_one_before_it_had_begun(
    life: Life, tmp_path: Path
) -> None:
    life.cluster.plan(tmp_path / "plan")
    life.cluster.apply(tmp_path / "plan")
    life.cluster.down()
    life.on_step = lambda step: life.start_elsewhere() if step.startswith("Checking saved plan") else None
    with pytest.raises(GuardRefused):
        life.cluster.apply(tmp_path / "plan")  # once more
    life.on_step = lambda _step: None
    assert life.running == {"driver", "master", "worker-1"}


def test_machines_that_were_started_and_stopped_are_not_stopped_again(life: Life) -> None:
    life.cluster.down()
    life.cluster.up(deadline=False)
    life.cluster.down()
    with life.aws.recording() as calls:
        assert {machine.state for machine in life.cluster.down()} == {"stopped"}
    assert "StopInstances" not in [call.operation for call in calls]


def test_a_start_without_a_deadline_does_not_arm_the_one_of_an_earlier_up(life: Life) -> None:
    life.cluster.up(duration=3600)
    life.cluster.down()
    assert life.cluster.armed is None
    life.cluster.up(deadline=False)
    assert life.cluster.deadline() is None
    assert life.cluster.armed is None
    life.cluster.down()


def test_an_apply_without_permission_for_deadlines_does_not_use_the_one_of_an_earlier_up(life: Life) -> None:
    life.cluster.up(duration=3600)
    life.cluster.down()
    gone, _ = life.project.instances()["worker-1"]
    client = ec2(life.aws.url)
    client.terminate_instances(InstanceIds=[gone])
    client.get_waiter("instance_terminated").wait(InstanceIds=[gone], WaiterConfig={"Delay": 1})
    life.told.clear()
    life.aws.refused = frozenset({"GET", "POST", "PUT", "DELETE"})
    try:
        life.cluster.apply()
    except AwsError as error:  # for pytest to show its cause
        pytest.fail(str(error))
    finally:
        life.aws.refused = frozenset()
    assert life.running == {"worker-1"}
    said = [event.message for event in life.told if isinstance(event, Warned)]
    assert any(message.startswith("new machines run without a deadline") for message in said)
