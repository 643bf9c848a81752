"""`pio-tf down --if-idle`: the signs of use, and machines with a driver that does not answer."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from pio_tf.model import Machine
from pio_tf.training.idle import find_runs, find_starts
from pio_tf.training.runs.driver_runs import DriverRun, DriverState, LockHolder, RunEnd
from pio_tf.training.runs.record import Client, RunRecord
from tests.support.instances import make_cluster
from tests.support.shell import ec2

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from pio_tf.model import Outputs, PowerState, Role
    from pio_tf.sandbox.aws import LocalAws
    from tests.support.shell import Project

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=timezone.utc)
RUN = "20261123T020000Z-3f9c"
ANN = Client("ann", "laptop", 17, "2026-11-23T02:00:00Z")


def machine(role: Role, *, minutes: float, state: PowerState = "running") -> Machine:
    since = NOW - timedelta(minutes=minutes)
    return Machine(role, role, f"i-{role}", "r5.xlarge", state, "10.0.0.1", None, since)


def starts(*machines: Machine) -> str:
    return find_starts(machines, grace=1800, now=NOW.timestamp())


def runs(*, holder: LockHolder | None = None, ended: float | None = None) -> str:
    """Return the driver's answer about runs; ``ended``: minutes since the end of the only one."""
    ending = None if ended is None else RunEnd(0, NOW.timestamp() - 60 * ended, log_whole=True, free_bytes=1)
    record = RunRecord(id=RUN, cluster="ur", client=ANN, command="pio train", engine_dir="/engine")
    state = DriverState((DriverRun(RUN, record, alive=False, ending=ending),), holder)
    return find_runs(state, grace=1800, now=NOW.timestamp())


def test_machines_that_have_run_for_long_are_idle() -> None:
    assert starts(machine("driver", minutes=31), machine("master", minutes=45)) == ""


def test_the_machine_that_was_started_last_counts() -> None:
    said = starts(machine("driver", minutes=31), machine("master", minutes=12))
    assert said == "started 12 min ago, which is less than 30 min"


def test_machines_that_are_being_started_are_left_alone_whatever_their_time() -> None:
    booting = machine("master", minutes=99, state="pending")
    assert find_starts([booting], grace=0, now=NOW.timestamp()) == "master: starting"


@pytest.mark.parametrize(("doing", "said"), [("running", "is active"), ("preparing", "is being prepared")])
def test_a_run_is_named_with_whose_it_is(doing: str, said: str) -> None:
    assert runs(holder=LockHolder(doing, str(ANN), RUN)) == f"run {RUN} {said}, {ANN}"


def test_machines_that_somebody_else_is_stopping_are_left_to_them() -> None:
    assert runs(holder=LockHolder("stopping", str(ANN))) == f"already being stopped by {ANN}"
    saving = runs(holder=LockHolder("engine", str(ANN)))
    assert saving == f"the engine on the driver is being changed or saved by {ANN}"


def test_machines_that_a_client_waits_for_are_left_to_it() -> None:
    said = find_runs(DriverState((), None, is_awaited=True), grace=0, now=NOW.timestamp())
    assert said == "a client waits for machines that prepare themselves"


def test_a_run_that_has_just_ended_may_be_looked_at_still() -> None:
    assert runs(ended=5) == f"run {RUN} ended 5 min ago, which is less than 30 min"
    assert runs(ended=31) == ""
    assert runs() == "", "a run without an end, of a driver that was restarted"


def wait_until_they_run(client: EC2Client, made: Outputs) -> None:
    ids = [one.instance_id for one in made.machines]
    client.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})


def test_a_cluster_that_was_just_started_is_left_alone(project: Project, aws: LocalAws) -> None:
    project.name = "young"
    project.write()
    make_cluster(ec2(aws.url), "young", workers=1)
    done = project.run("down", "--if-idle")
    assert "nothing was stopped: " in done.stderr
    assert set(project.states().values()) <= {"pending", "running"}
    assert "worker-1" in done.stdout


def test_a_driver_that_cannot_be_asked_is_not_stopped_and_the_exit_code_says_so(
    project: Project, aws: LocalAws
) -> None:
    project.name = "silent"
    project.write(ssh='key = "id"\nport = 1')
    client = ec2(aws.url)
    made = make_cluster(client, "silent", workers=1)
    wait_until_they_run(client, made)
    said = project.fails("down", "--if-idle", "--idle-for", "0", exit_code=7)
    assert "the driver does not answer" in said
    assert set(project.states().values()) == {"running"}


def test_machines_without_a_driver_that_runs_are_stopped(project: Project, aws: LocalAws) -> None:
    project.name = "headless"
    project.write()
    client = ec2(aws.url)
    made = make_cluster(client, "headless", workers=1)
    wait_until_they_run(client, made)
    client.stop_instances(InstanceIds=[made.driver.instance_id])
    project.run("down", "--if-idle", "--idle-for", "0")
    assert set(project.states().values()) == {"stopped"}
    assert "2 machines" not in project.run("down", "--if-idle").stderr, "there is nothing left to do"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--if-idle", "--force"], "contradict"),
        (["--idle-for", "30m"], "goes with --if-idle"),
        (["--if-idle", "--idle-for", "soon"], "'soon' is not a duration"),
    ],
)
def test_options_that_make_no_sense_are_refused(project: Project, arguments: list[str], said: str) -> None:
    assert said in project.fails("down", *arguments, exit_code=2)
