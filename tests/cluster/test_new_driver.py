"""A driver with a PredictionIO that its Spark cannot run is refused before there is a machine to pay for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.errors import ConfigError
from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG
from tests.cluster.support import Aws
from tests.support.no_machines import no_machines
from tests.support.provider_scripts import TERRAFORM
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as aws:
        yield aws


def plan(aws: Aws, directory: Path) -> None:
    project = Project(directory, name="pair", url=aws.url)
    environ = {"PATH": str(TERRAFORM.parent), "HOME": str(directory)}
    config = Cluster.load(project.write(spark=SPARK), environ=environ).config
    Cluster(config, environ=environ, open_session=no_machines).plan()


SPARK = 'version = "2.4.8"\nami = "ami-0000000000000000f"'
"""An image that does not exist: the check after this one refuses it, before Terraform runs."""


def test_a_new_driver_is_refused_before_anything_is_created(aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is built for Spark 2\.1\.3, and does not run on Spark 2\.4\.8"):
        plan(aws, tmp_path)


def test_a_driver_that_exists_may_have_another_build(aws: Aws, tmp_path: Path) -> None:
    tags = {CLUSTER_TAG: "pair", MACHINE_TAG: "driver", ROLE_TAG: "driver"}
    ec2(aws.url).run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )
    with pytest.raises(ConfigError, match="ami-0000000000000000f"):
        plan(aws, tmp_path)
