"""The deadline in the life of a cluster: the calls of AWS in their order, and what is refused."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import boto3
import pytest

from pio_tf import Cluster
from pio_tf.errors import AwsError, ConfigError, NotReady
from pio_tf.infra.plan import Plan, ResourceChange
from pio_tf.machines.deadline_schedule import whole_minute
from pio_tf.model import CLUSTER_TAG
from pio_tf.sandbox.schedules import Firing
from tests.cluster.support import Aws
from tests.support.background import wait_until
from tests.support.deployments import existing_network
from tests.support.no_machines import no_machines
from tests.support.provider_scripts import TERRAFORM
from tests.support.recording_aws import REGION, Call
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_ec2.type_defs import TagTypeDef

    from pio_tf.events import Event

Created: TypeAlias = "tuple[World, list[Call], list[str]]"
HOUR = timedelta(hours=1)
ARMS = {"POST", "PUT"}
"""How a deadline is created, and changed."""
QUARTER = timedelta(minutes=15)
"""The longest time that a start may take: `cluster.start_timeout`."""


@dataclass
class World:
    """A cluster of three machines, and the time of day."""

    aws: Aws
    project: Project
    now: datetime
    network: str

    def cluster(
        self, *, said: list[Event] | None = None, sleep: Callable[[float], None] = time.sleep, **blocks: str
    ) -> Cluster:
        """Return a client of the cluster."""
        path = self.project.write(network=self.network, **blocks)
        environ = {"PATH": str(TERRAFORM.parent), "HOME": str(self.project.directory)}
        config = Cluster.load(path, environ=environ).config
        reporter = (lambda _event: None) if said is None else said.append
        return Cluster(
            config, reporter=reporter, environ=environ, open_session=no_machines, now=lambda: self.now, sleep=sleep
        )

    @property
    def deadline(self) -> datetime | None:
        """Return the deadline that AWS has."""
        return self.cluster().deadline()

    @property
    def armed_ids(self) -> set[str]:
        """Its machines, as AWS has them."""
        client = boto3.client(
            "scheduler", endpoint_url=self.aws.url, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
        )
        return set(
            json.loads(client.get_schedule(Name=f"pio-tf-{self.project.name}")["Target"]["Input"])["InstanceIds"]
        )

    @property
    def ids(self) -> set[str]:
        return {instance_id for instance_id, _ in self.project.instances().values()}

    def wait_for(self, state: str) -> bool:
        """Wait some seconds until all machines are in this state; return True if they are."""
        return wait_until(lambda: set(self.project.states().values()) == {state})


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws(transition_seconds=0.1) as running:
        yield running


def network_for(aws: Aws, cidr: str) -> str:
    """Make a network beforehand: the provider needs ten seconds to make one."""
    return existing_network(aws.url, cidr) + "first_host = 10"


@pytest.fixture(scope="module")
def created(aws: Aws, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Created:
    """Create a cluster; return the calls that have made it, and what was said meanwhile."""
    project = Project(tmp_path_factory.mktemp("late"), name="late", url=aws.url, mirror=mirror)
    world = World(aws, project, datetime.now(tz=timezone.utc), network_for(aws, "127.77.0.0/24"))
    said: list[Event] = []
    with aws.recording() as calls:
        world.cluster(said=said).up()
    return world, calls, [str(event) for event in said]


@pytest.fixture
def world(created: Created) -> Iterator[World]:
    """Yield the same cluster, stopped, with its deadline released."""
    made, _, _ = created
    made.aws.refused = frozenset()
    made.cluster().down()
    yield made
    made.aws.refused = frozenset()


def of_cluster(calls: list[Call]) -> list[Call]:
    """Return the calls for the cluster's own schedule."""
    return [call for call in calls if call.service == "scheduler" and "." not in call.path]


def schedules(calls: list[Call]) -> list[str]:
    return [call.operation for call in of_cluster(calls)]


def place(calls: list[Call], operation: str) -> int:
    return next(at for at, call in enumerate(calls) if call.operation == operation)


