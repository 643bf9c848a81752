"""Tags and accounts of the AWS provider, with the real provider: what it creates, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.config.load import load_config
from pio_tf.errors import PioTfError
from tests.infra.saved_plans import cluster
from tests.support.deployments import deployment
from tests.support.shell import ec2
from tests.support.site import Site, terraform

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.sandbox.aws import LocalAws

ACCOUNT = "123456789012"
OPTIONS = """
  allowed_account_ids = ["%s"]
  default_tags        = { team = "search" }
  ignore_tags {
    keys         = ["CreatedBy"]
    key_prefixes = ["cost-tool:"]
  }
"""


SCRATCH = 'instance_type = "m5.large"\n  scratch_volume {\n    gib = 10\n  }'


def with_options(site: Site, options: str) -> Config:
    path = site.write(types=SCRATCH, more="machines {\n  tag_disks_at_launch = true\n}").path
    path.write_text(path.read_text().replace("aws {", f"aws {{{options}", 1))
    return load_config(path, environ={})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Site:
    site = Site(directory=tmp_path_factory.mktemp("place"), name="tagged", url=aws.url, mirror=mirror)
    made = deployment(with_options(site, OPTIONS % ACCOUNT))
    made.apply(made.plan())
    return site


def tags(site: Site) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in site.instances()["worker-1"]["Tags"]}


def test_default_tags_are_on_what_is_created_and_a_plan_after_it_is_empty(place: Site) -> None:
    assert tags(place)["team"] == "search"
    client = ec2(place.url)
    for machine in place.instances().values():
        ids = [mapping["Ebs"]["VolumeId"] for mapping in machine["BlockDeviceMappings"]]
        found = [
            {tag["Key"]: tag["Value"] for tag in one["Tags"]}
            for one in client.describe_volumes(VolumeIds=ids)["Volumes"]
        ]
        wanted = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
        assert found == [wanted] * len(ids)
    assert deployment(with_options(place, OPTIONS % ACCOUNT)).plan().changes == ()


def test_tags_that_others_add_are_left_alone(place: Site) -> None:
    added = {"CreatedBy": "ann", "cost-tool:centre": "7"}
    client = ec2(place.url)
    found = place.instances().values()
    volumes = [one["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] for one in found]
    client.create_tags(
        Resources=[*(one["InstanceId"] for one in found), *volumes],
        Tags=[{"Key": name, "Value": value} for name, value in added.items()],
    )
    config = with_options(place, OPTIONS % ACCOUNT)
    assert deployment(config).plan().changes == ()
    assert deployment(config).drift() == ()
    without = (OPTIONS % ACCOUNT).partition("  ignore_tags")[0]
    assert deployment(with_options(place, without)).plan().has_changes
    assert added.items() <= tags(place).items()


def test_no_other_account_is_worked_in(place: Site) -> None:
    config = with_options(place, OPTIONS % "999999999999")
    with pytest.raises(PioTfError, match="999999999999"):
        cluster(config).plan()
    stack = deployment(config).generate()
    environ = {
        "TF_CLI_CONFIG_FILE": str(place.mirror),
        "AWS_SHARED_CREDENTIALS_FILE": str(place.directory / "credentials"),
    }
    plain = terraform("plan", "-no-color", cwd=stack, **environ)
    assert plain.returncode == 1
    assert f"AWS Account ID not allowed: {ACCOUNT}" in " ".join(plain.stderr.split())
