"""The local AWS behaves as AWS where moto alone does not."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from pio_tf.errors import SandboxError
from pio_tf.machines.inventory import machine_from
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.readiness import PoweredOff, while_powered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import InstanceTypeType
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

SESSION = boto3.Session(region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
PUBLIC_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfEOLcYX2cc7zN9CNPy4zXHy4E9gBHV3UEDuOOD4uE test"


class Clock:
    """Stands still until told: no transition passes while a test is slow."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def settle(self) -> None:
        """Wait until every transition is over."""
        self.now += 1.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def console() -> dict[str, str]:
    """Return the console output of machines, by their id."""
    return {}


@pytest.fixture
def aws(clock: Clock, console: dict[str, str]) -> Iterator[LocalAws]:
    with LocalAws(transition_seconds=1.0, clock=clock, console=lambda one: console.get(one, "")) as running:
        yield running


@pytest.fixture
def ec2(aws: LocalAws) -> Iterator[EC2Client]:
    client = connect(aws)
    yield client
    client.close()


def connect(aws: LocalAws) -> EC2Client:
    return boto3.client(
        "ec2",
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )


class Network:
    """A subnet on loopback, an image and a security group."""

    def __init__(self, ec2: EC2Client) -> None:
        vpc = ec2.create_vpc(CidrBlock="127.77.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.77.0.0/22")["Subnet"]["SubnetId"]
        self.group = ec2.create_security_group(GroupName="machines", Description="machines", VpcId=vpc)["GroupId"]
        images = ec2.describe_images(
            Owners=["099720109477"],
            Filters=[{"Name": "name", "Values": ["ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-*"]}],
        )["Images"]
        self.image = images[0]["ImageId"]


@pytest.fixture
def network(ec2: EC2Client) -> Network:
    return Network(ec2)


def launch(
    ec2: EC2Client,
    network: Network,
    *,
    address: str = "127.77.0.10",
    public: bool = False,
    kind: InstanceTypeType = "t3.medium",
) -> str:
    interface = {"DeviceIndex": 0, "SubnetId": network.subnet, "PrivateIpAddress": address, "Groups": [network.group]}
    reservation = ec2.run_instances(
        ImageId=network.image,
        InstanceType=kind,
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[{**interface, "AssociatePublicIpAddress": public}],  # type: ignore[list-item]
    )
    return reservation["Instances"][0]["InstanceId"]


def describe(ec2: EC2Client, instance_id: str) -> InstanceTypeDef:
    return ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def state(ec2: EC2Client, instance_id: str) -> str:
    return describe(ec2, instance_id)["State"]["Name"]


def launch_running(ec2: EC2Client, network: Network, clock: Clock, *, public: bool = False) -> str:
    instance_id = launch(ec2, network, public=public)
    clock.settle()
    return instance_id


def stop(ec2: EC2Client, instance_id: str, clock: Clock) -> None:
    ec2.stop_instances(InstanceIds=[instance_id])
    clock.settle()


def test_an_instance_shows_the_groups_of_its_interface(ec2: EC2Client, network: Network) -> None:
    instance = describe(ec2, launch(ec2, network))
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == [network.group]
    assert [group["GroupId"] for group in instance["NetworkInterfaces"][0]["Groups"]] == [network.group]


def test_changed_groups_show_on_the_instance_and_on_its_interface(ec2: EC2Client, network: Network) -> None:
    instance_id = launch(ec2, network)
    vpc = describe(ec2, instance_id)["VpcId"]
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc)["GroupId"]
    ec2.modify_instance_attribute(InstanceId=instance_id, Groups=[other])
    instance = describe(ec2, instance_id)
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == [other]
    assert [group["GroupId"] for group in instance["NetworkInterfaces"][0]["Groups"]] == [other]


def test_an_interface_without_a_public_address_has_no_association(ec2: EC2Client, network: Network) -> None:
    instance = describe(ec2, launch(ec2, network))
    assert "Association" not in instance["NetworkInterfaces"][0]


def test_a_stop_takes_the_passing_public_address_and_its_association(
    ec2: EC2Client, network: Network, clock: Clock
) -> None:
    instance_id = launch_running(ec2, network, clock, public=True)
    before = describe(ec2, instance_id)
    assert before["NetworkInterfaces"][0]["Association"]["PublicIp"] == before["PublicIpAddress"]
    stop(ec2, instance_id, clock)
    stopped = describe(ec2, instance_id)
    assert "PublicIpAddress" not in stopped
    assert "Association" not in stopped["NetworkInterfaces"][0]
    assert stopped["PrivateIpAddress"] == before["PrivateIpAddress"]
    ec2.start_instances(InstanceIds=[instance_id])
    assert describe(ec2, instance_id)["PublicIpAddress"] != before["PublicIpAddress"]


