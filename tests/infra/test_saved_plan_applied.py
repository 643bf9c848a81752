"""A plan that one job saves and another applies, with the state in S3: from the first machine to drift.

Its tests share one cluster, in the order in which they stand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError, GuardRefused, TerraformError
from pio_tf.events import Step
from pio_tf.infra.plan_transfer import save_plan
from pio_tf.infra.saved_plan import prepare_directory
from tests.infra.saved_plans import cluster, edited, fresh_checkout, manifest
from tests.support.deployments import Recorder, deployment, stop_all
from tests.support.shell import ec2
from tests.support.site import Site
from tests.support.state_bucket import make_bucket, with_backend

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.sandbox.aws import LocalAws


class Team:
    """A repository, and the checkouts of its jobs."""

    def __init__(self, site: Site, jobs: Path) -> None:
        self.site = site
        self.jobs = jobs
        self.bucket = make_bucket(site.url)
        self.config = with_backend(site, self.bucket.name)
        self.key = "pio-tf/team/terraform.tfstate"
        self.plans = jobs / "plans"

    def job(self, name: str, *edits: tuple[str, str]) -> Config:
        """Make a fresh checkout, with these edits of pio-tf.hcl."""
        config = fresh_checkout(self.config, self.jobs / name)
        for old, new in edits:
            config = edited(config, old, new)
        return config

    def states(self) -> set[str]:
        return {instance["State"]["Name"] for instance in self.site.instances().values()}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Team:
    site = Site(directory=tmp_path_factory.mktemp("repository"), name="team", url=aws.url, mirror=mirror)
    return Team(site, tmp_path_factory.mktemp("jobs"))


def test_what_one_job_has_planned_another_applies(team: Team) -> None:
    first = team.plans / "first"
    planned = cluster(team.job("plan")).plan(first)
    assert manifest(first).state.backend == "s3"
    assert team.site.instances() == {}

    outputs = cluster(team.job("apply")).apply(first)

    assert [machine.name for machine in outputs.machines] == ["driver", "master", "worker-1"]
    assert sorted(planned.new_machines) == sorted(team.site.instances()) == ["driver", "master", "worker-1"]
    assert (first / "plan.tfplan").exists()


def test_it_cannot_be_applied_twice(team: Team) -> None:
    before = team.site.instances()
    with pytest.raises(GuardRefused, match=r"lineage of the state: none in .* \(something was applied since\)"):
        cluster(team.job("again")).apply(team.plans / "first")
    assert team.site.instances() == before


def test_a_saved_plan_without_changes_changes_nothing(team: Team) -> None:
    before = team.site.instances()
    config = team.job("nothing")
    saved = team.plans / "nothing"
    assert cluster(config).plan(saved).has_changes is False
    assert "no changes" in (saved / "plan.md").read_text().splitlines()[1]

    recorder = Recorder()
    cluster(config, recorder).apply(saved)

    assert not any(isinstance(event, Step) and event.message.startswith("Applying") for event in recorder.events)
    assert team.site.instances() == before


def test_power_is_no_drift(team: Team) -> None:
    config = team.job("drift")
    assert cluster(config).drift() == ()
    stop_all(team.site)
    assert cluster(config).drift() == ()
    assert not list(config.work_dir.glob("*.tfplan"))


def test_an_opened_port_and_a_changed_type_are_drift(team: Team) -> None:
    client = ec2(team.site.url)
    driver = team.site.instances()["driver"]
    group = driver["SecurityGroups"][0]["GroupId"]
    opened = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    client.authorize_security_group_ingress(GroupId=group, IpPermissions=[opened])  # type: ignore[list-item]
    client.modify_instance_attribute(InstanceId=driver["InstanceId"], InstanceType={"Value": "m5.xlarge"})

    found = {one.type: one for one in cluster(team.job("found")).drift()}

    assert sorted(found) == ["aws_instance", "aws_security_group"]
    assert found["aws_instance"].machine == "driver"
    (difference,) = found["aws_instance"].differences
    assert (difference.name, difference.before, difference.after) == ("instance_type", "m5.large", "m5.xlarge")
    assert [one.name for one in found["aws_security_group"].differences] == ["ingress"]

    client.revoke_security_group_ingress(GroupId=group, IpPermissions=[opened])  # type: ignore[list-item]
    client.modify_instance_attribute(InstanceId=driver["InstanceId"], InstanceType={"Value": "m5.large"})
    assert cluster(team.job("mended")).drift() == ()


def test_applying_a_saved_plan_leaves_the_power_as_it_was(team: Team) -> None:
    saved = team.plans / "bigger"
    change = ("workers = 1", 'workers = 1\nmaster_instance_type = "m5.xlarge"')
    cluster(team.job("bigger", change)).plan(saved)
    assert '`instance_type`: `"m5.large"` → `"m5.xlarge"`' in (saved / "plan.md").read_text()
    assert "Terraform stops and starts it" in (saved / "plan.md").read_text()

    cluster(team.job("bigger-applied", change)).apply(saved)

    assert team.site.instances()["master"]["InstanceType"] == "m5.xlarge"
    assert team.states() == {"stopped"}


REPLACING = ('cidr = "127.77.0.0/24"', 'cidr = "127.77.0.0/24"\nfirst_host = 90')


def test_a_refused_plan_leaves_what_people_read_and_nothing_to_apply(team: Team) -> None:
    saved = team.plans / "refused"
    with pytest.raises(GuardRefused, match="the plan would replace 3 machines"):
        cluster(team.job("refused", REPLACING)).plan(saved)

    assert sorted(path.name for path in saved.iterdir()) == ["plan.json", "plan.md"]
    text = (saved / "plan.md").read_text()
    assert "### pio-tf plan for `team`: refused" in text
    assert "(worker-1) would be replaced: private_ip cannot change on an existing resource" in text
    with pytest.raises(ConfigError, match=r"the plan was refused, as plan\.md says"):
        cluster(team.job("refused-applied", REPLACING)).apply(saved)


def test_the_guard_reads_the_plan_file_itself_before_it_is_applied(team: Team) -> None:
    """The plan was saved without being judged."""
    before = team.site.instances()
    saved = team.plans / "smuggled"
    smuggler = deployment(team.job("smuggler", REPLACING))
    prepare_directory(saved)
    save_plan(smuggler, smuggler.draft(), saved, account="123456789012", who="nobody")

    with pytest.raises(GuardRefused, match="the plan would replace 3 machines: refused, nothing was changed"):
        cluster(team.job("smuggled", REPLACING)).apply(saved)

    assert team.site.instances() == before


def test_a_plan_that_terraform_itself_finds_stale_is_reported(team: Team) -> None:
    """The state moves between our look at it and Terraform's."""
    planned = deployment(team.job("late", ("workers = 1", "workers = 2")))
    plan = planned.plan()
    state = json.loads(team.bucket.read(team.key))
    team.bucket.write(team.key, json.dumps({**state, "serial": state["serial"] + 1}))

    with pytest.raises(TerraformError, match="Saved plan is stale") as caught:
        planned.apply(plan)

    assert "make a new plan" in caught.value.next_step
