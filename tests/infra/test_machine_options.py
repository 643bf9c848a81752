"""The options of the machines block, with the real provider: each changes machines in place, never by a replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from tests.support.deployments import deployment, stop_all
from tests.support.site import REGION, Site

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from pio_tf.infra.plan import Plan
    from pio_tf.sandbox.aws import LocalAws

TOPIC = "arn:aws:sns:us-east-1:123456789012:trainings"
MADE = """\
machines {
  make_instance_profile = true
}
notify {
  sns_topic = "%s"
}
software {
  mirrors = ["s3://archives/pio-tf", "https://archive.apache.org/dist"]
}
"""


def iam(site: Site) -> Any:  # noqa: ANN401 - boto3 makes it
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    return session.client("iam", endpoint_url=site.url)


def apply(site: Site, more: str) -> Plan:
    """Apply a plan, and make sure that the next one is empty, as it is while the machines are off."""
    made = deployment(site.write(more=more))
    plan = made.plan()
    made.apply(plan)
    assert made.plan().changes == ()
    return plan


def profiles(site: Site) -> set[str]:
    found = site.instances().values()
    return {one.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2] for one in found}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Site:
    site = Site(directory=tmp_path_factory.mktemp("options"), name="options", url=aws.url, mirror=mirror)
    apply(site, "")
    return site


def test_existing_machines_get_a_profile_in_place_with_the_permissions_that_they_use(site: Site) -> None:
    plan = apply(site, MADE % TOPIC)
    assert {one.actions for one in plan.changes if one.machine} == {("update",)}
    assert profiles(site) == {"pio-ec2-options-us-east-1"}
    document = iam(site).get_role_policy(RoleName="pio-ec2-options-us-east-1", PolicyName="machines")["PolicyDocument"]
    assert [(one["Action"], one["Resource"]) for one in document["Statement"]] == [
        (["s3:GetObject"], ["arn:aws:s3:::archives/pio-tf/*"]),
        (["sns:Publish"], [TOPIC]),
    ]
    assert deployment(site.write(more=MADE % TOPIC)).drift() == ()


def test_machines_that_are_off_get_another_profile_in_place(site: Site) -> None:
    iam(site).create_instance_profile(InstanceProfileName="ours")
    stop_all(site)
    plan = apply(site, 'machines {\n  instance_profile = "ours"\n}')
    assert {one.actions for one in plan.changes if one.machine} == {("update",)}
    assert profiles(site) == {"ours"}
    assert {one["State"]["Name"] for one in site.instances().values()} == {"stopped"}