def test_an_elastic_ip_stays_through_stop_and_start(ec2: EC2Client, network: Network, clock: Clock) -> None:
    instance_id = launch_running(ec2, network, clock, public=True)
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(InstanceId=instance_id, AllocationId=address["AllocationId"])
    stop(ec2, instance_id, clock)
    assert describe(ec2, instance_id)["PublicIpAddress"] == address["PublicIp"]
    ec2.start_instances(InstanceIds=[instance_id])
    assert describe(ec2, instance_id)["PublicIpAddress"] == address["PublicIp"]


def test_states_pass_through_pending_stopping_and_shutting_down(ec2: EC2Client, network: Network, clock: Clock) -> None:
    instance_id = launch(ec2, network)
    assert state(ec2, instance_id) == "pending"
    clock.settle()
    assert state(ec2, instance_id) == "running"

    (stopping,) = ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"]
    assert (stopping["PreviousState"]["Name"], stopping["CurrentState"]["Name"]) == ("running", "stopping")
    assert state(ec2, instance_id) == "stopping"
    clock.settle()
    assert state(ec2, instance_id) == "stopped"

    (starting,) = ec2.start_instances(InstanceIds=[instance_id])["StartingInstances"]
    assert (starting["PreviousState"]["Name"], starting["CurrentState"]["Name"]) == ("stopped", "pending")
    clock.settle()
    assert state(ec2, instance_id) == "running"

    (ending,) = ec2.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"]
    assert (ending["PreviousState"]["Name"], ending["CurrentState"]["Name"]) == ("running", "shutting-down")
    assert ending["CurrentState"]["Code"] == 32
    clock.settle()
    assert state(ec2, instance_id) == "terminated"


def test_starting_a_stopping_instance_is_an_incorrect_state(ec2: EC2Client, network: Network, clock: Clock) -> None:
    instance_id = launch_running(ec2, network, clock)
    other = launch(ec2, network, address="127.77.0.11")
    ec2.stop_instances(InstanceIds=[instance_id])
    with pytest.raises(ClientError) as caught:
        ec2.start_instances(InstanceIds=[other, instance_id])
    assert caught.value.response["Error"] == {
        "Code": "IncorrectInstanceState",
        "Message": f"The instance '{instance_id}' is not in a state from which it can be started.",
    }


def test_stopping_an_instance_that_never_ran_is_an_incorrect_state(
    ec2: EC2Client, network: Network, clock: Clock
) -> None:
    instance_id = launch(ec2, network)
    with pytest.raises(ClientError, match="has never reached the 'running' state") as caught:
        ec2.stop_instances(InstanceIds=[instance_id])
    assert caught.value.response["Error"]["Code"] == "IncorrectInstanceState"
    clock.settle()
    assert state(ec2, instance_id) == "running"
    stop(ec2, instance_id, clock)
    ec2.start_instances(InstanceIds=[instance_id])  # pending again, but it has run
    assert ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]["CurrentState"]["Name"] == "stopping"


def test_start_on_running_and_stop_on_stopped_change_nothing(ec2: EC2Client, network: Network, clock: Clock) -> None:
    instance_id = launch_running(ec2, network, clock)
    launched = describe(ec2, instance_id)["LaunchTime"]
    (starting,) = ec2.start_instances(InstanceIds=[instance_id])["StartingInstances"]
    assert starting["PreviousState"] == starting["CurrentState"] == {"Code": 16, "Name": "running"}
    assert describe(ec2, instance_id)["LaunchTime"] == launched
    stop(ec2, instance_id, clock)
    (stopping,) = ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"]
    assert stopping["PreviousState"] == stopping["CurrentState"] == {"Code": 80, "Name": "stopped"}


def test_a_terminated_instance_can_be_neither_started_nor_stopped(
    ec2: EC2Client, network: Network, clock: Clock
) -> None:
    instance_id = launch_running(ec2, network, clock)
    ec2.terminate_instances(InstanceIds=[instance_id])
    for call in (ec2.start_instances, ec2.stop_instances):
        with pytest.raises(ClientError, match="IncorrectInstanceState"):
            call(InstanceIds=[instance_id])


def test_the_console_is_what_the_machine_has_written(ec2: EC2Client, network: Network, console: dict[str, str]) -> None:
    instance_id = launch(ec2, network)
    assert "Output" not in ec2.get_console_output(InstanceId=instance_id)
    console[instance_id] = "login: \N{SNOWMAN}"
    for latest in (False, True):
        assert ec2.get_console_output(InstanceId=instance_id, Latest=latest)["Output"] == "login: \N{SNOWMAN}"
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.get_console_output(InstanceId="i-00000000000000000")


