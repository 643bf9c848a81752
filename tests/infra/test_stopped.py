"""A cluster with every option of its network, off: what a plan says then, and what a change does.

Its tests share one applied cluster, and go through its life in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.deployments import deployment, stop_all
from tests.support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.infra.deployment import Deployment
    from pio_tf.model import Outputs
    from pio_tf.sandbox.aws import LocalAws


NETWORK = """\
cidr              = "127.77.40.0/24"
availability_zone = "us-east-1b"
public_ips        = true
driver_eip        = true
ssh_cidrs         = ["192.0.2.0/24", "198.51.100.7/32"]
first_host        = 40
"""
SPARK = 'workers = 1\nroot_volume_gib = 60\nmaster_instance_type = "m5.xlarge"'


@dataclass(frozen=True)
class Full:
    """The cluster, after its first apply."""

    site: Site
    outputs: Outputs

    def config(self, *, spark: str = SPARK) -> Config:
        return self.site.write(network=NETWORK, spark=spark)

    def deployment(self, *, spark: str = SPARK) -> Deployment:
        return deployment(self.config(spark=spark))

    def public_addresses(self) -> dict[str, str | None]:
        """Return the public address of each machine."""
        return {name: instance.get("PublicIpAddress") for name, instance in self.site.instances().items()}

    def private_addresses(self) -> dict[str, str]:
        return {name: instance["PrivateIpAddress"] for name, instance in self.site.instances().items()}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Full:
    site = Site(directory=tmp_path_factory.mktemp("full"), name="full", url=aws.url, mirror=mirror)
    made = deployment(site.write(network=NETWORK, spark=SPARK))
    return Full(site, made.apply(made.plan()))


def test_a_plan_while_it_runs_finds_no_changes(full: Full) -> None:
    assert all(full.public_addresses().values())
    assert full.deployment().plan().changes == ()


def test_a_plan_while_it_is_off_finds_no_changes(full: Full) -> None:
    stop_all(full.site)
    assert full.public_addresses() == {"driver": full.outputs.driver.eip, "master": None, "worker-1": None}
    plan = full.deployment().plan()
    assert (plan.has_changes, plan.changes) == (False, ())
    assert full.deployment().outputs() == full.outputs


def test_another_instance_type_is_given_to_a_machine_that_is_off_and_nothing_else_changes(full: Full) -> None:
    addresses, volumes = full.private_addresses(), volumes_of(full.site)
    changed = SPARK.replace("m5.xlarge", "m5.2xlarge")

    plan = full.deployment(spark=changed).plan()
    assert [(change.machine, change.actions, change.reasons) for change in plan.changes] == [
        ("master", ("update",), ("instance_type",))
    ]
    outputs = full.deployment(spark=changed).apply(plan)

    assert outputs == full.outputs
    assert full.site.instances()["master"]["InstanceType"] == "m5.2xlarge"
    assert (full.private_addresses(), volumes_of(full.site)) == (addresses, volumes)
    assert full.public_addresses()["driver"] == full.outputs.driver.eip
    stop_all(full.site)  # the provider has started the machine: the command's part is to stop it again
    assert full.deployment(spark=changed).plan().changes == ()


def volumes_of(site: Site) -> dict[str, list[str]]:
    """Return the disks of each machine."""
    return {
        name: [mapping["Ebs"]["VolumeId"] for mapping in instance["BlockDeviceMappings"]]
        for name, instance in site.instances().items()
    }
