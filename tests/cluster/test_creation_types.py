"""A creation where AWS has no capacity for the first type: the next one is planned and applied, or named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.errors import TerraformError
from pio_tf.events import Warned
from tests.support.deployments import existing_network
from tests.support.no_machines import no_machines
from tests.support.provider_scripts import TERRAFORM
from tests.support.shell import Project
from tests.support.sold_out import SoldOutAws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.events import Event

DRIVER = 'instance_types = ["m5.large", "m5.xlarge"]\nallow_small_memory = true'
SPARK = 'instance_types = ["m5.xlarge", "r5.large", "m5.large"]\nworkers = 1'


@pytest.fixture
def aws() -> Iterator[SoldOutAws]:
    with SoldOutAws(transition_seconds=0.1) as running:
        yield running


class World:
    """A project whose cluster is not created yet."""

    def __init__(self, aws: SoldOutAws, directory: Path, mirror: Path) -> None:
        self.project = Project(directory, name="new", url=aws.url, mirror=mirror)
        network = existing_network(aws.url, "127.77.12.0/24") + "first_host = 10"
        self.path = self.project.write(network=network, driver=DRIVER, spark=SPARK)
        self.said: list[Event] = []

    def cluster(self) -> Cluster:
        environ = {"PATH": str(TERRAFORM.parent), "HOME": str(self.project.directory)}
        config = Cluster.load(self.path, environ=environ).config
        return Cluster(config, reporter=self.said.append, environ=environ, open_session=no_machines)

    def types(self) -> dict[str, str]:
        found = self.cluster()._command().fleet.look().machines
        return {machine.name: machine.instance_type for machine in found}

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.said if isinstance(event, Warned)]


@pytest.fixture
def world(aws: SoldOutAws, tmp_path: Path, mirror: Path) -> World:
    return World(aws, tmp_path, mirror)


def test_a_creation_takes_the_next_types_and_the_plan_after_it_is_empty(aws: SoldOutAws, world: World) -> None:
    aws.sold_out = frozenset({"m5.xlarge", "r5.large"})
    world.cluster().apply()
    assert world.types() == {"driver": "m5.large", "master": "m5.large", "worker-1": "m5.large"}
    first, second = (line for line in world.warnings if "no capacity" in line)
    assert first == (
        "AWS has no capacity for new machines: planning r5.large instead of m5.xlarge (master), r5.large instead of "
        "m5.xlarge (worker)"
    )
    assert second.endswith("planning m5.large instead of r5.large (master), m5.large instead of r5.large (worker)")
    assert set(world.project.states().values()) <= {"running", "pending"}
    cluster = world.cluster()
    assert cluster._command().stack.is_applied()
    assert cluster.plan().changes == ()
    world.path.write_text(world.path.read_text().replace(DRIVER, DRIVER.replace('"m5.large"', '"m5.2xlarge"')))
    assert world.cluster().plan().changes == ()
    assert any(line.startswith("driver is m5.large, which driver.instance_types") for line in world.warnings)


def test_a_list_that_is_sold_out_fails_and_the_next_apply_makes_the_rest(aws: SoldOutAws, world: World) -> None:
    aws.sold_out = frozenset({"m5.xlarge", "r5.large"})
    world.path.write_text(world.path.read_text().replace(SPARK, SPARK.replace(', "m5.large"', "")))
    with pytest.raises(TerraformError, match="apply failed") as caught:
        world.cluster().apply()
    assert "InsufficientInstanceCapacity" in caught.value.cause
    assert world.types() == {"driver": "m5.large"}
    assert set(world.project.states().values()) <= {"stopped", "stopping"}


def test_a_saved_plan_takes_no_other_type_and_names_the_next_step(aws: SoldOutAws, world: World) -> None:
    saved = world.project.directory / "saved"
    world.cluster().plan(saved)
    aws.sold_out = frozenset({"m5.xlarge"})
    with pytest.raises(TerraformError) as caught:
        world.cluster().apply(saved)
    assert caught.value.next_step.startswith("put r5.large first in spark.instance_types in pio-tf.hcl, or wait; then ")
    assert "make a new plan (`pio-tf plan --out" in caught.value.next_step
    assert set(world.types()) == {"driver"}