def test_the_latest_console_is_shown_of_nitro_machines_only(
    ec2: EC2Client, network: Network, console: dict[str, str]
) -> None:
    instance_id = launch(ec2, network, kind="r3.xlarge")
    console[instance_id] = "login: "
    with pytest.raises(ClientError, match="UnsupportedOperation"):
        ec2.get_console_output(InstanceId=instance_id, Latest=True)
    assert ec2.get_console_output(InstanceId=instance_id)["Output"] == "login: "


def test_a_reboot_is_counted_and_leaves_the_state(
    aws: LocalAws, ec2: EC2Client, network: Network, clock: Clock
) -> None:
    instance_id = launch_running(ec2, network, clock)
    ec2.reboot_instances(InstanceIds=[instance_id])
    assert state(ec2, instance_id) == "running"
    assert [instance.reboots for instance in aws.instances()] == [1]
    stop(ec2, instance_id, clock)
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        ec2.reboot_instances(InstanceIds=[instance_id])


@pytest.mark.parametrize(("behavior", "then"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_machine_that_powers_itself_off_stops_its_instance_as_it_is_configured(
    aws: LocalAws, ec2: EC2Client, network: Network, clock: Clock, behavior: Literal["stop", "terminate"], then: str
) -> None:
    instance_id, other = launch_running(ec2, network, clock), launch(ec2, network, address="127.77.0.11")
    clock.settle()
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceInitiatedShutdownBehavior={"Value": behavior})
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiStop={"Value": True})
    aws.power_off([instance_id])
    assert state(ec2, instance_id) in ("stopping", "shutting-down")
    clock.settle()
    assert (state(ec2, instance_id), state(ec2, other)) == (then, "running")
    assert describe(ec2, instance_id)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


async def test_a_wait_for_machines_ends_when_one_powers_itself_off_and_not_when_a_client_stops_it(
    aws: LocalAws, ec2: EC2Client, network: Network, clock: Clock
) -> None:
    ids = [launch_running(ec2, network, clock), launch(ec2, network, address="127.77.0.11")]
    clock.settle()
    machines = [machine_from(describe(ec2, one)) for one in ids]
    ec2.stop_instances(InstanceIds=ids[:1])
    assert await while_powered(asyncio.sleep(0.5, "ready"), ec2, machines, every=0.1) == "ready"
    aws.power_off(ids[1:])
    with pytest.raises(PoweredOff):
        await while_powered(asyncio.sleep(600), ec2, machines, every=0.1)


def test_s3_keeps_objects_at_the_same_address(aws: LocalAws) -> None:
    with closing(SESSION.client("s3", endpoint_url=aws.url)) as s3:
        s3.create_bucket(Bucket="models")
        s3.put_object(Bucket="models", Key="run/model.bin", Body=b"\xff\0")
        assert s3.get_object(Bucket="models", Key="run/model.bin")["Body"].read() == b"\xff\0"
        s3.upload_fileobj(BytesIO(bytes(9_000_000)), "models", "large")  # in parts
        found = s3.list_objects_v2(Bucket="models")["Contents"]
        assert {entry["Key"]: entry["Size"] for entry in found} == {"large": 9_000_000, "run/model.bin": 2}
        with pytest.raises(ClientError, match="NoSuchBucket"):
            s3.get_object(Bucket="other", Key="x")


def test_parameters_and_secrets_are_kept_at_the_same_address(aws: LocalAws) -> None:
    with (
        closing(SESSION.client("ssm", endpoint_url=aws.url)) as ssm,
        closing(SESSION.client("secretsmanager", endpoint_url=aws.url)) as secrets,
    ):
        ssm.put_parameter(Name="/pio/elasticsearch", Value="correct horse", Type="SecureString")
        parameter = ssm.get_parameter(Name="/pio/elasticsearch", WithDecryption=True)["Parameter"]
        assert parameter["Value"] == "correct horse"
        with pytest.raises(ClientError, match="ParameterNotFound"):
            ssm.get_parameter(Name="/pio/other")
        secrets.create_secret(Name="pio", SecretString='{"password": "battery"}')
        assert secrets.get_secret_value(SecretId="pio")["SecretString"] == '{"password": "battery"}'
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            secrets.get_secret_value(SecretId="other")


