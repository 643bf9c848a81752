"""Machines that may have several types: checked before a start, given the next one where AWS lacks capacity."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from pio_tf import Cluster
from pio_tf.errors import ConfigError, NotReady
from pio_tf.events import Warned
from tests.support.builders import make_config
from tests.support.instances import make_cluster
from tests.support.no_machines import no_machines
from tests.support.sold_out import SoldOutAws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.cluster.fleet import Fleet
    from pio_tf.config.schema import Config
    from pio_tf.events import Event
    from pio_tf.model import Machine

TYPES = ["r3.xlarge", "r5.xlarge", "r6i.xlarge"]


@pytest.fixture(scope="module")
def aws() -> Iterator[SoldOutAws]:
    with SoldOutAws(transition_seconds=0.1) as running:
        yield running


class World:
    """A stopped cluster of two workers, of type r3.xlarge."""

    def __init__(self, aws: SoldOutAws, directory: Path) -> None:
        self.aws = aws
        self.directory = directory
        self.name = directory.name[-12:].strip("-_").replace("_", "-")
        (directory / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
        self.said: list[Event] = []
        fleet = self.fleet()
        self.outputs = make_cluster(fleet._context.ec2, self.name, workers=2)
        time.sleep(0.2)
        fleet.stop(fleet.look().machines)

    def fleet(self, **blocks: dict[str, Any]) -> Fleet:
        """Return the fleet of one command."""
        aws = {
            "region": "eu-west-1",
            "endpoint_url": self.aws.url,
            "credentials_file": str(self.directory / "credentials"),
        }
        cluster = {"name": self.name, "capacity_wait": 0, **blocks.pop("cluster", {})}
        config = make_config(self.directory, aws=aws, cluster=cluster, **blocks)
        return self._of(config)._command().fleet

    def _of(self, config: Config) -> Cluster:
        return Cluster(config, reporter=self.said.append, environ={}, open_session=no_machines)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.said if isinstance(event, Warned)]


@pytest.fixture
def world(aws: SoldOutAws, tmp_path: Path) -> Iterator[World]:
    aws.sold_out = frozenset()
    yield World(aws, tmp_path)
    aws.sold_out = frozenset()


def start(fleet: Fleet) -> None:
    fleet.start(fleet.look().machines, workers=2, before_call=lambda: None)


def types(fleet: Fleet) -> dict[str, str]:
    return {machine.name: machine.instance_type for machine in fleet.look().machines}


def test_a_sold_out_type_is_replaced_and_heaps_follow_the_machines_that_run(world: World) -> None:
    world.aws.sold_out = frozenset({"r3.xlarge"})
    fleet = world.fleet(driver={"instance_types": ["r3.xlarge", "r5.2xlarge"]})
    assert fleet.sizing(fleet.look().machines).driver_memory == "26972m"
    start(fleet)
    assert types(fleet) == {
        "driver": "r5.2xlarge",
        "master": "r5.xlarge",
        "worker-1": "r5.xlarge",
        "worker-2": "r5.xlarge",
    }
    sizing = fleet.sizing(fleet.look().machines)
    assert (sizing.driver_memory, sizing.executor_memory, sizing.executor_cores) == ("56599m", "28299m", 4)


def test_one_type_alone_waits_as_ever(world: World) -> None:
    world.aws.sold_out = frozenset({"r3.xlarge"})
    one = {"instance_type": "r3.xlarge"}
    with pytest.raises(NotReady) as caught:
        start(world.fleet(driver=one, spark=one))
    assert caught.value.details["lacking"] == "r3.xlarge in eu-west-1a (driver, master, worker-1, worker-2)"
    assert set(types(world.fleet()).values()) == {"r3.xlarge"}


def test_a_list_that_is_sold_out_leaves_all_stopped_and_names_each_type(world: World) -> None:
    world.aws.sold_out = frozenset(TYPES)
    fleet = world.fleet()
    with pytest.raises(NotReady) as caught:
        start(fleet)
    assert caught.value.exit_code == 5
    assert str(caught.value.details["lacking"]).startswith("r3.xlarge or r5.xlarge or r6i.xlarge in eu-west-1a (driver")
    assert {machine.state for machine in fleet.look().machines} == {"stopped"}


def test_a_worker_that_no_type_of_the_list_has_room_for_may_be_lacking(world: World) -> None:
    world.aws.sold_out = frozenset({"m5.large", "m5.xlarge"})
    client = world.fleet()._context.ec2
    lacking = world.outputs.workers[1].instance_id
    client.modify_instance_attribute(InstanceId=lacking, InstanceType={"Value": "m5.large"})
    fleet = world.fleet(spark={"instance_types": ["m5.large", "m5.xlarge"], "min_workers": 1})
    start(fleet)
    assert world.warnings[-1] == (
        "continuing with 1 of 2 workers (spark.min_workers is 1): AWS has no capacity for m5.large or m5.xlarge in "
        "eu-west-1a (worker-2)"
    )


def test_a_machine_without_ena_takes_no_type_that_needs_it_and_a_list_that_names_one_is_refused(world: World) -> None:
    fleet = world.fleet(driver={"instance_types": ["r3.xlarge", "r5.xlarge"]})
    old = [without_ena(machine) for machine in fleet.look().machines]
    with pytest.raises(ConfigError) as caught:
        fleet.types_for(old)
    driver = world.outputs.driver.instance_id
    assert caught.value.what == (
        f"pio-tf.hcl: driver.instance_types: driver ({driver}) can't run as r5.xlarge: r5.xlarge needs enhanced "
        "networking (ENA), which it does not support"
    )
    assert set(world.fleet().types_for(old).values()) == {("r3.xlarge",)}  # the default
    assert set(world.fleet().types_for(fleet.look().machines).values()) == {tuple(TYPES)}


def test_the_default_takes_no_type_that_the_guard_does_not_allow(world: World) -> None:
    fleet = world.fleet(guard={"instance_types": ["r3.*", "r6i.*"]})
    assert set(fleet.types_for(fleet.look().machines).values()) == {("r3.xlarge", "r6i.xlarge")}


def test_a_machine_with_a_type_that_pio_tf_hcl_does_not_name_is_told_with_the_command(world: World) -> None:
    fleet = world.fleet(driver={"instance_types": ["r5.2xlarge", "r6i.2xlarge"]})
    fleet.warn_of_types(fleet.look())
    (warning,) = world.warnings
    assert warning.startswith("driver is r3.xlarge, which driver.instance_types (pio-tf.hcl) does not name: ")


def without_ena(machine: Machine) -> Machine:
    return replace(machine, has_ena=False)
