"""Trainings on AWS's clock: their schedule in AWS, through the life of a cluster."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf import Cluster
from pio_tf.errors import ConfigError, NotReady
from pio_tf.model import SCHEDULED_TAG
from tests.cluster.support import Aws
from tests.support.background import wait_until
from tests.support.deployments import existing_network
from tests.support.no_machines import no_machines
from tests.support.places import Topic, let_events_publish, make_topic
from tests.support.provider_scripts import TERRAFORM
from tests.support.recording_aws import REGION
from tests.support.roles import client
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.events import Event

SUNDAYS = "cron(0 3 ? * SUN *)"
BLOCK = f'cron = "{SUNDAYS}"\ntimezone = "Europe/Berlin"'
PARTS = ("mark", "start", "stop")


@dataclass
class Clock:
    """The time of day of AWS and its clients."""

    now: datetime


@dataclass
class World:
    """A cluster of three machines that Terraform has created with a schedule block, and the time of day."""

    aws: Aws
    clock: Clock
    project: Project
    network: str
    topic: Topic
    said: list[str]

    def cluster(self, **blocks: str) -> Cluster:
        """Return a client of the cluster."""
        always = {"network": self.network, "schedule": " ", "notify": f'sns_topic = "{self.topic.arn}"'}
        path = self.project.write(**{**always, **blocks})
        environ = {"PATH": str(TERRAFORM.parent), "HOME": str(self.project.directory)}
        config = Cluster.load(path, environ=environ).config

        def report(event: Event) -> None:
            self.said.append(str(event))

        return Cluster(config, reporter=report, environ=environ, open_session=no_machines, now=lambda: self.clock.now)

    @property
    def schedules(self) -> dict[str, dict[str, Any]]:
        """The schedules of trainings that AWS has, by the end of their names."""
        scheduler = client("scheduler", self.aws.url, REGION)
        names = [
            one["Name"] for one in scheduler.list_schedules(NamePrefix=f"pio-tf-{self.project.name}.")["Schedules"]
        ]
        return {name.rpartition(".")[2]: scheduler.get_schedule(Name=name) for name in names if name.endswith(PARTS)}

    @property
    def expressions(self) -> dict[str, str]:
        return {name: found["ScheduleExpression"] for name, found in self.schedules.items()}

    @property
    def token(self) -> str:
        return str(json.loads(self.schedules["mark"]["Target"]["Input"])["Tags"][0]["Value"].split()[0])

    @property
    def marks(self) -> set[str]:
        """The values of the tag on the machines; an empty one for a machine without it."""
        found = ec2(self.aws.url).describe_instances()["Reservations"]
        tags = [
            {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])} for group in found for one in group["Instances"]
        ]
        return {one.get(SCHEDULED_TAG, "") for one in tags}

    def wait_for(self, state: str) -> bool:
        """Wait some seconds until all machines are in this state; return True if they are."""
        return wait_until(lambda: set(self.project.states().values()) == {state})

    def pass_to(self, moment: datetime) -> None:
        """Let time pass, and AWS fire what is due meanwhile."""
        self.aws.fire_schedules()
        while self.clock.now < moment:
            self.clock.now = min(moment, self.clock.now + timedelta(minutes=1))
            self.aws.fire_schedules()

    def next_time(self) -> datetime:
        """Jump to a minute before the next time of the schedule, and return that time."""
        schedule = self.cluster().schedule()
        assert schedule is not None
        self.clock.now = schedule.next[0] - timedelta(minutes=1)
        return schedule.next[0]


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(datetime.now(tz=timezone.utc))


@pytest.fixture(scope="module")
def aws(clock: Clock) -> Iterator[Aws]:
    with Aws(transition_seconds=0.1, now=lambda: clock.now) as running:
        yield running


@pytest.fixture(scope="module")
def created(aws: Aws, clock: Clock, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    project = Project(tmp_path_factory.mktemp("weekly"), name="weekly", url=aws.url, mirror=mirror)
    network = existing_network(aws.url, "127.77.0.0/24") + "first_host = 10"
    sns = client("sns", aws.url, REGION)
    topic = make_topic(sns, client("sqs", aws.url, REGION))
    let_events_publish(sns, topic)
    world = World(aws, clock, project, network, topic, [])
    world.cluster().up()
    return world


@pytest.fixture
def world(created: World) -> World:
    """Return the cluster, stopped, and without a schedule."""
    created.cluster().down()
    if created.schedules:
        created.cluster().remove_schedule()
    created.said.clear()
    return created


def set_sundays(world: World) -> None:
    world.cluster().set_schedule(SUNDAYS, timezone="Europe/Berlin", start=False)


def test_a_schedule_marks_starts_and_stops_the_machines(world: World) -> None:
    set_sundays(world)
    assert world.expressions == {
        "mark": SUNDAYS,
        "start": "cron(2 3 ? * SUN *)",
        "stop": "cron(2 11 ? * SUN *)",
    }
    found = world.schedules.values()
    assert {one["ScheduleExpressionTimezone"] for one in found} == {"Europe/Berlin"}
    assert {one["Target"]["Arn"].rpartition(":")[2] for one in found} == {
        "createTags",
        "startInstances",
        "stopInstances",
    }
    at = world.next_time()
    assert f"{at.astimezone():%M}" == "00"
    world.pass_to(at)
    assert world.marks == {f"{world.token} {at:%Y-%m-%dT%H:%M:%SZ}"}
    assert set(world.project.states().values()) == {"stopped"}, "the mark comes first"
    world.pass_to(at + timedelta(minutes=2))
    assert world.wait_for("running")
    schedule = world.cluster().schedule()
    assert schedule is not None
    assert (schedule.last, schedule.stops) == (at, at + timedelta(hours=8, minutes=2))
    world.pass_to(at + timedelta(hours=8, minutes=2))
    assert world.wait_for("stopped")
    assert not world.cluster().plan().has_changes, "the tag is no drift"
    assert world.cluster().drift() == ()


def test_aws_tells_of_a_scheduled_training_that_its_own_stop_has_ended(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.topic.texts()
    world.pass_to(at + timedelta(hours=8, minutes=2))
    (told,) = world.topic.texts()
    assert told.startswith('"pio-tf: weekly (us-east-1): the deadline stopped machines that were running: [i-')
    assert world.wait_for("stopped")
    world.pass_to(world.next_time() + timedelta(minutes=2))
    assert world.wait_for("running")
    world.cluster().up(duration=12 * 3600)
    world.pass_to(world.clock.now + timedelta(hours=9))
    assert world.topic.texts() == [], "the schedule may not stop machines that a client has taken over"


def test_aws_tells_of_machines_that_the_schedule_could_not_stop(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.topic.texts()
    world.pass_to(at + timedelta(minutes=5))
    assert world.wait_for("running")
    api, (driver, _) = ec2(world.aws.url), world.project.instances()["driver"]
    api.modify_instance_attribute(InstanceId=driver, DisableApiStop={"Value": True})
    try:
        world.pass_to(at + timedelta(hours=8, minutes=2))
    finally:
        api.modify_instance_attribute(InstanceId=driver, DisableApiStop={"Value": False})
    told = world.topic.texts()
    assert told
    assert all("could not stop machines" in text and "Client.OperationNotPermitted" in text for text in told)


def test_the_driver_may_read_the_mark(world: World) -> None:
    set_sundays(world)
    found = ec2(world.aws.url).describe_instances(Filters=[{"Name": "tag:pio-tf:role", "Values": ["driver"]}])
    (options,) = (one["MetadataOptions"] for group in found["Reservations"] for one in group["Instances"])
    assert options["InstanceMetadataTags"] == "enabled"
    assert options["HttpTokens"] == "required"


def test_a_client_that_starts_the_machines_takes_them_over(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.pass_to(at + timedelta(minutes=2))
    assert world.wait_for("running")
    world.clock.now = at + timedelta(hours=4)
    world.cluster().up(duration=12 * 3600)
    assert world.marks == {""}
    world.pass_to(at + timedelta(hours=9))
    assert set(world.project.states().values()) == {"running"}, "the deadline of the client holds"


def test_machines_that_run_while_the_schedule_fires_are_taken_over_by_an_extend(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.cluster().up(duration=4 * 3600)
    world.pass_to(at + timedelta(minutes=5))
    assert world.marks != {""}
    schedule = world.cluster().schedule()
    assert schedule is not None
    assert schedule.stops == at + timedelta(hours=8, minutes=2), "status says what will stop the machines"
    world.cluster().extend(20 * 3600)
    assert world.marks == {""}
    world.pass_to(at + timedelta(hours=9))
    assert set(world.project.states().values()) == {"running"}


@pytest.mark.parametrize("failsafe", ["", "role = false"])
def test_a_run_without_a_deadline_keeps_its_machines_while_the_schedule_fires(world: World, failsafe: str) -> None:
    set_sundays(world)
    at = world.next_time()
    world.cluster().up(deadline=False)
    world.pass_to(at - timedelta(seconds=30))
    watch = world.cluster(failsafe=failsafe)._command().deadline.watch()
    assert watch is not None
    world.pass_to(at + timedelta(minutes=1))
    assert world.marks != {""}
    asyncio.run(watch.look())
    assert world.marks == {""}
    world.pass_to(at + timedelta(hours=9))
    assert set(world.project.states().values()) == {"running"}


def test_a_client_that_attaches_to_a_scheduled_training_leaves_its_stop(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.pass_to(at + timedelta(minutes=5))
    watch = world.cluster()._command().deadline.watch()
    assert watch is not None
    asyncio.run(watch.look())
    world.pass_to(at + timedelta(hours=8, minutes=3))
    assert world.wait_for("stopped")


@pytest.mark.parametrize("before", [timedelta(minutes=10), timedelta(minutes=-1)])
def test_a_down_shortly_before_the_schedule_leaves_nothing_that_stops_the_training(
    world: World, before: timedelta
) -> None:
    """The second `down` ends after the mark and before the start."""
    set_sundays(world)
    at = world.next_time()
    world.clock.now = at - timedelta(minutes=30)
    world.cluster().up(duration=3600)
    world.pass_to(at - before)
    world.cluster().down()
    stop = at + timedelta(hours=8, minutes=2)
    assert world.cluster().deadline() == stop, "the schedule stops the machines then, too"
    world.pass_to(at + timedelta(hours=1))
    assert world.wait_for("running")
    world.cluster().down()
    assert world.cluster().deadline() == stop
    world.pass_to(at + timedelta(hours=2))
    world.cluster().up(duration=3600)
    assert world.cluster().deadline() == at + timedelta(hours=3), "no start relies on it"


def test_a_deadline_that_is_left_and_would_stop_a_scheduled_training_is_a_warning(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    for hours, warned in ((2, False), (4, True), (12, False)):
        world.clock.now = at - timedelta(hours=3)
        mine = world.cluster()
        mine.up(duration=hours * 3600)
        world.said.clear()
        mine._last.deadline.say_until()
        assert any("AWS also stops the scheduled training" in line for line in world.said) == warned, hours


def test_a_down_before_a_paused_schedule_releases_the_deadline_as_always(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.cluster().pause_schedule()
    world.clock.now = at - timedelta(minutes=10)
    world.cluster().up(duration=3600)
    world.cluster().down()
    assert world.cluster().deadline() == at + timedelta(minutes=5)


def test_a_second_schedule_replaces_the_first_and_keeps_what_the_driver_knows(world: World) -> None:
    set_sundays(world)
    token = world.token
    world.cluster().set_schedule("cron(30 22 ? * FRI *)", start=False)
    assert world.expressions == {
        "mark": "cron(30 22 ? * FRI *)",
        "start": "cron(32 22 ? * FRI *)",
        "stop": "cron(32 6 ? * SAT *)",
    }
    assert world.token == token
    assert any("replacing the schedule cron(0 3 ? * SUN *) (Europe/Berlin)" in line for line in world.said)


def test_machines_that_run_for_a_schedule_get_a_deadline_when_it_is_removed(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.pass_to(at + timedelta(minutes=2))
    assert world.wait_for("running")
    world.cluster().pause_schedule()
    assert world.marks != {""}, "a pause leaves the stop as it is"
    world.cluster().remove_schedule()
    assert world.schedules == {}
    assert world.marks == {""}
    world.pass_to(at + timedelta(hours=8, minutes=10))
    assert world.wait_for("stopped")


def test_a_paused_schedule_starts_nothing_and_stops_what_runs(world: World) -> None:
    set_sundays(world)
    at = world.next_time()
    world.cluster().pause_schedule()
    assert {name: one["State"] for name, one in world.schedules.items()} == {
        "mark": "DISABLED",
        "start": "DISABLED",
        "stop": "ENABLED",
    }
    schedule = world.cluster().schedule()
    assert schedule is not None
    assert (schedule.paused, schedule.next) == (True, ())
    world.pass_to(at + timedelta(minutes=5))
    assert set(world.project.states().values()) == {"stopped"}
    world.cluster().resume_schedule()
    assert {one["State"] for one in world.schedules.values()} == {"ENABLED"}


@pytest.mark.parametrize("doing", ["pause", "resume", "remove"])
def test_without_a_schedule_there_is_nothing_to_change(world: World, doing: str) -> None:
    with pytest.raises(NotReady, match="weekly has no schedule of trainings"):
        getattr(world.cluster(), f"{doing}_schedule")()
    assert world.cluster().schedule() is None


@pytest.mark.parametrize(
    ("cron", "zone", "why"),
    [
        (SUNDAYS, "Europe/Berln", "must be a time zone.*did you mean"),
        ("rate(7 days)", "UTC", "must name the time of day"),
        ("cron(0 22 L * ? *)", "UTC", "can't be moved by train.max_runtime"),
        ("cron(0 3 30 2 ? *)", "UTC", "never comes"),
    ],
)
def test_what_can_not_be_scheduled_is_refused_and_changes_nothing(world: World, cron: str, zone: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        world.cluster().set_schedule(cron, timezone=zone)
    assert world.schedules == {}


def test_without_the_block_there_is_no_role_and_the_error_says_how_to_get_one(world: World) -> None:
    with pytest.raises(ConfigError, match="no role may start the machines") as refused:
        world.cluster(schedule="").set_schedule(SUNDAYS)
    assert "add `schedule {}`" in refused.value.next_step


def test_set_starts_the_machines_teaches_the_driver_and_stops_them(world: World) -> None:
    world.cluster().set_schedule(SUNDAYS)
    assert any("Starting 3 of 3 machines" in line for line in world.said)
    assert set(world.project.states().values()) == {"stopped"}
    assert world.marks == {""}


def test_an_apply_leaves_a_schedule_of_the_command_and_removes_it_with_its_block(world: World) -> None:
    """The machines run for the schedule then, and get a deadline."""
    set_sundays(world)
    world.cluster(train='max_runtime = "2h"').apply()
    assert (world.expressions["mark"], world.expressions["stop"]) == (SUNDAYS, "cron(2 5 ? * SUN *)")
    world.cluster().set_schedule("cron(0 12 L * ? *)", start=False)
    world.cluster(train='max_runtime = "12h"').apply()
    assert world.expressions["stop"] == "cron(2 20 L * ? *)"
    assert any("the schedule of trainings stays as it was" in line for line in world.said)
    at = world.next_time()
    world.pass_to(at + timedelta(minutes=2))
    assert world.wait_for("running")
    world.cluster(schedule="").apply()
    assert world.schedules == {}
    assert world.marks == {""}
    world.pass_to(at + timedelta(hours=8, minutes=10))
    assert world.wait_for("stopped")


def test_apply_keeps_the_schedule_of_the_file_in_step(world: World) -> None:
    """The test before has removed the block, and its role with it."""
    world.cluster(schedule=BLOCK).apply()
    assert world.expressions["mark"] == SUNDAYS
    assert not world.cluster(schedule=BLOCK).plan().has_changes
    world.cluster(schedule=BLOCK).pause_schedule()
    token = world.token
    world.cluster(schedule=BLOCK.replace("0 3", "30 4"), train='max_runtime = "2h"').apply()
    assert world.expressions == {
        "mark": "cron(30 4 ? * SUN *)",
        "start": "cron(32 4 ? * SUN *)",
        "stop": "cron(32 6 ? * SUN *)",
    }
    assert world.schedules["mark"]["State"] == "DISABLED", "it stays paused"
    assert world.token == token
    in_file = r"pio-tf.hcl:\d+: the schedule is cron\(0 3"
    with pytest.raises(ConfigError, match=in_file):
        world.cluster(schedule=BLOCK).set_schedule(SUNDAYS)
    with pytest.raises(ConfigError, match=in_file):
        world.cluster(schedule=BLOCK).remove_schedule()
    world.cluster().apply()
    assert world.schedules == {}, "the file no longer names a time"


def test_destroy_removes_the_schedule_also_if_its_block_and_the_role_for_deadlines_have_gone_from_the_file(
    world: World,
) -> None:
    set_sundays(world)
    world.cluster(schedule="", failsafe="role = false").destroy()
    assert world.schedules == {}