def test_reasons_say_when_it_was_stopped_and_go_at_the_start(ec2: EC2Client, network: Network, clock: Clock) -> None:
    instance_id = launch_running(ec2, network, clock)
    first_launch = describe(ec2, instance_id)["LaunchTime"]
    stop(ec2, instance_id, clock)
    stopped = describe(ec2, instance_id)
    reason = stopped["StateTransitionReason"]
    assert time.strptime(reason, "User initiated (%Y-%m-%d %H:%M:%S GMT)")
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    time.sleep(1)  # launch times have whole seconds
    ec2.start_instances(InstanceIds=[instance_id])
    started = describe(ec2, instance_id)
    assert started.get("StateTransitionReason", "") == ""
    assert "StateReason" not in started
    assert started["LaunchTime"] > first_launch


def test_termination_frees_the_private_address(ec2: EC2Client, network: Network, clock: Clock) -> None:
    instance_id = launch_running(ec2, network, clock)
    with pytest.raises(ClientError, match=r"InvalidIPAddress\.InUse.*Address 127\.77\.0\.10 is in use"):
        launch(ec2, network)
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert describe(ec2, launch(ec2, network))["PrivateIpAddress"] == "127.77.0.10"
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


@pytest.mark.parametrize(
    ("address", "message"), [("127.77.9.10", "does not fall within"), ("127.77.0.2", "reserved address range")]
)
def test_an_address_that_aws_would_not_give_is_refused(
    ec2: EC2Client, network: Network, address: str, message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        launch(ec2, network, address=address)


def test_type_and_user_data_change_only_while_stopped(ec2: EC2Client, network: Network, clock: Clock) -> None:
    instance_id = launch_running(ec2, network, clock)
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "t3.small"})
    stop(ec2, instance_id, clock)
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "t3.small"})
    assert describe(ec2, instance_id)["InstanceType"] == "t3.small"


@pytest.mark.parametrize(
    "disk",
    [
        {"VolumeType": "gp3", "Iops": 4000, "Throughput": 250},
        {"VolumeType": "io2", "Iops": 5000},
    ],
)
def test_a_machine_is_made_with_the_disk_and_the_protection_that_it_asks_for(
    ec2: EC2Client, network: Network, disk: dict[str, Any]
) -> None:
    made = ec2.run_instances(
        ImageId=network.image,
        InstanceType="t3.medium",
        SubnetId=network.subnet,
        MinCount=1,
        MaxCount=1,
        DisableApiTermination=True,
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, **disk}}],  # type: ignore[typeddict-item]
    )["Instances"][0]["InstanceId"]
    attribute = ec2.describe_instance_attribute(InstanceId=made, Attribute="disableApiTermination")
    assert attribute["DisableApiTermination"]["Value"] is True
    volume = describe(ec2, made)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    (found,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    assert {name: found[name] for name in disk} == disk  # type: ignore[literal-required]


def test_the_shutdown_behaviour_changes_and_the_groups_stay(ec2: EC2Client, network: Network) -> None:
    instance_id = launch(ec2, network)
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceInitiatedShutdownBehavior={"Value": "terminate"})
    attribute = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="instanceInitiatedShutdownBehavior")
    assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    assert [group["GroupId"] for group in describe(ec2, instance_id)["SecurityGroups"]] == [network.group]


def test_there_is_no_ec2_classic(ec2: EC2Client) -> None:
    attributes = ec2.describe_account_attributes(AttributeNames=["supported-platforms"])["AccountAttributes"]
    platforms = [a["AttributeValues"] for a in attributes if a["AttributeName"] == "supported-platforms"]
    assert platforms == [[{"AttributeValue": "VPC"}]]
    assert ec2.allocate_address(Domain="standard")["Domain"] == "vpc"


def test_what_does_not_exist_is_refused(ec2: EC2Client, network: Network) -> None:
    def run(**changes: str) -> None:
        asked = {"ImageId": network.image, "InstanceType": "t3.medium", "SubnetId": network.subnet, **changes}
        ec2.run_instances(MinCount=1, MaxCount=1, **asked)  # type: ignore[arg-type]

    for changes, code in (
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"InstanceType": "z9.huge"}, "InvalidInstanceType.NotFound"),
    ):
        with pytest.raises(ClientError) as caught:
            run(**changes)
        assert caught.value.response["Error"]["Code"] == code


def test_instance_types_have_real_figures(ec2: EC2Client) -> None:
    types = ec2.describe_instance_types(InstanceTypes=["t3.small", "t3.medium", "r3.xlarge"])["InstanceTypes"]
    figures = {t["InstanceType"]: (t["MemoryInfo"]["SizeInMiB"], t["VCpuInfo"]["DefaultVCpus"]) for t in types}
    assert figures == {"t3.small": (2048, 2), "t3.medium": (4096, 2), "r3.xlarge": (31232, 4)}


