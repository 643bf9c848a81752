"""`pio-tf adopt` on a local AWS: it reads until the user agrees, and says what it would write and create."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.load import load_config
from tests.support.fork_server import PIO_TF
from tests.support.instances import UBUNTU
from tests.support.recording_aws import ACCOUNT, REGION, RecordingAws
from tests.support.shell import Project, clean_environment, service_client
from tests.support.terminal import TerminalUser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("spark-driver", "spark-master", "spark-w1", "spark-w2")
KEY = ("--key", "~/.ssh/team.pem")


@pytest.fixture(scope="module")
def aws() -> Iterator[RecordingAws]:
    with RecordingAws(transition_seconds=0) as running:
        yield running


def client(aws: RecordingAws, service: str) -> Any:  # noqa: ANN401 - boto3 makes them
    return service_client(aws.url, service, region=REGION)


@pytest.fixture(scope="module")
def ids(aws: RecordingAws) -> dict[str, str]:
    ec2, found = client(aws, "ec2"), {}
    for name in NAMES:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
        (made,) = ec2.run_instances(
            ImageId=UBUNTU, InstanceType="r5.xlarge", MinCount=1, MaxCount=1, TagSpecifications=tags
        )["Instances"]
        found[name] = made["InstanceId"]
    ec2.stop_instances(InstanceIds=[*found.values()])  # nothing is behind them that pio-tf could log in to
    return found


@pytest.fixture
def project(tmp_path: Path, aws: RecordingAws) -> Project:
    keys = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    return Project(tmp_path, environment=keys)


def adopt(name: str, *more: str) -> list[str]:
    words = ["adopt", name, "--power-only", "--region", REGION, "--tag", "Name=spark-*"]
    return [*words, "--engine-dir", "/home/aml/ur", *KEY, *more]


def roles(aws: RecordingAws) -> set[str]:
    return {one["RoleName"] for one in client(aws, "iam").list_roles()["Roles"]}


def test_a_dry_run_shows_all_and_asks_aws_only_to_read(
    project: Project, aws: RecordingAws, ids: dict[str, str]
) -> None:
    with aws.recording() as calls:
        done = project.run(*adopt("dry", "--dry-run", "--json"))
    assert {call.operation for call in calls} <= {
        *("GetCallerIdentity", "GetRole", "DescribeInstances", "DescribeInstanceAttribute", "DescribeInstanceTypes"),
        *("DescribeAddresses", "DescribeVolumes"),
    }
    result = json.loads(done.stdout)
    assert (result["written"], result["cluster"]) == (False, "dry")
    assert [one["instance_id"] for one in result["machines"]] == list(ids.values())
    assert 'workers = ["' in done.stderr
    assert "note: the driver does not run: pio-tf has not looked at what is installed" in done.stderr
    assert "create the IAM role pio-tf-dry-us-east-1-i" in done.stderr
    assert not (project.directory / "pio-tf.hcl").exists()


@pytest.mark.usefixtures("ids")
def test_without_a_terminal_nothing_happens_unless_yes_is_given(project: Project, aws: RecordingAws) -> None:
    refused = project.run(*adopt("asked"), exit_code=2)
    assert "give --yes to write without a question, or --dry-run" in refused.stderr
    assert not (project.directory / "pio-tf.hcl").exists()
    assert "pio-tf-asked-us-east-1-i" not in roles(aws)


def test_yes_writes_the_file_and_creates_the_role(project: Project, aws: RecordingAws, ids: dict[str, str]) -> None:
    project.run(*adopt("ur", "--yes"))
    config = load_config(project.directory / "pio-tf.hcl", environ={})
    assert list(config.machines.ids.values()) == list(ids.values())
    assert config.failsafe.role_arn == f"arn:aws:iam::{ACCOUNT}:role/pio-tf/pio-tf-ur-us-east-1-i"
    assert "pio-tf-ur-us-east-1-i" in roles(aws)
    again = project.run(*adopt("ur", "--yes"), exit_code=2)
    assert "pio-tf.hcl exists already" in again.stderr
    moved = project.run("adopt", "ur", "--yes", exit_code=2)  # with Terraform
    assert "write terraform = true into its machines block (pio-tf.hcl:" in moved.stderr


@pytest.mark.usefixtures("ids")
def test_pipelines_that_plan_are_refused_and_a_crontab_is_written(project: Project) -> None:
    project.run(*adopt("jobs", "--no-role", "--yes"))
    refused = project.run("ci", "github", exit_code=2)
    assert "writes jobs that plan and apply, but the machines of jobs are instances" in refused.stderr
    assert not (project.directory / ".github").exists()
    assert "pio-tf-job train" in project.run("ci", "cron", "--stdout").stdout


@pytest.mark.usefixtures("ids")
def test_no_role_means_no_deadline_and_no_call_of_iam(project: Project, aws: RecordingAws) -> None:
    with aws.recording() as calls:
        done = project.run(*adopt("bare", "--no-role", "--yes"))
    assert "iam" not in {call.service for call in calls}
    assert "next: pio-tf up --no-deadline" in done.stderr
    assert load_config(project.directory / "pio-tf.hcl", environ={}).failsafe.role is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--driver", "i-0d", "--driver", "i-0e"), "2 drivers: i-0d, i-0e"),
        (("--driver", "i-0d"), "no instance is named as master, worker"),
        (("--driver", "i-0d", "--master", "i-0d", "--worker", "i-01"), "i-0d is named as driver and as master"),
        (("--role-arn", "arn:aws:iam::123456789012:role/x", "--no-role"), "contradict each other"),
        (("--driver", "driver", "--master", "i-0a", "--worker", "i-01"), "does not exist in account"),
    ],
)
def test_wrong_options_end_before_anything_is_written(project: Project, words: tuple[str, ...], message: str) -> None:
    done = project.run("adopt", "--power-only", "--region", REGION, "--engine-dir", "/ur", *words, "--yes", exit_code=2)
    assert message in done.stderr
    assert not (project.directory / "pio-tf.hcl").exists()


@pytest.mark.usefixtures("ids")
def test_an_engine_without_a_name_is_an_error_where_the_machines_can_not_be_asked(project: Project) -> None:
    words = [word for word in adopt("unknown", "--no-role", "--yes") if word not in ("--engine-dir", "/home/aml/ur")]
    done = project.run(*words, exit_code=2)
    assert "the engine's directory on the driver is not known" in done.stderr
    assert "give --engine-dir PATH" in done.stderr


def test_at_a_terminal_the_instances_are_shown_and_the_user_confirms(
    tmp_path: Path, aws: RecordingAws, ids: dict[str, str]
) -> None:
    keys = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    environment = clean_environment() | keys | {"HOME": str(tmp_path), "TERM": "xterm"}
    words = ["adopt", "typed", "--power-only", "--region", REGION, "--no-role"]
    with TerminalUser([PIO_TF, *words], cwd=tmp_path, env=environment) as user:
        assert "spark-w2" in user.sees("Id of the driver: ")
        user.type(f"{ids['spark-driver']}\n")
        user.sees("Id of Spark's master: ")
        user.type(f"{ids['spark-master']}\n")
        user.sees("Ids of the workers: ")
        user.type(f"{ids['spark-w1']}, {ids['spark-w2']}\n")
        user.sees("Engine's directory on the driver: ")
        user.type("/home/aml/ur\n")
        user.sees("Do so? [y/N]: ")
        user.type("y\n")
        user.sees("next: pio-tf up")
    config = load_config(tmp_path / "pio-tf.hcl", environ={})
    assert config.machines.workers == [ids["spark-w1"], ids["spark-w2"]]