def test_new_machines_are_armed_before_terraform_reports_them(created: Created) -> None:
    world, calls, said = created
    armed = next(at for at, line in enumerate(said) if "AWS stops the new machines" in line)
    reported = [at for at, line in enumerate(said) if "aws_instance" in line and "'create'" in line and "done" in line]
    assert len(reported) == 3
    assert armed < min(reported), "Terraform waits until a machine runs"
    assert world.deadline == whole_minute(world.now + 8 * HOUR)
    first = place(calls, "POST")
    assert calls[first].service == "scheduler"
    assert place(calls, "RunInstances") < first
    assert any(call.by == "terraform" for call in calls[first:]), "Terraform goes on to make the alarms"
    assert world.armed_ids == world.ids


def test_no_machine_is_started_before_all_of_them_are_armed_and_that_is_read_back(world: World) -> None:
    with world.aws.recording() as calls:
        world.cluster().up(duration=7200)
    start = place(calls, "StartInstances")
    before = of_cluster(calls[:start])
    started = {call.parameters[name] for call in calls for name in call.parameters if name.startswith("InstanceId.")}
    armed = [call for call in before if call.operation in ARMS]
    assert set(json.loads(armed[-1].parameters["Target"]["Input"])["InstanceIds"]) >= started == world.ids
    assert [call.operation for call in before[-3:]] == ["GET", armed[-1].operation, "GET"], "armed, and read back"
    assert {call.service for call in calls[calls.index(before[-1]) : start]} == {"scheduler"}, "right before the start"
    assert world.deadline == whole_minute(world.now + 2 * HOUR)


def test_each_machines_own_schedule_is_set_right_before_the_start_whatever_others_left_of_it(world: World) -> None:
    """A client that is killed while it moves them leaves the cluster's schedule as it is."""
    with world.aws.recording() as calls:
        world.cluster().up()
    start = place(calls, "StartInstances")
    last = max(at for at, call in enumerate(calls[:start]) if call in of_cluster(calls) and call.operation in ARMS)
    own = {call.path for call in calls[last:start] if call.operation in ARMS and "." in call.path}
    assert len(own) == len(world.ids) == 3


@pytest.mark.parametrize(("refused", "permission"), [("POST", "CreateSchedule"), ("GET", "GetSchedule")])
def test_without_the_permission_nothing_is_started_unless_without_a_deadline(
    world: World, refused: str, permission: str
) -> None:
    world.cluster()._command().deadline.schedule.remove()
    world.aws.refused = frozenset({refused})
    with world.aws.recording() as calls, pytest.raises(AwsError) as error:
        world.cluster().up()
    assert f"scheduler:{permission}" in error.value.what
    assert "--no-deadline" in error.value.next_step
    assert "StartInstances" not in [call.operation for call in calls]
    assert set(world.project.states().values()) == {"stopped"}
    with world.aws.recording() as calls:
        world.cluster().up(deadline=False)
    assert set(world.project.states().values()) == {"running"}
    assert set(schedules(calls)) <= {"GET"}


def test_the_deadline_is_released_only_after_aws_has_confirmed_the_stop(world: World) -> None:
    world.cluster().up()
    with world.aws.recording() as calls:
        world.cluster().down()
    looks = [at for at, call in enumerate(calls) if call.operation == "DescribeInstances"]
    released = place(calls, "PUT")
    assert place(calls, "StopInstances") < max(looks) < released
    assert "DELETE" not in schedules(calls)
    assert world.deadline == whole_minute(world.now + QUARTER)
    assert world.armed_ids == world.ids
    assert world.cluster().status().deadline is None, "nothing runs"


def test_machines_that_a_dying_client_starts_during_another_down_stop_soon(world: World) -> None:
    """The client has armed and read back, and dies before it can see that its deadline was released."""
    dies = world.cluster()._command()
    outputs = dies.stack.outputs()
    dies.deadline.arm(outputs, dies.fleet.look(outputs), dies.deadline.after(None))
    world.cluster().down()
    ec2(world.aws.url, region=REGION).start_instances(InstanceIds=sorted(world.ids))
    assert world.wait_for("running")
    Firing().fire_due(world.now + QUARTER + timedelta(minutes=1))
    assert world.wait_for("stopped")
    assert world.deadline is None, "it has removed itself"


