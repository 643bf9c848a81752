"""Instances that exist already, as machines of a cluster: those that pio-tf can't work with, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from moto.ec2.models import ec2_backends

from pio_tf.errors import AwsError, ConfigError
from pio_tf.machines.existing import (
    Choice,
    choose_by_tag,
    find_existing,
    find_remarks,
    list_instances,
    refuse_taken_name,
)
from pio_tf.machines.inventory import find_named_machines
from tests.machines.conftest import REGION
from tests.support.instances import UBUNTU
from tests.support.recording_aws import ACCOUNT
from tests.support.shell import service_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.machines.existing import ExistingMachine
    from pio_tf.sandbox.aws import LocalAws

OTHER_REGION = "us-east-1"


def run(ec2: Any, name: str = "", **more: Any) -> str:  # noqa: ANN401 - RunInstances takes many
    """Run an instance in the one zone of a test, and return its id."""
    tags = [{"Key": "Name", "Value": name}, *more.pop("Tags", [])] if name or "Tags" in more else []
    arguments = {
        "ImageId": UBUNTU,
        "InstanceType": "r3.xlarge",
        "MinCount": 1,
        "MaxCount": 1,
        "Placement": {"AvailabilityZone": f"{ec2.meta.region_name}a"},
        **more,
    }
    if tags:
        arguments["TagSpecifications"] = [{"ResourceType": "instance", "Tags": tags}]
    return str(ec2.run_instances(**arguments)["Instances"][0]["InstanceId"])


@pytest.fixture
def look(ec2: EC2Client, local_aws: LocalAws) -> Callable[..., tuple[ExistingMachine, ...]]:
    """Return a function that looks at machines: those that a test names, and good ones for the other roles."""

    def find(**ids: str) -> tuple[ExistingMachine, ...]:
        every = {
            "driver": "",
            "master": "",
            "worker-1": "",
            **{name.replace("_", "-"): one for name, one in ids.items()},
        }
        chosen = {name: one or run(ec2) for name, one in every.items()}
        return find_existing(ec2, chosen, account=ACCOUNT, in_region=in_region)

    def in_region(region: str) -> Any:  # noqa: ANN401 - boto3 makes it
        if region != OTHER_REGION:
            raise AwsError("not allowed there")  # moto takes seconds to make a region
        return service_client(local_aws.url, "ec2", region=region)

    return find


def model_of(instance_id: str) -> Any:  # noqa: ANN401 - moto's
    """Return moto's instance, for what RunInstances can't ask moto for."""
    return ec2_backends[ACCOUNT][REGION].get_instance(instance_id)


def test_good_machines_come_with_what_ec2_says(look: Callable[..., Any], ec2: EC2Client) -> None:
    driver, _, worker = look(driver=run(ec2, "spark-driver"))
    assert (driver.name, driver.role, driver.label, driver.instance_type) == (
        "driver",
        "driver",
        "spark-driver",
        "r3.xlarge",
    )
    assert (worker.name, worker.role, worker.zone) == ("worker-1", "worker", f"{REGION}a")
    assert driver.vpc == worker.vpc


def test_every_machine_that_does_not_fit_is_named_with_its_reason(look: Callable[..., Any], ec2: EC2Client) -> None:
    spot = run(ec2, InstanceMarketOptions={"MarketType": "spot"})
    foreign = run(ec2, Tags=[{"Key": "pio-tf:cluster", "Value": "night"}])
    scaled = run(ec2, Tags=[{"Key": "aws:autoscaling:groupName", "Value": "web"}])
    arm, store, gone = run(ec2), run(ec2), run(ec2)
    model_of(arm).architecture = "arm64"
    model_of(store).root_device_type = "instance-store"
    ec2.terminate_instances(InstanceIds=[gone])
    with pytest.raises(ConfigError) as caught:
        look(driver=spot, master=foreign, worker_1=arm, worker_2=store, worker_3=gone, worker_4=scaled)
    *problems, last = str(caught.value.what).split("\n")
    assert [problem.partition(")")[2].partition(":")[0].strip() for problem in (*problems, last)] == [
        "is a Spot instance, which can't be stopped and started again",
        "is a machine of the cluster night, which has a pio-tf.hcl of its own",
        "is arm64, and not x86_64",
        "has its root disk in the instance store",
        "is shutting-down" if "shutting-down" in str(caught.value) else "is terminated",
        "is in the Auto Scaling group web, which replaces machines that are stopped",
    ]
    assert problems[0].startswith(f"driver ({spot}) ")


def test_an_instance_of_another_region_is_found_there(look: Callable[..., Any], local_aws: LocalAws) -> None:
    away = run(service_client(local_aws.url, "ec2", region=OTHER_REGION))
    with pytest.raises(ConfigError, match=f"is in {OTHER_REGION}, not in {REGION}: give --region"):
        look(driver=away)


def test_an_instance_of_another_account_does_not_exist_in_this_one(look: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=rf"driver \(i-0123\) does not exist in account {ACCOUNT}"):
        look(driver="i-0123")


def test_machines_in_two_networks_are_refused(look: Callable[..., Any], ec2: EC2Client) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    elsewhere = run(ec2, SubnetId=subnet)
    with pytest.raises(ConfigError, match="the machines are in 2 networks") as caught:
        look(worker_1=elsewhere)
    assert f"{vpc}: worker-1" in caught.value.what


def test_a_machine_that_aws_may_not_stop_is_refused_with_the_command_that_changes_it(
    look: Callable[..., Any], ec2: EC2Client
) -> None:
    protected = run(ec2, DisableApiStop=True)
    with pytest.raises(ConfigError, match=r"driver \(i-\w+\) is protected against stops") as caught:
        look(driver=protected)
    assert f"--instance-id {protected} --no-disable-api-stop" in caught.value.what


def test_zones_and_what_a_shutdown_does_are_remarked(look: Callable[..., Any], ec2: EC2Client) -> None:
    mortal = run(ec2, InstanceInitiatedShutdownBehavior="terminate", Placement={"AvailabilityZone": f"{REGION}b"})
    zones, terminates = find_remarks(ec2, look(master=mortal))
    assert zones.startswith(f"the machines are in {REGION}a, {REGION}b")
    assert terminates.startswith("AWS terminates master if it is shut down from inside")


def test_roles_come_from_names_and_from_what_the_user_names(ec2: EC2Client) -> None:
    made = {name: run(ec2, f"team-{name}") for name in ("Driver", "master", "w-10", "w-2")}
    found = choose_by_tag(ec2, "Name=team-*", Choice())
    ids = {"driver": made["Driver"], "master": made["master"], "worker-1": made["w-2"], "worker-2": made["w-10"]}
    assert found.by_name() == ids
    named = choose_by_tag(ec2, "Name=team-*", Choice(driver=(made["w-2"],)))
    assert named.by_name()["driver"] == made["w-2"]
    assert set(named.workers) == {made["w-10"], made["Driver"]}
    assert [line.split()[-1] for line in list_instances(ec2) if "team-" in line] == [
        "team-Driver",
        "team-master",
        "team-w-2",
        "team-w-10",
    ]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(("i-1", "i-2"), ("i-3",), ("i-4",)), "2 drivers: i-1, i-2"),
        (Choice(("i-1",), ("i-2",), ("i-3", "i-1")), "i-1 is named as driver and as worker-2"),
        (Choice(("i-1",), (), ()), "no instance is named as master, worker"),
    ],
)
def test_a_choice_must_have_one_machine_for_each_role(choice: Choice, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        choice.by_name()
    assert caught.value.next_step


def test_the_name_of_a_cluster_that_exists_is_refused(ec2: EC2Client) -> None:
    one = run(ec2, Tags=[{"Key": "pio-tf:cluster", "Value": "taken"}])
    refuse_taken_name(ec2, "free")
    with pytest.raises(ConfigError, match="there is a cluster taken in eu-west-1 already") as caught:
        refuse_taken_name(ec2, "taken")
    assert caught.value.cause == f"{one} carries the tag pio-tf:cluster=taken"


@pytest.mark.parametrize(("tag", "message"), [("spark", "is not KEY=VALUE"), ("Name=nothing-*", "no instance in")])
def test_a_tag_that_names_nothing_is_refused(ec2: EC2Client, tag: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_by_tag(ec2, tag, Choice())


def test_named_machines_are_found_by_their_ids_without_any_tag(ec2: EC2Client) -> None:
    ids = {"driver": run(ec2), "master": run(ec2), "worker-1": run(ec2)}
    found = find_named_machines(ec2, ids, cluster="rec")
    assert {one.name: one.instance_id for one in found} == ids
    assert [one.role for one in found] == ["driver", "master", "worker"]
    assert all(one.in_outputs and one.private_ip for one in found)


def test_named_machines_that_pio_tf_must_not_touch_are_errors_and_left_out_of_a_stop(ec2: EC2Client) -> None:
    foreign, gone, fine = run(ec2, Tags=[{"Key": "pio-tf:cluster", "Value": "night"}]), run(ec2), run(ec2)
    spot = run(ec2, InstanceMarketOptions={"MarketType": "spot"})
    ec2.terminate_instances(InstanceIds=[gone])
    ids = {"driver": foreign, "master": gone, "worker-1": fine, "worker-2": "i-0123", "worker-3": spot}
    with pytest.raises(AwsError) as caught:
        find_named_machines(ec2, ids, cluster="rec")
    first, second, third, fourth = caught.value.what.split("\n")
    assert first == f"driver ({foreign}) is tagged for night, not for rec, so pio-tf does not touch it"
    assert second == f"master ({gone}) was terminated"
    assert third.startswith("worker-2 (i-0123) does not exist")
    assert fourth.startswith(f"worker-3 ({spot}) is a Spot instance")
    left = {one.instance_id for one in find_named_machines(ec2, ids, cluster="rec", strict=False)}
    assert left - {gone} == {fine, spot}
