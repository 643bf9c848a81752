"""Every call of a cluster's whole life is allowed by the policy of the role that makes it, and nothing else is.

The calls are those of Terraform with version 3.39 of the AWS provider, and pio-tf's own, on a local AWS.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest

from pio_tf import Cluster
from pio_tf.config.components import Component
from pio_tf.errors import ConfigError
from pio_tf.iam import policies
from pio_tf.machines.console import host_keys_from_console
from pio_tf.machines.health import examine
from pio_tf.machines.power import stop_machines
from pio_tf.mirror import Pusher, sha512_of
from pio_tf.model import SCHEDULED_TAG
from pio_tf.training.runs.bucket_lock import Claim
from pio_tf.training.runs.record import Client, RunRecord
from tests.iam.requests import requests
from tests.support.iam_policies import used
from tests.support.provider_scripts import TERRAFORM, terraform_of
from tests.support.recording_aws import ACCOUNT, REGION, Call, RecordingAws
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.iam.grant import Grant

UBUNTU = "099720109477"
IMAGE = "ami-0a1b2c3d4e5f60718"
RUN = "20261123T020000Z-3f9c"
ANN = Client("ann", "laptop", 17, "2026-11-23T02:00:00Z")
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/pio-tf/pio-tf-own-us-east-1-boundary"
UNSEEN = {
    "ec2:DescribeInstanceTypes": "the provider since version 4, for every machine it reads: limits of its type",
    "ec2:DescribeSecurityGroupRules": "the provider since version 4, for every rule: its id",
    "ec2:DescribeTags": "the provider since version 4, for every machine: whether a launch template made it",
    "ec2:DescribeAddressesAttribute": "the provider since version 5, for every address: its name in DNS",
    "ec2:DisassociateIamInstanceProfile": "an apply on stopped machines with another machines.instance_profile",
    "ec2:ReplaceIamInstanceProfileAssociation": "an apply on running machines with another machines.instance_profile",
    "events:UntagResource": "an apply after a tag of cluster.tags was removed",
    "iam:UntagInstanceProfile": "an apply after a tag of cluster.tags was removed",
    "iam:PutRolePermissionsBoundary": "an apply after failsafe.permissions_boundary was set",
    "iam:CreateServiceLinkedRole": "CloudWatch, for an account's first alarm that stops a machine",
    "kms:CreateGrant": "EC2, when a machine with machines.kms_key_id starts",
    "kms:Decrypt": "EC2, for a new machine's disks",
    "kms:GenerateDataKeyWithoutPlaintext": "EC2, for a new disk",
    "kms:ReEncryptFrom": "EC2, for a new disk of an image that another key encrypts",
    "kms:ReEncryptTo": "EC2, for the same",
    "s3:AbortMultipartUpload": "a log of more than 8 MiB whose upload fails",
}
"""Actions that are allowed though nothing here makes them, each with who does."""


@dataclass
class World:
    """A local AWS, a directory, and the calls of each role so far."""

    aws: RecordingAws
    project: Project
    terraform: str
    calls: dict[str, list[Call]] = field(default_factory=dict)

    def cluster(self, **blocks: str) -> Cluster:
        """Return the cluster of these blocks."""
        path = self.project.write(terraform=self.terraform, **blocks)
        environ = {"PATH": str(TERRAFORM.parent), "HOME": str(self.project.directory)}
        return Cluster.load(path, environ=environ)

    @contextmanager
    def role(self, *names: str) -> Iterator[None]:
        """Keep the calls as those of a role."""
        with self.aws.recording() as calls:
            yield
        for name in names:
            self.calls.setdefault(name, []).extend(calls)

    def client(self, service: Literal["cloudtrail", "iam", "kms", "s3", "sns", "ssm"]) -> Any:  # noqa: ANN401
        """Return the test's own client, whose calls are not recorded."""
        session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
        return session.client(service, endpoint_url=self.aws.url)

    def power(self, state: str, *, but: str = "") -> None:
        """Start or stop the cluster's machines."""
        ids = [one for name, (one, _) in self.project.instances().items() if name != but]
        client = ec2(self.aws.url)
        (client.start_instances if state == "running" else client.stop_instances)(InstanceIds=ids)


@pytest.fixture(scope="module")
def aws() -> Iterator[RecordingAws]:
    with RecordingAws(transition_seconds=0) as running:
        yield running


