"""The machines of a cluster, and the errors if EC2 differs from the outputs."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pio_tf.errors import AwsError, ConfigError
from pio_tf.machines.inventory import find_machines, find_untagged, machine_from
from pio_tf.machines.power import start_machines, stop_machines
from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, MachineOutput, Outputs
from tests.machines.fake_ec2 import FakeEc2, cluster_of
from tests.support.instances import make_cluster, run_machine

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from pio_tf.sandbox.aws import LocalAws


def outputs_of(ec2: FakeEc2) -> Outputs:
    machines = (MachineOutput(m.name, m.role, m.instance_id, m.private_ip) for m in ec2.machines())
    return Outputs(cluster="rec", region="eu-west-1", machines=tuple(machines))


def test_machines_come_in_order_with_what_ec2_says(ec2: EC2Client, local_aws: LocalAws) -> None:
    outputs = make_cluster(ec2, "order", workers=11)
    before = local_aws.calls["ec2", "DescribeInstances"]
    machines = find_machines(ec2, cluster="order", outputs=outputs)
    assert [m.name for m in machines] == ["driver", "master", *(f"worker-{n}" for n in range(1, 12))]
    assert [m.role for m in machines[:3]] == ["driver", "master", "worker"]
    assert {m.instance_type for m in machines} == {"r3.xlarge"}
    assert {m.instance_id: m.private_ip for m in machines} == {m.instance_id: m.private_ip for m in outputs.machines}
    assert all(m.in_outputs for m in machines)
    assert local_aws.calls["ec2", "DescribeInstances"] == before + 1


def test_power_of_a_real_cluster_from_pending_to_stopped_to_running(ec2: EC2Client) -> None:
    outputs = make_cluster(ec2, "round", workers=2)
    made = find_machines(ec2, cluster="round", outputs=outputs)
    stopped = stop_machines(ec2, made, timeout=30)  # pending for the first time: IncorrectInstanceState at first
    assert {m.state for m in stopped} == {"stopped"}
    now = datetime.now(timezone.utc)
    assert all(m.since and now - m.since < timedelta(minutes=1) for m in stopped)
    stopping = start_machines(ec2, stopped[:1], timeout=30)
    ec2.stop_instances(InstanceIds=[stopping[0].instance_id])
    mixture = find_machines(ec2, cluster="round", outputs=outputs)
    assert [m.state for m in mixture] == ["stopping", "stopped", "stopped", "stopped"]
    running = start_machines(ec2, mixture, timeout=30)
    assert {m.state for m in running} == {"running"}
    again = find_machines(ec2, cluster="round", outputs=outputs)
    assert again == running
    assert [m.private_ip for m in again] == [m.private_ip for m in made]


def test_fifty_machines_are_found_and_stopped_in_no_more_calls_than_by_the_shortest_script(
    ec2: EC2Client, local_aws: LocalAws
) -> None:
    outputs = make_cluster(ec2, "fifty", workers=48)
    start_machines(ec2, find_machines(ec2, cluster="fifty", outputs=outputs), timeout=30)
    local_aws.calls.clear()
    stop_machines(ec2, find_machines(ec2, cluster="fifty", outputs=outputs), timeout=30)
    assert local_aws.calls["ec2", "StopInstances"] == 1
    assert 3 <= local_aws.calls["ec2", "DescribeInstances"] <= 4  # the inventory; a poll at once; one after 0.5 s
    assert sum(local_aws.calls.values()) == 1 + local_aws.calls["ec2", "DescribeInstances"]


def test_machines_of_others_are_never_found_nor_switched(ec2: EC2Client) -> None:
    mine = make_cluster(ec2, "mine", workers=1)
    other = make_cluster(ec2, "mine-2", workers=1)
    untagged = run_machine(ec2, cluster=None, tags={MACHINE_TAG: "driver", ROLE_TAG: "driver"})
    seen: list[str] = []
    ec2.meta.events.register(
        "before-parameter-build.ec2.*", lambda params, **_: seen.extend(params.get("InstanceIds", []))
    )
    machines = start_machines(ec2, find_machines(ec2, cluster="mine", outputs=mine), timeout=30)
    stop_machines(ec2, machines, timeout=30)
    assert set(seen) == {m.instance_id for m in mine.machines}
    ids = [m.instance_id for m in other.machines] + [untagged["InstanceId"]]
    states = ec2.describe_instances(InstanceIds=ids)["Reservations"]
    assert {i["State"]["Name"] for group in states for i in group["Instances"]} == {"running"}


def test_what_the_filter_lets_through_is_checked_again() -> None:
    ec2 = FakeEc2(cluster_of(1), ignores_filters=True)
    ec2.instances["i-0002"].cluster = "other"
    machines = find_machines(ec2.client, cluster="rec", outputs=None)
    assert [m.instance_id for m in machines] == ["i-0000", "i-0001"]


def test_a_machine_that_is_not_in_the_outputs_is_marked(ec2: EC2Client) -> None:
    outputs = make_cluster(ec2, "half", workers=2)
    known = replace(outputs, machines=outputs.machines[:3])
    machines = find_machines(ec2, cluster="half", outputs=known)
    assert [(m.name, m.in_outputs) for m in machines] == [
        ("driver", True),
        ("master", True),
        ("worker-1", True),
        ("worker-2", False),
    ]
    assert all(not m.in_outputs for m in find_machines(ec2, cluster="half", outputs=None))


def test_missing_role_and_machine_tags_are_no_traceback(ec2: EC2Client) -> None:
    bare = run_machine(ec2, cluster="bare", tags={})
    named = run_machine(ec2, cluster="bare", tags={"Name": "by-hand"})
    odd = run_machine(ec2, cluster="bare", tags={MACHINE_TAG: "master", ROLE_TAG: "boss"})
    found = {m.instance_id: (m.name, m.role) for m in find_machines(ec2, cluster="bare", outputs=None)}
    assert found == {
        bare["InstanceId"]: (bare["InstanceId"], "worker"),
        named["InstanceId"]: ("by-hand", "worker"),
        odd["InstanceId"]: ("master", "master"),
    }
    outputs = Outputs(
        "bare", "eu-west-1", (MachineOutput("driver", "driver", bare["InstanceId"], bare["PrivateIpAddress"]),)
    )
    driver = find_machines(ec2, cluster="bare", outputs=outputs)[0]
    assert (driver.name, driver.role, driver.instance_id) == ("driver", "driver", bare["InstanceId"])


def test_a_leftover_with_the_name_of_another_machine_goes_by_its_id(ec2: EC2Client) -> None:
    outputs = make_cluster(ec2, "twins", workers=1)
    twin = run_machine(ec2, cluster="twins", tags={MACHINE_TAG: "worker-1", ROLE_TAG: "worker"})
    names = {m.instance_id: m.name for m in find_machines(ec2, cluster="twins", outputs=outputs)}
    assert names[twin["InstanceId"]] == twin["InstanceId"]
    assert names[outputs.workers[0].instance_id] == "worker-1"


def test_a_machine_that_has_lost_the_tag_is_told_apart_from_one_that_is_gone(
    ec2: EC2Client, local_aws: LocalAws
) -> None:
    outputs = make_cluster(ec2, "lost", workers=2)
    found = find_machines(ec2, cluster="lost", outputs=outputs)
    before = local_aws.calls["ec2", "DescribeInstances"]
    assert find_untagged(ec2, cluster="lost", outputs=outputs, found=found) == []
    assert local_aws.calls["ec2", "DescribeInstances"] == before
    ec2.delete_tags(Resources=[outputs.workers[0].instance_id], Tags=[{"Key": CLUSTER_TAG}])
    ec2.terminate_instances(InstanceIds=[outputs.workers[1].instance_id])
    found = [machine for machine in find_machines(ec2, cluster="lost", outputs=None) if machine.role != "worker"]
    untagged = find_untagged(ec2, cluster="lost", outputs=outputs, found=found)
    assert [machine.name for machine in untagged] == ["worker-1"]


def test_machines_gone_or_without_the_tag_are_named_all_at_once_with_the_reason(ec2: EC2Client) -> None:
    outputs = make_cluster(ec2, "gone", workers=2)
    driver, master, worker, other = (m.instance_id for m in outputs.machines)
    ec2.terminate_instances(InstanceIds=[driver])
    ec2.delete_tags(Resources=[master], Tags=[{"Key": CLUSTER_TAG}])
    unknown = dataclasses.replace(outputs.machines[2], instance_id="i-00000000000000bad")
    machines = (*outputs.machines[:2], unknown, outputs.machines[3])
    with pytest.raises(AwsError) as caught:
        find_machines(ec2, cluster="gone", outputs=replace(outputs, machines=machines))
    lines = sorted(caught.value.what.splitlines())
    assert lines == [
        f"driver ({driver}) was terminated, and not by pio-tf",
        f"master ({master}) does not carry the tag pio-tf:cluster=gone, so pio-tf does not touch it",
        "worker-1 (i-00000000000000bad) does not exist in eu-west-1 for these credentials",
    ]
    for advice in ("pio-tf plan", "pio-tf apply", "aws.profile"):
        assert advice in caught.value.next_step
    left = find_machines(ec2, cluster="gone", outputs=outputs, strict=False)
    assert {worker, other} <= {m.instance_id for m in left}
    assert master not in {m.instance_id for m in left}


def test_a_machine_of_another_cluster_is_named_with_it_and_apply_is_not_said_to_mend_that(ec2: EC2Client) -> None:
    outputs = make_cluster(ec2, "mixed", workers=1)
    theirs = run_machine(ec2, cluster="theirs", tags={MACHINE_TAG: "worker-1", ROLE_TAG: "worker"})
    ec2.terminate_instances(InstanceIds=[outputs.workers[0].instance_id])
    strange = dataclasses.replace(
        outputs.workers[0], instance_id=theirs["InstanceId"], private_ip=theirs["PrivateIpAddress"]
    )
    outputs = replace(outputs, machines=(*outputs.machines[:2], strange))
    with pytest.raises(AwsError) as caught:
        find_machines(ec2, cluster="mixed", outputs=outputs)
    assert f"worker-1 ({theirs['InstanceId']}) is tagged for theirs, not for mixed" in caught.value.what
    assert "restore the right state" in caught.value.next_step
    assert "apply" not in caught.value.next_step


def test_a_machine_that_appears_late_is_no_error() -> None:
    ec2 = FakeEc2(cluster_of(2, "running"))
    ec2.instances["i-0003"].not_indexed = True
    machines = find_machines(ec2.client, cluster="rec", outputs=outputs_of(ec2))
    assert [m.name for m in machines] == ["driver", "master", "worker-1", "worker-2"]
    assert ec2.counts["describe"] == 2


def test_another_private_address_than_in_the_outputs_is_an_error_that_names_both(ec2: EC2Client) -> None:
    outputs = make_cluster(ec2, "moved", workers=1)
    wrong = dataclasses.replace(outputs.machines[0], private_ip="10.9.9.9")
    with pytest.raises(AwsError) as caught:
        find_machines(ec2, cluster="moved", outputs=replace(outputs, machines=(wrong, *outputs.machines[1:])))
    assert outputs.machines[0].private_ip in caught.value.what
    assert "10.9.9.9" in caught.value.what


def test_a_spot_machine_is_refused() -> None:
    ec2 = FakeEc2(cluster_of(1))
    ec2.instances["i-0002"].spot = True
    with pytest.raises(AwsError, match=r"worker-1 \(i-0002\) is a Spot instance, which can't be stopped") as caught:
        find_machines(ec2.client, cluster="rec", outputs=outputs_of(ec2))
    assert "on-demand" in caught.value.next_step
    shown = find_machines(ec2.client, cluster="rec", outputs=outputs_of(ec2), strict=False)
    assert [(machine.name, machine.spot) for machine in shown] == [
        ("driver", False),
        ("master", False),
        ("worker-1", True),
    ]


def test_outputs_of_another_region_are_told_apart_before_anything_is_called() -> None:
    ec2 = FakeEc2(cluster_of(1))
    outputs = replace(outputs_of(ec2), region="us-east-1")
    with pytest.raises(ConfigError, match=r"aws\.region is eu-west-1, but rec was created in us-east-1"):
        find_machines(ec2.client, cluster="rec", outputs=outputs)
    assert ec2.calls == []


def test_five_hundred_machines_come_in_one_page_and_more_in_several() -> None:
    ec2 = FakeEc2(cluster_of(500, "running"))
    assert len(find_machines(ec2.client, cluster="rec", outputs=None)) == 502
    assert ec2.counts["describe"] == 1
    ec2 = FakeEc2(cluster_of(1500, "running"))
    assert len(find_machines(ec2.client, cluster="rec", outputs=None)) == 1502


@pytest.mark.parametrize(
    ("reason", "since"),
    [
        ("User initiated (2026-01-12 19:00:00 GMT)", datetime(2026, 1, 12, 19, 0, tzinfo=timezone.utc)),
        ("User initiated (2026-01-12 19:00:00 UTC)", datetime(2026, 1, 12, 19, 0, tzinfo=timezone.utc)),
        ("User initiated", None),
        ("", None),
    ],
)
def test_since_of_a_stopped_machine_is_in_its_transition_reason(reason: str, since: datetime | None) -> None:
    machine = machine_from(
        {
            "InstanceId": "i-1",
            "InstanceType": "r3.xlarge",
            "State": {"Name": "stopped", "Code": 80},
            "StateTransitionReason": reason,
            "LaunchTime": datetime(2025, 1, 1, tzinfo=timezone.utc),
        }
    )
    assert machine.since == since
