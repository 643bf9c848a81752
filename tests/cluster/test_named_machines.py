"""A cluster of instances that exist already: switched by their ids, without Terraform and without tags."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from pio_tf import Cluster
from pio_tf.cluster.adoption import Adoption, Homes, Look
from pio_tf.cluster.listing import Belongings
from pio_tf.config.adopted import AdoptedCluster, render_adopted
from pio_tf.config.load import load_config, parse_config
from pio_tf.errors import ConfigError, MachinesMayBeRunning, PioTfError
from pio_tf.machines.deadline_role import DeadlineRole
from pio_tf.machines.deadline_schedule import DeadlineSchedule
from pio_tf.machines.existing import Choice
from pio_tf.pio.existing_env import read_env
from pio_tf.training.survey import InstalledSoftware
from tests.cluster.support import Aws
from tests.support.background import wait_until
from tests.support.instances import UBUNTU
from tests.support.no_machines import no_machines
from tests.support.recording_aws import ACCOUNT, REGION
from tests.support.shell import service_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.events import Event

NAMES = ("driver", "master", "worker-1")


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws(transition_seconds=0.1) as running:
        yield running


class World:
    """Three stopped instances without tags, and a pio-tf.hcl that names them."""

    def __init__(self, aws: Aws, directory: Path) -> None:
        self.aws = aws
        self.directory = directory
        self.name = directory.name[-12:].strip("-_").replace("_", "-").lower()
        (directory / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
        self.said: list[Event] = []
        self.ec2 = self.client("ec2")
        made = self.ec2.run_instances(ImageId=UBUNTU, InstanceType="r5.xlarge", MinCount=3, MaxCount=3)["Instances"]
        self.ids = {name: one["InstanceId"] for name, one in zip(NAMES, made, strict=True)}
        assert wait_until(lambda: self.states() == {"running"}, within=30)
        self.ec2.stop_instances(InstanceIds=[*self.ids.values()])
        assert wait_until(lambda: self.states() == {"stopped"}, within=30)

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes them
        return service_client(self.aws.url, service, region=REGION)

    def states(self) -> set[str]:
        found = self.ec2.describe_instances(InstanceIds=[*self.ids.values()])["Reservations"]
        return {one["State"]["Name"] for group in found for one in group["Instances"]}

    def role(self) -> str:
        """Create the role for deadlines, and return its ARN."""
        role = DeadlineRole(self.name, REGION, ACCOUNT, tuple(self.ids.values()))
        role.create(self.client("iam"))
        return role.arn

    def config(self, *, role_arn: str = "", more: str = "") -> Config:
        credentials = str(self.directory / "credentials")
        adopted = AdoptedCluster(
            name=self.name,
            aws={"region": REGION, "endpoint_url": self.aws.url, "credentials_file": credentials},
            ids=self.ids,
            ssh={"key": str(_key(self.directory))},
            engine_dir="~/ur",
            role_arn=role_arn,
        )
        text = render_adopted(adopted)
        if more:
            text = text.replace("failsafe {\n", f"failsafe {{\n{more}\n")
        return parse_config(text, path=self.directory / "pio-tf.hcl", environ={})

    def cluster(self, **options: str) -> Cluster:
        return Cluster(
            self.config(**options), reporter=self.said.append, environ={"PATH": ""}, open_session=no_machines
        )


def _key(directory: Path) -> Path:
    import asyncssh

    path = directory / "id_ed25519"
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(path)
        key.write_public_key(path.with_name("id_ed25519.pub"))
    return path


@pytest.fixture
def world(aws: Aws, tmp_path: Path) -> World:
    return World(aws, tmp_path)


def test_up_arms_the_deadline_and_starts_by_ids_and_down_stops_without_terraform(world: World) -> None:
    cluster = world.cluster(role_arn=world.role())
    started = cluster.up()
    assert {one.name: one.instance_id for one in started} == world.ids
    assert world.states() == {"running"}
    armed = DeadlineSchedule(world.client("scheduler"), cluster=world.name).find()
    assert armed is not None
    assert armed.ids == frozenset(world.ids.values())
    assert armed.at > datetime.now(tz=timezone.utc)
    assert [one.name for one in cluster.outputs().machines] == [*NAMES]
    assert {one.state for one in cluster.down()} == {"stopped"}
    assert world.states() == {"stopped"}
    assert not (world.directory / ".pio-tf" / world.name / "stack").exists()
    tags = world.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [*world.ids.values()]}])["Tags"]
    assert tags == []


def test_the_cost_is_that_of_the_disks_and_addresses_of_these_instances(world: World) -> None:
    other = world.ec2.run_instances(ImageId=UBUNTU, InstanceType="r5.xlarge", MinCount=1, MaxCount=1)
    address = world.ec2.allocate_address(Domain="vpc")["AllocationId"]
    world.ec2.associate_address(AllocationId=address, InstanceId=world.ids["driver"])
    found = Belongings.of_instances(world.ec2, world.name, [*world.ids.values()])
    assert found.eips == {world.name: 1}
    (volumes,) = found.gib.values()
    assert sum(volumes.values()) == 3 * 8
    world.ec2.terminate_instances(InstanceIds=[other["Instances"][0]["InstanceId"]])


def test_without_a_role_machines_start_only_without_a_deadline(world: World) -> None:
    with pytest.raises(ConfigError, match="no role can stop the machines at a deadline") as caught:
        world.cluster().up()
    assert "failsafe.role_arn" in caught.value.next_step
    assert world.states() == {"stopped"}
    world.cluster().up(deadline=False)
    assert world.states() == {"running"}


def test_down_leaves_a_machine_of_another_cluster_alone_and_names_it(world: World) -> None:
    world.cluster().up(deadline=False)
    taken = world.ids["worker-1"]
    world.ec2.create_tags(Resources=[taken], Tags=[{"Key": "pio-tf:cluster", "Value": "night"}])
    with pytest.raises(MachinesMayBeRunning, match=rf"did not stop worker-1 \({taken}, running\)") as caught:
        world.cluster().down()
    assert "is tagged for night" in caught.value.cause
    assert "remove them from the machines block" in caught.value.next_step
    assert world.states() == {"running", "stopped"}


def test_up_starts_nothing_if_a_machine_is_terminated(world: World) -> None:
    world.ec2.terminate_instances(InstanceIds=[world.ids["master"]])
    with pytest.raises(PioTfError, match=r"master \(i-\w+\) was terminated"):
        world.cluster().up(deadline=False)
    assert "running" not in world.states()
    assert {one.name for one in world.cluster().down()} <= {*NAMES}


def test_machines_that_a_shutdown_would_terminate_must_not_power_themselves_off(world: World) -> None:
    world.ec2.modify_instance_attribute(
        InstanceId=world.ids["driver"], InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    with pytest.raises(ConfigError, match="driver must not power off from inside"):
        world.cluster(more="  self_stop = true").up(deadline=False)
    assert world.states() == {"stopped"}
    world.cluster().up(deadline=False)


def test_what_is_found_goes_into_the_file_but_no_block_that_pio_tf_could_not_load(world: World) -> None:
    env = read_env(
        "SPARK_HOME=$HOME/spark\nPIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch\n"
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS=es_1.2x\n"
        "PIO_STORAGE_SOURCES_HDFS_TYPE=hdfs\nPIO_STORAGE_SOURCES_HDFS_PATH=hdfs://nn:9000/models\n"
    )
    driver = InstalledSoftware(
        spark_home="/opt/other", pio_home="~/pio", pio_version="0.13.0", engines=("~/ur",), env=env
    )
    master = InstalledSoftware(start_all="~/spark/sbin/start-all.sh", starts_spark=("unit spark.service",))
    aws = {"region": REGION, "endpoint_url": world.aws.url, "credentials_file": str(world.directory / "credentials")}
    cluster = AdoptedCluster(
        name=world.name,
        aws=aws,
        ids={},
        ssh={"key": str(_key(world.directory))},
        engine_dir="~/engine",
        role=False,
    )
    adoption = Adoption(cluster, Homes(), world.directory / "pio-tf.hcl", {}, world.said.append)
    ids = [*world.ids.values()]
    machines = adoption.look(Choice((ids[0],), (ids[1],), (ids[2],))).machines
    look = Look(machines, {"driver": driver, "master": master}, (), ACCOUNT)
    proposal = adoption.propose(look)
    adoption.carry_out(proposal)
    with_role = replace(adoption, cluster=replace(cluster, role=True)).propose(look)
    with pytest.raises(ConfigError, match="exists already"):
        adoption.carry_out(with_role)
    assert with_role.role is not None
    with_role.role.refuse_existing(adoption.aws.client("iam"))  # no role is left for a file that was not written
    config = load_config(world.directory / "pio-tf.hcl", environ={})
    assert (config.spark.home, config.spark.start_command) == ("~/spark", None)
    assert (config.pio.home, config.pio.version, config.pio.engine_dir) == ("~/pio", "0.13.0", "~/ur")
    assert config.hdfs is not None
    assert config.elasticsearch is None
    (why,) = proposal.look.remarks
    assert why.startswith("pio-tf.hcl gets no elasticsearch block from pio-env.sh: elasticsearch.hosts[0]: must be")
    several = replace(look, software={"driver": replace(driver, engines=("~/a", "~/b"))})
    with pytest.raises(ConfigError, match="not known: ~/a, ~/b"):
        adoption.propose(several)


@pytest.mark.parametrize(
    "command",
    [
        lambda cluster: cluster.plan(),
        lambda cluster: cluster.apply(),
        lambda cluster: cluster.drift(),
        lambda cluster: cluster.generate(),
        lambda cluster: cluster.lock_providers(),
        lambda cluster: cluster.guard(),
        lambda cluster: cluster.destroy(),
        lambda cluster: cluster.resize("driver", "r5.2xlarge"),
        lambda cluster: cluster.iam(),
        lambda cluster: cluster.set_schedule("cron(0 3 ? * SUN *)"),
    ],
)
def test_what_needs_terraform_says_why_it_cannot_work_and_what_can(
    command: Callable[[Cluster], object], world: World
) -> None:
    with pytest.raises(ConfigError) as caught:
        command(world.cluster())
    assert caught.value.what.startswith("pio-tf.hcl:")
    assert "instances that exist already" in caught.value.what
    assert "there is no Terraform" in caught.value.cause
    assert "`pio-tf up`" in caught.value.next_step
    assert world.states() == {"stopped"}


@pytest.mark.parametrize("command", [lambda cluster: cluster.generate_image(), lambda cluster: cluster.provision()])
def test_what_installs_software_leaves_that_of_these_machines_alone(
    command: Callable[[Cluster], object], world: World
) -> None:
    with pytest.raises(ConfigError, match="instances that exist already") as caught:
        command(world.cluster())
    assert "leaves the software of such machines as it is" in caught.value.cause
    assert "failsafe.self_stop = true" in caught.value.next_step