def keep_runs(cluster: Cluster) -> None:
    """Keep a run as a session with the driver and the run lock do, but for the driver's part."""
    storage = cluster._command().storage
    shared, lock, upload = storage.shared, storage.lock, storage.upload(storage.checked_upload(None))
    assert shared is not None
    assert lock is not None
    directory = cluster.config.work_dir / "runs" / RUN
    directory.mkdir(parents=True, exist_ok=True)
    record = RunRecord(
        id=RUN,
        cluster=cluster.config.cluster.name,
        client=ANN,
        command="pio train",
        engine_dir="/opt/engine",
    )
    for name, text in (("log", "a line\n"), ("record.json", record.to_json())):
        (directory / name).write_text(text)
    lock.before_stopping()
    lock.take(RUN)
    lock.before_stopping()
    shared.begin(record)
    shared.put(record, directory)
    upload.put(record, directory)
    assert [one.id for one in shared.records()] == [RUN]
    assert shared.fetch_log(RUN, directory / "copy" / "log")
    lock.release()
    assert cluster._context.secrets.values == ("of-elasticsearch",)


def fill_mirror(cluster: Cluster) -> None:
    """Copy one archive into the mirror; twice, because the second time it is there."""
    directory = cluster.config.work_dir / "mirror"
    path = directory / "spark" / "spark.tgz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("an archive")
    spark = Component("spark", "2.4.8", "/usr/local/spark", "spark/spark.tgz", sha512_of(path), ())
    for status in ("pushed", "there"):
        (pushed,) = Pusher(cluster._context.aws.client("s3"), "s3://mirror/pio-tf").push(directory, [spark])
        assert pushed.status == status