def test_instances_carry_what_a_machine_behind_them_needs(aws: LocalAws, ec2: EC2Client, network: Network) -> None:
    ec2.import_key_pair(KeyName="key", PublicKeyMaterial=PUBLIC_KEY)
    ec2.run_instances(
        ImageId=network.image,
        InstanceType="t3.medium",
        KeyName="key",
        MinCount=1,
        MaxCount=1,
        SubnetId=network.subnet,
        PrivateIpAddress="127.77.0.20",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "pio-tf:role", "Value": "driver"}]}],
    )
    ec2.delete_key_pair(KeyName="key")  # what was installed stays installed
    (instance,) = aws.instances()
    assert instance.state == "pending"
    assert (instance.private_ip, instance.memory_mib, instance.vcpus) == ("127.77.0.20", 4096, 2)
    assert instance.tags == {"pio-tf:role": "driver"}
    assert instance.public_key == PUBLIC_KEY.decode()


def test_an_instance_is_found_by_its_tags_and_shows_them(ec2: EC2Client, network: Network) -> None:
    tagged, other = launch(ec2, network), launch(ec2, network, address="127.77.0.11")
    ec2.create_tags(Resources=[tagged], Tags=[{"Key": "pio-tf:cluster", "Value": "one"}])
    ec2.create_tags(Resources=[other], Tags=[{"Key": "pio-tf:cluster", "Value": "two"}])
    found = ec2.describe_instances(Filters=[{"Name": "tag:pio-tf:cluster", "Values": ["one"]}])["Reservations"]
    assert [i["InstanceId"] for r in found for i in r["Instances"]] == [tagged]
    assert found[0]["Instances"][0]["Tags"] == [{"Key": "pio-tf:cluster", "Value": "one"}]
    ec2.delete_tags(Resources=[tagged], Tags=[{"Key": "pio-tf:cluster"}])
    assert "Tags" not in describe(ec2, tagged)


def test_calls_are_counted_and_changes_announced() -> None:
    announced: list[float] = []
    with LocalAws(transition_seconds=0, on_change=lambda: announced.append(time.monotonic())) as aws:
        ec2 = connect(aws)
        instance_id = launch(ec2, Network(ec2))
        ec2.stop_instances(InstanceIds=[instance_id])
        ec2.stop_instances(InstanceIds=[instance_id])
        ec2.close()
        assert aws.calls["ec2", "StopInstances"] == 2
        assert aws.calls["ec2", "RunInstances"] == 1
        assert len(announced) == 2  # the second stop changed nothing


def test_each_start_is_empty_and_moto_is_itself_again_afterwards() -> None:
    from moto.ec2.models import elastic_network_interfaces, instances

    untouched = (
        instances.Instance,
        elastic_network_interfaces.NetworkInterface,
        instances.InstanceBackend.start_instances,
    )
    aws = LocalAws(transition_seconds=0)
    for _ in range(2):
        aws.start()
        ec2 = connect(aws)
        assert not ec2.describe_instances()["Reservations"]
        launch(ec2, Network(ec2))
        ec2.close()
        aws.stop()
    assert untouched == (
        instances.Instance,
        elastic_network_interfaces.NetworkInterface,
        instances.InstanceBackend.start_instances,
    )


def test_a_second_one_in_the_process_and_a_taken_port_are_refused(aws: LocalAws) -> None:
    with pytest.raises(SandboxError, match="already running in this process"):
        LocalAws().start()
    port = int(aws.url.rpartition(":")[2])
    aws.stop()
    with pytest.raises(SandboxError, match="not running"):
        _ = aws.url
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"cannot listen on 127.0.0.1:{port}"):
            LocalAws(port=port).start()
    with LocalAws(port=port) as again:
        assert again.url.endswith(str(port))


def test_five_hundred_instances_are_started_and_stopped_in_seconds(
    ec2: EC2Client, network: Network, clock: Clock
) -> None:
    began = time.process_time()  # of the server, too, which is in this process
    reservation = ec2.run_instances(
        ImageId=network.image, InstanceType="t3.medium", MinCount=500, MaxCount=500, SubnetId=network.subnet
    )
    ids = [instance["InstanceId"] for instance in reservation["Instances"]]
    clock.settle()
    ec2.stop_instances(InstanceIds=ids)
    clock.settle()
    pages = ec2.get_paginator("describe_instances").paginate()
    states = [i["State"]["Name"] for page in pages for r in page["Reservations"] for i in r["Instances"]]
    assert states == ["stopped"] * 500
    assert time.process_time() - began < 30
