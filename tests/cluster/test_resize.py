"""`pio-tf resize`: another type of the list, on purpose, for machines that are stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from msgspec.structs import replace

from pio_tf import Cluster, MachineSize
from pio_tf.errors import ConfigError, GuardRefused, Locked, NotReady, PioTfError
from tests.support.builders import make_config
from tests.support.instances import make_cluster
from tests.support.no_machines import no_machines
from tests.support.recording_aws import RecordingAws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.cluster.objects import ClusterObjects
    from pio_tf.cluster.resize import Resizer

TYPES = {"instance_types": ["r3.xlarge", "r5.2xlarge", "x1.16xlarge"]}


@pytest.fixture(scope="module")
def aws() -> Iterator[RecordingAws]:
    with RecordingAws(transition_seconds=0.1) as running:
        boto3.client(
            "s3", "us-east-1", endpoint_url=running.url, aws_access_key_id="x", aws_secret_access_key="x"
        ).create_bucket(Bucket="runs")
        yield running


class World:
    """A cluster of two workers, of type r3.xlarge, stopped."""

    def __init__(self, aws: RecordingAws, directory: Path) -> None:
        self.url, self.directory = aws.url, directory
        self.name = directory.name[-12:].strip("-_").replace("_", "-")
        (directory / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
        objects = self.objects()
        self.outputs = make_cluster(objects.context.ec2, self.name, workers=2)
        objects.fleet.stop(objects.fleet.look().machines)

    def objects(self, **blocks: dict[str, Any]) -> ClusterObjects:
        """Return the objects of one command."""
        aws = {
            "region": "us-east-1",
            "endpoint_url": self.url,
            "credentials_file": str(self.directory / "credentials"),
        }
        config = make_config(self.directory, aws=aws, cluster={"name": self.name}, **blocks)
        return Cluster(config, environ={}, open_session=no_machines)._command()

    def resizer(self, **blocks: dict[str, Any]) -> Resizer:
        given = {"driver": TYPES, "spark": TYPES, **blocks}
        return replace(self.objects(**given).resizer, outputs=lambda: self.outputs)

    def types(self) -> dict[str, str]:
        return {machine.name: machine.instance_type for machine in self.objects().fleet.look().machines}


@pytest.fixture
def world(aws: RecordingAws, tmp_path: Path) -> World:
    return World(aws, tmp_path)


def test_a_plan_names_memory_cores_and_price_and_changes_nothing(world: World) -> None:
    (planned,) = world.resizer().plan("driver", "r5.2xlarge")
    assert planned.before == MachineSize("r3.xlarge", 31232, 4, 0.333)
    assert planned.after == MachineSize("r5.2xlarge", 65536, 8, 0.504)
    assert set(world.types().values()) == {"r3.xlarge"}


def test_a_type_without_a_price_has_none_unless_pio_tf_hcl_gives_it(world: World) -> None:
    (planned,) = world.resizer().plan("driver", "x1.16xlarge")
    assert planned.after.hourly_usd is None
    (planned,) = world.resizer(guard={"hourly_prices": {"x1.16xlarge": 6.669}}).plan("driver", "x1.16xlarge")
    assert planned.after.hourly_usd == 6.669


def test_one_machine_or_all_workers_get_the_type_once(world: World) -> None:
    world.resizer().apply("worker-1", "r5.2xlarge")
    assert world.types()["worker-1"] == "r5.2xlarge"
    assert [one.machine.name for one in world.resizer().apply("workers", "r5.2xlarge")] == ["worker-2"]
    assert world.resizer().apply("workers", "r5.2xlarge") == ()
    changed = {"worker-1": "r5.2xlarge", "worker-2": "r5.2xlarge"}
    assert world.types() == {"driver": "r3.xlarge", "master": "r3.xlarge", **changed}


def test_heaps_and_cores_follow_the_new_type(world: World) -> None:
    world.resizer().apply("driver", "r5.2xlarge")
    fleet = world.objects().fleet
    assert fleet.sizing(fleet.look().machines).driver_memory == "56599m"


@pytest.mark.parametrize(
    ("blocks", "name", "kind", "error", "said"),
    [
        ({}, "worker-9", "r5.2xlarge", ConfigError, "has no machine 'worker-9'"),
        ({}, "driver", "r5.4xlarge", ConfigError, "driver.instance_types does not name r5.4xlarge"),
        (
            {"driver": {"instance_type": "r3.xlarge"}, "spark": {"instance_type": "r3.xlarge"}},
            "driver",
            "r5.2xlarge",
            ConfigError,
            'write instance_type = "r5.2xlarge" and run `pio-tf apply`',
        ),
        (
            {"guard": {"instance_types": ["r3.*"]}},
            "driver",
            "r5.2xlarge",
            GuardRefused,
            "guard.instance_types allows r3.*",
        ),
        (
            {"driver": {"instance_types": ["r3.xlarge", "m6g.xlarge"]}},
            "driver",
            "m6g.xlarge",
            ConfigError,
            "m6g.xlarge is arm64",
        ),
    ],
)
def test_a_type_that_the_machine_must_not_have_is_refused(
    world: World, blocks: dict[str, Any], name: str, kind: str, error: type[PioTfError], said: str
) -> None:
    with pytest.raises(error) as caught:
        world.resizer(**blocks).apply(name, kind)
    assert said in str(caught.value)
    assert set(world.types().values()) == {"r3.xlarge"}


def test_a_waived_rule_lets_the_type_through(world: World) -> None:
    guard = {"instance_types": ["r3.*"], "waive": {"PTF011": {"reason": "one large training"}}}
    world.resizer(guard=guard).apply("driver", "r5.2xlarge")
    assert world.types()["driver"] == "r5.2xlarge"


def test_a_machine_that_runs_keeps_its_type_and_what_it_does(world: World) -> None:
    driver = world.outputs.driver.instance_id
    world.objects().context.ec2.start_instances(InstanceIds=[driver])
    with pytest.raises(NotReady) as caught:
        world.resizer().apply("driver", "r5.2xlarge")
    assert caught.value.next_step == "pio-tf down"
    assert caught.value.details["machines"] == [driver]
    assert world.types()["driver"] == "r3.xlarge"


def test_nothing_changes_while_another_client_trains(world: World) -> None:
    state = {"backend": {"type": "s3", "arguments": {"bucket": "runs"}}}
    other = world.objects(terraform=state).storage.lock
    assert other is not None
    other.take("run-1")
    with pytest.raises(Locked):
        world.resizer(terraform=state).apply("driver", "r5.2xlarge")
    assert world.types()["driver"] == "r3.xlarge"
    other.release()
    world.resizer(terraform=state).apply("driver", "r5.2xlarge")
    assert world.types()["driver"] == "r5.2xlarge"
