"""A cluster whose machines may have several types: another one of the list is no change and no drift.

Its tests share one applied cluster, and go through its life in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.plan_transfer import open_saved_plan, save_plan
from pio_tf.infra.saved_plan import prepare_directory, read_saved_plan
from tests.support.deployments import deployment, stop_all
from tests.support.shell import ec2
from tests.support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws

NETWORK = 'cidr = "127.77.41.0/24"'
TYPES = 'instance_types = ["m5.large", "m5.xlarge"]'
ONE = 'instance_type = "m5.large"'
TAGGED = "workers = 1\nroot_volume_gib = 60"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Site:
    """Create a cluster of one type, off; then let pio-tf.hcl name a second one."""
    site = Site(directory=tmp_path_factory.mktemp("types"), name="types", url=aws.url, mirror=mirror)
    made = deployment(site.write(network=NETWORK, types=ONE))
    made.apply(made.plan())
    stop_all(site)
    return site


def set_type(site: Site, machine: str, kind: str) -> None:
    client = ec2(site.url)
    client.modify_instance_attribute(InstanceId=site.instances()[machine]["InstanceId"], InstanceType={"Value": kind})


def test_a_list_with_the_present_type_changes_nothing(site: Site) -> None:
    plan = deployment(site.write(network=NETWORK, types=TYPES)).plan()
    assert (plan.has_changes, plan.changes) == (False, ())


def test_another_type_of_the_list_is_neither_a_change_nor_drift(site: Site) -> None:
    set_type(site, "worker-1", "m5.xlarge")
    cluster = deployment(site.write(network=NETWORK, types=TYPES))
    plan = cluster.plan()
    assert (plan.has_changes, plan.changes) == (False, ())
    assert cluster.drift() == ()


def test_a_type_that_the_list_does_not_name_is_drift(site: Site) -> None:
    set_type(site, "worker-1", "r5.xlarge")
    (found,) = deployment(site.write(network=NETWORK, types=TYPES)).drift()
    assert (found.machine, [one.name for one in found.differences]) == ("worker-1", ["instance_type"])
    set_type(site, "worker-1", "m5.xlarge")


def test_a_saved_plan_from_before_another_type_changes_what_was_reviewed_and_not_the_type(
    site: Site, tmp_path: Path
) -> None:
    config = site.write(network=NETWORK, types=TYPES, spark=TAGGED)
    cluster = deployment(config)
    prepare_directory(tmp_path)
    plan = cluster.plan()
    assert {(one.machine, one.reasons) for one in plan.changes} == {
        ("master", ("root_block_device",)),
        ("worker-1", ("root_block_device",)),
    }
    save_plan(cluster, plan, tmp_path, account="123456789012", who="a")
    set_type(site, "master", "m5.xlarge")

    again = deployment(config)
    again.apply(open_saved_plan(again, read_saved_plan(tmp_path), account="123456789012"))

    types = {name: one["InstanceType"] for name, one in site.instances().items()}
    assert types == {"driver": "m5.large", "master": "m5.xlarge", "worker-1": "m5.xlarge"}
    stop_all(site)
    assert deployment(config).plan().changes == ()


def test_one_type_alone_is_terraform_s_to_set(site: Site) -> None:
    plan = deployment(site.write(network=NETWORK, types=ONE, spark=TAGGED)).plan()
    assert {(one.machine, one.reasons) for one in plan.changes} == {
        ("master", ("instance_type",)),
        ("worker-1", ("instance_type",)),
    }