def read_consoles(cluster: Cluster) -> None:
    host_keys_from_console(cluster._context.ec2, cluster._command().fleet.look().machines[0].instance_id)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, aws: RecordingAws, mirror: Path) -> World:
    """Live the life of a cluster with all options of pio-tf.hcl, a network of its own, and its state in S3."""
    backend = (
        f'binary = "{terraform_of(mirror)}"\ncli_config_file = "{mirror}"\nbackend "s3" {{\n  bucket = "states"\n}}'
    )
    world = World(aws, Project(tmp_path_factory.mktemp("own"), name="own", url=aws.url, mirror=mirror), backend)
    for bucket in ("states", "uploads", "mirror"):
        world.client("s3").create_bucket(Bucket=bucket)
    world.client("cloudtrail").create_trail(Name="all", S3BucketName="states")
    world.client("cloudtrail").start_logging(Name="all")
    topic = world.client("sns").create_topic(Name="trainings")["TopicArn"]
    world.client("ssm").put_parameter(Name="/pio/es", Value="of-elasticsearch", Type="SecureString")
    world.client("ssm").put_parameter(Name="/images/spark", Value=IMAGE, Type="String")
    key = world.client("kms").create_key()["KeyMetadata"]["Arn"]
    network = 'cidr = "127.77.72.0/24"\npublic_ips = true\ndriver_eip = true\nssh_cidrs = ["10.{n}.0.0/16"]\n'
    network += 'availability_zone = "us-east-1{zone}"'
    more = {
        "elasticsearch": 'hosts = ["es"]\nuser = "pio"\npassword = ssm("/pio/es")',
        "train": 'upload = "s3://uploads/pio"',
        "software": 'mirrors = ["s3://mirror/pio-tf"]',
        "failsafe": f'permissions_boundary = "{BOUNDARY}"',
        "schedule": 'cron = "cron(0 3 ? * SUN *)"',
        "notify": f'sns_topic = "{topic}"',
    }
    first = {**more, "network": network.format(n=1, zone="a"), "cluster": 'name = "{name}"\ntags = { team = "a" }'}
    with world.role("plan"), pytest.raises(ConfigError, match="us-east-1z"):
        world.cluster(**{**first, "network": network.format(n=1, zone="z")}).plan()
    kept = world.project.directory / "kept"
    with world.role("plan"):
        world.cluster(**first).plan(kept)
    with world.role("apply"):
        world.cluster(**first).apply(kept)
    world.power("stopped")
    larger = 'instance_type = "m5.xlarge"\nworkers = 1\nroot_volume_gib = 60\nami_parameter = "/images/spark"'
    larger += "\nscratch_volume {\n  gib = 20\n}"
    second = {**more, "network": network.format(n=2, zone="a"), "spark": larger, "cluster": 'name = "{name}"'}
    second["cluster"] += '\ntags = { owner = "b" }'
    second["machines"] = f'make_instance_profile = true\nkms_key_id = "{key}"'
    cluster = world.cluster(**second)
    killed = Claim(ANN, RUN, stopping=True)  # the lock of another client, which the apply takes over
    world.client("s3").put_object(Bucket="states", Key="pio-tf/own/run.lock", Body=killed.to_json().encode())
    with world.role("apply"):
        read_consoles(cluster)
        with pytest.raises(ConfigError, match="us-east-1z"):
            world.cluster(**{**first, "network": network.format(n=1, zone="z")}).apply()
        world.cluster(**{**first, "notify": f'sns_topic = "{topic}"\non = ["failed"]'}).apply()
        cluster = world.cluster(**second)
        cluster.apply()
        for ids in (["i-1"], ["i-1", "i-2"]):  # as machines are made: their number at a time is unknown
            role = str(cluster.outputs().deadline_role_arn)
            cluster._command().deadline.schedule.arm(ids, cluster._context.now(), role_arn=role)
        cluster._command().deadline.trainings.remove()
    with world.role("plan"):
        cluster.plan()
        cluster.drift()
    ids = [one for one, _ in world.project.instances().values()]
    ec2(aws.url).create_tags(Resources=ids, Tags=[{"Key": SCHEDULED_TAG, "Value": "of a schedule"}])
    with world.role("train", "schedule"):
        cluster.sizing()
        command = cluster._command()
        cluster.test_notifications()
        command.scheduling.token()
        command.deadline.remove()
        for _ in ("armed", "armed again"):
            view, _ = command.power.start(command.deadline.after(None), apply=False)
        examine(cluster._context.ec2, view.machines, suspects=())
        read_consoles(cluster)
        keep_runs(cluster)
        stop_machines(cluster._context.ec2, view.machines, timeout=60)
    world.power("running", but="driver")
    with world.role("schedule"):
        cluster.down_if_idle(idle_for=0)
    cluster = world.cluster(**second)
    with world.role("mirror"):
        fill_mirror(cluster)
    with world.role("destroy"):
        read_consoles(cluster)
        keep_runs(cluster)
        cluster.destroy()
    return world


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, aws: RecordingAws, mirror: Path) -> World:
    """Live the life of a cluster in an existing subnet, with an existing key pair and image, and a local state."""
    terraform = f'binary = "{terraform_of(mirror)}"\ncli_config_file = "{mirror}"'
    world = World(aws, Project(tmp_path_factory.mktemp("given"), name="given", url=aws.url, mirror=mirror), terraform)
    client = ec2(aws.url)
    vpc = client.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24", AvailabilityZone="us-east-1a")["Subnet"][
        "SubnetId"
    ]
    client.create_key_pair(KeyName="ours")
    world.client("iam").create_role(RoleName="ours", AssumeRolePolicyDocument="{}")
    world.client("iam").create_instance_profile(InstanceProfileName="ours")
    world.client("iam").add_role_to_instance_profile(InstanceProfileName="ours", RoleName="ours")
    machine = f'instance_type = "m5.large"\nami = "{IMAGE}"'
    blocks = {
        "network": f'vpc_id = "{vpc}"\nsubnet_id = "{subnet}"',
        "driver": f"{machine}\nallow_small_memory = true",
        "spark": f"{machine}\nworkers = 1",
        "ssh": 'key = "id"\nkey_pair = "ours"',
        "failsafe": f'permissions_boundary = "{BOUNDARY}"',
        "machines": 'instance_profile = "ours"',
    }
    wrong = {**blocks, "network": f'vpc_id = "{vpc[:-4]}0000"\nsubnet_id = "{subnet}"'}
    with world.role("plan"), pytest.raises(ConfigError, match="does not exist"):
        world.cluster(**wrong).plan()
    cluster = world.cluster(**blocks)
    with world.role("plan"):
        cluster.plan(world.project.directory / "kept")
    with world.role("apply"):
        cluster.apply(world.project.directory / "kept")
        world.power("stopped")
        other = client.create_security_group(GroupName="more", Description="x", VpcId=vpc)["GroupId"]
        blocks["network"] += f'\nsecurity_group_ids = ["{other}"]'
        world.cluster(**blocks).apply()
    return world