def test_a_start_after_a_down_counts_its_own_time(world: World) -> None:
    world.cluster().up(duration=300)
    assert world.deadline == whole_minute(world.now + timedelta(minutes=5))


def test_a_start_waits_until_a_deadline_that_is_due_has_passed(world: World) -> None:
    """The local AWS fires nothing in the year 2999, so that the start waits as long as AWS may take."""
    really, world.now = world.now, datetime(2999, 1, 1, 12, tzinfo=timezone.utc)
    noon = world.now
    said: list[Event] = []

    def sleep(seconds: float) -> None:
        world.now += timedelta(seconds=seconds)

    try:
        cluster = world.cluster(said=said, sleep=sleep)
        cluster._command().deadline.schedule.arm(world.ids, noon, role_arn=str(cluster.outputs().deadline_role_arn))
        cluster.up(duration=3600)
        assert world.deadline == noon + HOUR
        assert world.now >= noon + timedelta(seconds=90)
        assert sum("Waiting until the deadline of 12:00 UTC" in str(event) for event in said) == 1
    finally:
        world.now = really


def test_a_start_without_a_deadline_removes_a_released_one(world: World) -> None:
    said: list[Event] = []
    with world.aws.recording() as calls:
        world.cluster(said=said).up(deadline=False)
    assert schedules(calls) == ["GET", "DELETE"]
    assert world.deadline is None
    assert any("without a deadline" in str(event) for event in said)


def test_a_second_down_tells_no_machine_to_stop(world: World) -> None:
    with world.aws.recording() as calls:
        world.cluster().down()
    assert "StopInstances" not in [call.operation for call in calls]
    assert schedules(calls).count("PUT") == 0, "it is released already"


def test_a_later_deadline_stands(world: World) -> None:
    world.cluster().up(duration=5 * 3600)
    said: list[Event] = []
    world.cluster(said=said).up(duration=3600)
    assert world.deadline == whole_minute(world.now + 5 * HOUR)
    assert any("never shortens" in str(event) for event in said)


def test_extending_says_the_old_deadline_and_the_new_one(world: World) -> None:
    world.cluster().up(duration=3600)
    extended = world.cluster().extend(3 * 3600)
    assert extended.before == whole_minute(world.now + HOUR)
    assert extended.deadline == world.deadline == whole_minute(world.now + 3 * HOUR)
    assert world.armed_ids == world.ids


def test_extending_never_shortens(world: World) -> None:
    world.cluster().up(duration=3 * 3600)
    with pytest.raises(ConfigError, match="later than"):
        world.cluster().extend(3600)
    assert world.deadline == whole_minute(world.now + 3 * HOUR)


def test_machines_that_run_without_a_deadline_get_one_by_extending(world: World) -> None:
    world.cluster().up(deadline=False)
    assert world.cluster().extend(3600).before is None
    assert world.armed_ids == world.ids


def test_nothing_is_extended_where_nothing_runs(world: World) -> None:
    with pytest.raises(NotReady, match="no machine runs"):
        world.cluster().extend(3600)
    assert world.deadline == whole_minute(world.now + QUARTER), "as `down` has left it"


def test_status_shows_the_deadline_of_machines_that_run(world: World) -> None:
    assert world.cluster().status().deadline is None
    world.cluster().up(duration=3600)
    assert world.deadline == whole_minute(world.now + HOUR)


def test_a_deadline_that_another_client_removes_or_shortens_is_armed_again_by_the_follower(world: World) -> None:
    mine = world.cluster()
    mine.up(duration=3600)
    deadline = mine._last.deadline
    deadline.schedule.remove()
    assert deadline.look_after() == world.deadline == whole_minute(world.now + HOUR)
    world.cluster().extend(2 * 3600)
    assert deadline.look_after() == whole_minute(world.now + 2 * HOUR), "an extension is taken over"
    assert world.armed_ids == world.ids


