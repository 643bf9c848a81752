"""Machines whose stop AWS has not confirmed: exit code 7, and an error that names them and how to stop them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.errors import MachinesMayBeRunning, NotReady, PioTfError
from pio_tf.events import Warned
from pio_tf.model import MACHINE_TAG
from tests.faults.aws import FaultyAws
from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.faults import FAIR, Fault, Trouble, Weather
from tests.faults.scenario import cluster_of
from tests.support.instances import run_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.events import Event
    from tests.faults.world import World

EXPIRED = Fault("expired", 1)
STEPS_OF_A_DOWN = 12
"""Calls of AWS and dealings with the driver."""


@dataclass
class Player:
    """Commands on a cluster of four machines."""

    world: World
    client: Client = field(init=False)
    told: list[str] = field(default_factory=list)
    """Warnings of the last command."""

    def __post_init__(self) -> None:
        self.aws = FaultyAws(self.world.config, lambda: self.client)

    def begin(self, state: str, weather: Weather = FAIR) -> None:
        """Put all machines into this state."""
        self.world.begin(weather, dict.fromkeys(self.world.machines, state))
        self.world.know()

    def play(self, command: Callable[[Cluster], object], *faults: Fault) -> BaseException | None:
        """Run a command, which must come to the step of each fault. Return its error."""
        self.client = Client("client", self.world, Trouble(faults))
        self.told = []
        cluster = cluster_of(self.client, self.aws, self._listen)
        ended: BaseException | None = None
        try:
            command(cluster)
        except (PioTfError, KeyboardInterrupt) as error:
            ended = error
        assert self.client.trouble.happened.total() >= len(faults), f"the command has only {self.steps} steps"
        return ended

    def _listen(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.told.append(event.message)

    @property
    def steps(self) -> int:
        """The number of steps of the last command."""
        return self.client.trouble.step

    @property
    def not_off(self) -> set[str]:
        """Ids of the machines that are not stopped, as AWS has them."""
        return {self.world.ids[name] for name, state in self.world.states().items() if state != "stopped"}


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with Stages() as stages:
        yield Player(stages.of(2).world)


def test_these_tests_interrupt_a_down_at_each_of_its_steps(player: Player) -> None:
    player.begin("running", Weather(5.0, 0.0, {}, frozenset(), {}))
    assert player.play(Cluster.down) is None
    assert player.steps == STEPS_OF_A_DOWN


@pytest.mark.parametrize("at", range(1, STEPS_OF_A_DOWN + 1))
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_down_that_is_interrupted_at_any_call_names_machines_without_a_confirmed_stop(
    player: Player, at: int, after_effect: bool
) -> None:
    player.begin("running", Weather(5.0, 0.0, {}, frozenset(), {}))
    ended = player.play(Cluster.down, Fault("interrupted", at, after_effect=after_effect))
    if isinstance(ended, MachinesMayBeRunning):
        assert player.not_off
        assert all(instance_id in ended.what for instance_id in player.not_off)
        command = ended.next_step.partition("aws ec2 stop-instances --region eu-west-1")[2]
        assert all(instance_id in command for instance_id in player.not_off)
        assert "--force" not in command, "they have not been stopping for long"
    else:
        assert not player.not_off


def test_a_down_that_is_interrupted_twice_before_aws_answers_does_not_know_what_runs(player: Player) -> None:
    player.begin("running")
    ended = player.play(Cluster.down, Fault("interrupted", 1, times=2))
    assert isinstance(ended, MachinesMayBeRunning)
    assert "could not determine which machines of c2 are running" in ended.what
    assert "Name=tag:pio-tf:cluster,Values=c2" in ended.next_step


@pytest.mark.parametrize("command", [Cluster.down, Cluster.down_if_idle, lambda c: c.down_if_idle(idle_for=0)])
def test_a_stop_that_cannot_ask_aws_ends_with_7_and_names_the_machines(
    player: Player, command: Callable[[Cluster], object]
) -> None:
    player.begin("running")
    ended = player.play(command, EXPIRED)
    assert isinstance(ended, MachinesMayBeRunning)
    assert "could not determine which of the 4 machines of c2 are running" in ended.what
    assert all(instance_id in ended.next_step for instance_id in player.not_off)
    assert "expired" in ended.cause


@pytest.mark.parametrize("command", [Cluster.down, Cluster.down_if_idle])
def test_without_terraforms_outputs_the_aws_command_goes_by_the_tag(
    player: Player, command: Callable[[Cluster], object]
) -> None:
    """Hide the outputs, as expired credentials do that cannot read a state in S3."""
    player.begin("running")
    player.world.terraform.prints(output=b"no JSON")
    ended = player.play(command, EXPIRED)
    player.world.know()
    assert isinstance(ended, MachinesMayBeRunning)
    assert "could not determine which machines of c2 are running" in ended.what
    assert "Name=tag:pio-tf:cluster,Values=c2" in ended.next_step


def test_if_the_driver_does_not_answer_the_machines_are_named(player: Player) -> None:
    player.begin("running")
    ended = player.play(Cluster.down, Fault("ssh-unreachable", 1))
    assert isinstance(ended, MachinesMayBeRunning)
    assert len(player.not_off) == 4
    assert all(instance_id in ended.cause for instance_id in player.not_off)
    assert "aws ec2 stop-instances" in ended.next_step
    assert "pio-tf down --force" in ended.next_step


def test_an_interrupted_up_names_the_machines_left_running_and_their_deadline(player: Player) -> None:
    player.begin("stopped")
    ended = player.play(Cluster.up, Fault("interrupted", 25))
    assert isinstance(ended, KeyboardInterrupt)
    assert len(player.not_off) == 4
    said, until = player.told[-2:]
    assert all(instance_id in said for instance_id in player.not_off)
    assert said.startswith("interrupted; left running: driver (")
    assert "`pio-tf down` stops them" in said
    assert "AWS stops them at" in until


def test_an_up_that_does_not_become_ready_names_the_machines_left_running_and_their_deadline(player: Player) -> None:
    player.begin("stopped")
    assert isinstance(player.play(Cluster.up, Fault("ssh-unreachable", 8)), NotReady)
    said, until = player.told[-2:]
    assert len(player.not_off) == 4
    assert all(instance_id in said for instance_id in player.not_off)
    assert "AWS stops them at" in until


def test_an_up_that_left_nothing_running_names_nothing(player: Player) -> None:
    player.begin("stopped", Weather(1.0, 0.0, {"worker-1": 5000.0}, frozenset(), {}))
    assert isinstance(player.play(Cluster.up), NotReady)
    assert not [line for line in player.told if "left running" in line]


def test_an_up_that_is_interrupted_before_it_starts_anything_does_not_warn(player: Player) -> None:
    player.begin("stopped")
    assert isinstance(player.play(Cluster.up, Fault("interrupted", 2)), KeyboardInterrupt)
    assert player.told == []


def test_with_keep_up_nothing_is_said_of_machines_that_did_not_start(player: Player) -> None:
    player.begin("stopped")
    machines = dict(player.world.outputs)
    machines["worker-1"] = {**machines["worker-1"], "id": "i-0123456789abcdef0"}
    player.world.know(machines)
    ended = player.play(lambda cluster: cluster.train(keep_up=True))
    assert isinstance(ended, PioTfError)
    assert player.told == []


def test_with_keep_up_nothing_is_said_of_machines_that_were_stopped_again(player: Player) -> None:
    player.begin("stopped", Weather(1.0, 0.0, {"worker-1": 5000.0}, frozenset(), {}))
    ended = player.play(lambda cluster: cluster.train(keep_up=True))
    assert isinstance(ended, NotReady)
    assert not player.not_off
    assert not [line for line in player.told if "keep running" in line or "AWS stops them" in line]


def test_machines_that_keep_running_are_reported_with_their_deadline(player: Player) -> None:
    player.begin("stopped")
    assert player.play(lambda cluster: cluster.train(keep_up=True)) is None
    assert len(player.not_off) == 4
    said, until = player.told[-2:]
    assert "the machines keep running (keep-up)" in said
    assert "AWS stops them at" in until


def test_another_clusters_machine_in_the_outputs_is_named_without_a_command_that_stops_it(player: Player) -> None:
    player.begin("running")
    theirs = player.world.others["another's master"]
    player.world.know({**player.world.outputs, "worker-1": {**player.world.outputs["worker-1"], "id": theirs}})
    ended = player.play(Cluster.down)
    player.world.know()
    assert isinstance(ended, MachinesMayBeRunning)
    assert f"({theirs}, running) is tagged for c2-b" in ended.cause
    assert theirs not in ended.next_step
    assert "restore the right state" in ended.next_step
    assert not player.not_off


def test_a_machine_that_has_lost_its_tag_is_named_with_the_command_that_stops_it(player: Player) -> None:
    player.begin("running")
    lost = player.world.others["untagged master"]
    player.world.know({**player.world.outputs, "worker-1": {**player.world.outputs["worker-1"], "id": lost}})
    ended = player.play(Cluster.down)
    player.world.know()
    assert isinstance(ended, MachinesMayBeRunning)
    assert f"worker-1 ({lost}, running) lacks the tag pio-tf:cluster" in ended.cause
    assert f"aws ec2 stop-instances --region eu-west-1 --endpoint-url {player.world.aws.url}" in ended.next_step
    assert f"--instance-ids {lost}" in ended.next_step


def test_a_machine_that_is_being_terminated_is_not_armed(player: Player) -> None:
    player.begin("stopped")
    armed: list[str] = []

    def up(cluster: Cluster) -> None:
        cluster.up()
        found = cluster._command().deadline.schedule.find()
        assert found is not None
        armed.extend(found.ids)

    ec2 = player.world._ec2
    leftover = run_machine(ec2, cluster=player.world.name, tags={MACHINE_TAG: "worker-9"})["InstanceId"]
    ec2.terminate_instances(InstanceIds=[leftover])
    assert state_of(ec2, leftover) == "shutting-down"
    assert player.play(up) is None
    assert set(armed) == set(player.world.ids.values())


def state_of(ec2: EC2Client, instance_id: str) -> str:
    found = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    return found["State"]["Name"]