def check(world: World, role: str) -> set[tuple[str, str]]:
    """Return the parts of the role's policy that its calls have used; fail for a call that is not allowed."""
    config = Cluster.load(world.project.directory / "pio-tf.hcl", environ={}).config
    (policy,) = policies(config, role, account=ACCOUNT)
    found: set[tuple[str, str]] = set()
    refused: dict[str, str] = {}
    for call in world.calls[role]:
        for request in requests(call, image_owner=UBUNTU):
            by = used(policy.document, request)
            if by is None:
                refused[str(request)] = call.by
            else:
                found |= by
                makers = policy_makers(policy.grants, request.action)
                assert call.by in makers, f"{request.action} is said to be made by {makers}, not by {call.by}"
    assert refused == {}
    assert world.calls[role], "nothing was recorded"
    return found


def policy_makers(grants: tuple[Grant, ...], action: str) -> set[str]:
    return {maker for grant in grants for maker in grant.makers.get(action, ())}


@pytest.mark.parametrize("role", ["plan", "apply", "train", "schedule", "destroy", "mirror"])
def test_every_call_is_allowed_and_everything_that_is_allowed_is_called(own: World, role: str) -> None:
    found = check(own, role)
    (policy,) = policies(Cluster.load(own.project.directory / "pio-tf.hcl", environ={}).config, role, account=ACCOUNT)
    parts = {(grant.sid, action) for grant in policy.grants for action in grant.makers}
    assert {part for part in parts - found if part[1] not in UNSEEN} == set()


@pytest.mark.parametrize("role", ["plan", "apply"])
def test_in_a_given_network_every_call_is_allowed(given: World, role: str) -> None:
    found = check(given, role)
    assert not any(sid in ("MakeNetwork", "MakeAddress", "MakeKeyPair", "ImagesOfOwner") for sid, _ in found)


def test_nothing_is_excused_that_is_called(own: World) -> None:
    excused = set()
    for role in own.calls:
        (policy,) = policies(
            Cluster.load(own.project.directory / "pio-tf.hcl", environ={}).config, role, account=ACCOUNT
        )
        parts = {(grant.sid, action) for grant in policy.grants for action in grant.makers}
        excused |= {action for _, action in parts - check(own, role)}
    assert excused == set(UNSEEN)


def test_what_stops_idle_machines_trains_too(own: World) -> None:
    """The roles are one at present: nothing that `down --if-idle` does goes beyond a training."""
    config = Cluster.load(own.project.directory / "pio-tf.hcl", environ={}).config
    assert policies(config, "schedule")[0].document == policies(config, "train")[0].document


@pytest.mark.parametrize(
    ("role", "other"), [("plan", "apply"), ("train", "apply"), ("apply", "destroy"), ("plan", "train")]
)
def test_a_role_cannot_do_what_another_one_does(own: World, role: str, other: str) -> None:
    config = Cluster.load(own.project.directory / "pio-tf.hcl", environ={}).config
    document = policies(config, role, account=ACCOUNT)[0].document
    asked = [one for call in own.calls[other] for one in requests(call, image_owner=UBUNTU)]
    refused = {one.action for one in asked if used(document, one) is None}
    least = {
        "apply": {"ec2:RunInstances", "ec2:CreateTags", "ec2:CreateVpc"},
        "destroy": {"ec2:TerminateInstances", "ec2:ReleaseAddress", "ec2:DeleteVpc"},
        "train": {"ec2:StartInstances", "ec2:StopInstances", "ssm:GetParameters"},
    }
    assert refused >= least[other]


def test_machines_of_another_cluster_are_out_of_reach(own: World) -> None:
    """Repeat the calls with the policies of a cluster of another name."""
    path = own.project.directory / "pio-tf.hcl"
    text = path.read_text().replace('name = "own"', 'name = "elsewhere"')
    elsewhere = path.with_name("elsewhere.hcl")
    elsewhere.write_text(text)
    config = Cluster.load(elsewhere, environ={}).config
    for role, calls in own.calls.items():
        if role == "mirror":
            continue  # it is of the account: clusters share it
        document = policies(config, role, account=ACCOUNT)[0].document
        asked = [one for call in calls for one in requests(call, image_owner=UBUNTU)]
        allowed = {one.action for one in asked if used(document, one) is not None}
        harmless = ("ec2:Describe", "s3:ListBucket", "sts:", "ssm:GetParameter", "ec2:CreateRoute", "ec2:DeleteRoute")
        shared = ("cloudtrail:", "kms:DescribeKey", "sns:")  # one topic, trail and key serve all clusters of an account
        beyond = {action for action in allowed if not action.startswith((*harmless, *shared))}
        assert beyond - {"scheduler:ListSchedules"} == set(), role