def test_a_machine_that_has_lost_its_tag_does_not_keep_the_others_from_their_deadline(world: World) -> None:
    said: list[Event] = []
    mine = world.cluster(said=said)
    mine.up(duration=3600)
    worker, _ = world.project.instances()["worker-1"]
    everything = world.ids
    tag: TagTypeDef = {"Key": CLUSTER_TAG, "Value": "late"}
    client = ec2(world.aws.url, region=REGION)
    client.delete_tags(Resources=[worker], Tags=[tag])
    try:
        watch = mine._last.deadline.watch()
        assert watch is not None
        for _ in ("left out", "as it is"):
            asyncio.run(watch.look())
        assert world.armed_ids == everything - {worker}
        assert [worker in str(event) for event in said].count(True) == 1
        assert mine.extend(7200).deadline == world.deadline == whole_minute(world.now + 2 * HOUR)
    finally:
        client.create_tags(Resources=[worker], Tags=[tag])


def test_a_cluster_that_was_applied_without_the_role_says_what_to_do(world: World) -> None:
    outputs = world.cluster().outputs()
    assert outputs.deadline_role_arn == f"arn:aws:iam::123456789012:role/pio-tf/pio-tf-late-{REGION}"
    state = world.project.directory / ".pio-tf" / "late" / "stack" / "terraform.tfstate"
    text = state.read_text()
    older = json.loads(text)
    del older["outputs"]["deadline_role_arn"]
    state.write_text(json.dumps(older))
    try:
        with world.aws.recording() as calls, pytest.raises(ConfigError, match="no role") as refused:
            world.cluster().up()
        assert "pio-tf apply" in refused.value.next_step
        assert "StartInstances" not in [call.operation for call in calls]
    finally:
        state.write_text(text)


def test_a_change_for_which_terraform_starts_machines_is_armed_before_it(world: World) -> None:
    larger = 'instance_type = "m5.xlarge"\nallow_small_memory = true'
    with world.aws.recording() as calls:
        world.cluster(driver=larger).apply()
    start = place(calls, "StartInstances")
    assert calls[start].by == "terraform"
    assert ARMS & set(schedules(calls[:start])), "a killed apply leaves no machine without a deadline"
    assert "PUT" in schedules(calls[start:])
    assert set(world.project.states().values()) == {"stopped"}
    assert world.deadline == whole_minute(world.now + QUARTER), "released"
    with world.aws.recording() as calls:
        world.cluster().up(duration=3600)
    start = place(calls, "StartInstances")
    assert calls[start].by == "terraform"
    assert ARMS & set(schedules(calls[:start]))
    assert world.deadline == whole_minute(world.now + HOUR)


def test_an_apply_without_permission_for_deadlines_says_so_of_what_it_changes_and_goes_on(world: World) -> None:
    world.aws.refused = frozenset({"GET"})
    said: list[Event] = []
    cluster = world.cluster(said=said)
    change = ResourceChange("module.x.aws_instance.this", "aws_instance", ("update",), machine="worker-1")
    with world.aws.recording() as calls:
        command = cluster._command()
        command.stack._deadline_if_possible(Plan(Path("plan"), (change,), has_changes=True), command.fleet.look())
    assert schedules(calls) == [], "what is refused is not done"
    (warning,) = said
    assert "machines that start for the change of worker-1 run without a deadline" in str(warning)
    assert "scheduler:GetSchedule" in str(warning)


def test_machines_that_were_made_but_cannot_be_armed_are_stopped(aws: Aws, mirror: Path, tmp_path: Path) -> None:
    project = Project(tmp_path, name="refused", url=aws.url, mirror=mirror)
    world = World(aws, project, datetime.now(tz=timezone.utc), network_for(aws, "127.77.9.0/24"))
    aws.refused = frozenset({"POST"})
    try:
        with pytest.raises(AwsError, match="scheduler:CreateSchedule"):
            world.cluster().up()
        assert set(world.project.states().values()) == {"stopped"}
        assert len(world.project.states()) == 3
    finally:
        aws.refused = frozenset()
