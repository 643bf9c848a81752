"""Machines that are not ready, looked at from outside: status checks and consoles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from pio_tf.errors import AwsError, NotReady
from pio_tf.machines.health import CONSOLE_LINES, CONSOLES, examine
from pio_tf.machines.inventory import find_machines
from pio_tf.training.readiness import diagnose
from tests.machines.fake_ec2 import FakeEc2, client_error, cluster_of
from tests.support.instance_statuses import Statuses
from tests.support.instances import make_cluster

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from pio_tf.sandbox.aws import LocalAws


MACHINES = FakeEc2(cluster_of(2, "running")).machines()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("running", "impaired", "impaired"), "AWS's host below it is impaired"),
        (("running", "ok", "impaired"), "its operating system does not answer"),
        (("running", "ok", "initializing"), "it is still booting"),
        (("stopped", "not-applicable", "not-applicable"), "is stopped: it was stopped after its start"),
        (("running", "insufficient-data", "ok"), "AWS does not know its status (insufficient-data, ok)"),
    ],
)
def test_each_machine_has_a_line_that_says_what_is_wrong(words: tuple[str, str, str], says: str) -> None:
    (health,) = [one for one in examine(Statuses(i_0002=words).client, MACHINES, suspects=()) if not one.is_well]
    assert health.diagnosis.startswith("worker-1 (i-0002)")
    assert says in health.diagnosis


def test_a_machine_that_the_answer_leaves_out_is_not_taken_for_well() -> None:
    ec2 = Statuses()
    ec2.unknown.add("i-0003")
    (health,) = [one for one in examine(ec2.client, MACHINES, suspects=()) if not one.is_well]
    assert health.machine.name == "worker-2"


def test_an_error_gets_the_line_and_the_end_of_the_console_without_its_colours() -> None:
    ec2 = Statuses(i_0002=("running", "ok", "impaired"))
    lines = [f"[   {n}.0] line {n}" for n in range(30)] + ["\x1b[31mKernel panic\x1b[0m - not syncing\x07", ""]
    ec2.consoles["i-0002"] = "\r\n".join(lines)
    error = NotReady("cannot reach worker-1", cause="no answer", details={"machine": "worker-1"})
    diagnose(error, ec2.client, MACHINES)
    first, line, head, *end = error.cause.splitlines()
    assert first == "no answer"
    assert "its operating system does not answer" in line
    assert head.strip() == "the end of worker-1's console:"
    assert len(end) == CONSOLE_LINES
    assert end[-1].strip() == "Kernel panic - not syncing"
    (told,) = cast("list[dict[str, Any]]", error.details["diagnosis"])
    assert (told["machine"], told["instance_status"]) == ("worker-1", "impaired")


def test_workers_without_their_spark_are_looked_at_though_aws_finds_them_well() -> None:
    ec2 = Statuses()
    ec2.consoles["i-0003"] = "pio-tf-bootstrap: no space left on device"
    error = NotReady("Spark's master lacks 1 of its workers: worker-2", details={"missing": ["worker-2"]})
    diagnose(error, ec2.client, MACHINES)
    assert "worker-2 (i-0003) runs and passes AWS's status checks" in error.cause
    assert "no space left on device" in error.cause
    assert ec2.read == ["i-0003"]


def test_of_many_machines_only_some_consoles_are_shown() -> None:
    machines = FakeEc2(cluster_of(48, "running")).machines()
    ec2 = Statuses()
    error = NotReady("many", details={"missing": [machine.name for machine in machines]})
    diagnose(error, ec2.client, machines)
    assert len(set(ec2.read)) == CONSOLES
    assert "could not read its console" in error.cause
    assert sum("passes AWS's status checks" in line for line in error.cause.splitlines()) == 50


def test_an_aws_that_does_not_say_leaves_the_error_as_it_is() -> None:
    ec2 = Statuses()
    ec2.fault = client_error("UnauthorizedOperation", operation="DescribeInstanceStatus")
    error = NotReady("cannot reach worker-1", cause="no answer", details={"machine": "worker-1"})
    diagnose(error, ec2.client, MACHINES)
    assert error.cause.startswith("no answer\n")
    assert "ec2:DescribeInstanceStatus" in error.cause
    with pytest.raises(AwsError, match="ec2:DescribeInstanceStatus"):
        examine(ec2.client, MACHINES, suspects=())


def test_the_local_aws_answers_for_all_machines_whatever_their_power(ec2: EC2Client, local_aws: LocalAws) -> None:
    outputs = make_cluster(ec2, "health", workers=1)
    ec2.get_waiter("instance_running").wait(
        InstanceIds=[one.instance_id for one in outputs.machines], WaiterConfig={"Delay": 1}
    )
    ec2.stop_instances(InstanceIds=[outputs.workers[0].instance_id])
    machines = find_machines(ec2, cluster="health", outputs=outputs)
    looked = {one.machine.name: one for one in examine(ec2, machines, suspects=())}
    assert sorted(looked) == ["driver", "master", "worker-1"]
    assert looked["driver"].is_well
    assert not looked["worker-1"].is_well
