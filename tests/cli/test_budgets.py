"""What commands may ask of others: counts, which no busy computer changes. ``make bench`` measures seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from scripts.bench.counting import run_counted
from tests.support.outputs_sample import OUTPUTS
from tests.support.plan_files import plan_file
from tests.support.plan_json import change, machine, plan
from tests.support.shell import Project, clean_environment, ec2
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws
    from scripts.bench.counting import Counted

PARSER = frozenset({"hcl2", "lark"})
"""Needed only for a pio-tf.hcl that is not plain."""
AWS = frozenset({"boto3", "botocore.session", "urllib3"})
SSH = frozenset({"asyncssh", "cryptography"})
PLANS = frozenset({"pio_tf.infra.planner", "pio_tf.infra.policy"})
POWER = frozenset({"pio_tf.cluster.power", "pio_tf.cluster.driver", "asyncio"})
CHECKS = frozenset({"pathspec", "pio_tf.cluster.stack", "pio_tf.training.preflight", "pio_tf.training.proof"})
"""Needed only to train, or to change the cluster."""
OTHERS = frozenset({"moto", "pio_tf.sandbox.aws"})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws) -> Project:
    """Return a cluster of machines that are stopped, with a state that no Terraform has written."""
    project = Project(tmp_path_factory.mktemp("budgets"), url=aws.url)
    project.write()
    client = ec2(aws.url)
    machines = {}
    for name in ("driver", "master", "worker-1"):
        role = name.partition("-")[0]
        tags = {"pio-tf:cluster": "trial", "pio-tf:machine": name, "pio-tf:role": role, "Name": f"trial-{name}"}
        (made,) = client.run_instances(
            ImageId="ami-0a1b2c3d4e5f60718",
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )["Instances"]
        machines[name] = {"role": role, "id": made["InstanceId"], "private_ip": made["PrivateIpAddress"], "eip": None}
    ids = [str(machine["id"]) for machine in machines.values()]
    client.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    client.stop_instances(InstanceIds=ids)
    client.get_waiter("instance_stopped").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    outputs = {
        name: {"value": value, "type": "dynamic"}
        for name, value in {"cluster": "trial", "region": "us-east-1", "machines": machines}.items()
    }
    stack = project.directory / ".pio-tf" / "trial" / "stack"
    stack.mkdir(parents=True)
    state = {"version": 4, "lineage": "a", "serial": 1, "outputs": outputs, "resources": []}
    (stack / "terraform.tfstate").write_text(json.dumps(state))
    return project


def run(directory: Path, *arguments: str) -> Counted:
    counted = run_counted(["pio-tf", *arguments], environment=clean_environment(), directory=directory)
    assert counted.exit_code == 0, counted.output
    return counted


@pytest.mark.parametrize(
    ("command", "requests", "avoided"),
    [
        ("output", 0, PARSER | AWS | SSH | PLANS | POWER | OTHERS),
        ("config show pio-env.sh", 0, PARSER | AWS | SSH | PLANS | POWER | OTHERS),
        ("config show", 2, PARSER | SSH | PLANS | POWER | OTHERS | {"boto3"}),
        ("status", 1, PARSER | SSH | PLANS | CHECKS | OTHERS | {"boto3"}),
    ],
)
def test_a_command_on_a_cluster_imports_and_asks_no_more_than_it_needs(
    project: Project, command: str, requests: int, avoided: frozenset[str]
) -> None:
    counted = run(project.directory, *command.split())
    assert counted.modules & avoided == set()
    assert len(counted.requests) == requests
    assert counted.programs == ()


def test_a_plain_file_is_read_with_the_validator_of_the_whole_file_alone(project: Project) -> None:
    code = (
        "from pio_tf.config.load import load_config\n"
        "from pio_tf.config.blocks import Block\n"
        "load_config()\n"
        "print(*(block.__name__ for block in Block.__subclasses__() if block.__pydantic_complete__))\n"
    )
    counted = run_counted(["-c", code], environment=clean_environment(), directory=project.directory)
    assert counted.output.split() == ["Config"]


def test_what_stops_the_machines_is_imported_before_a_training_begins(project: Project) -> None:
    """A run lasts for hours: meanwhile, another pio-tf may be installed in the place of this one."""
    code = (
        "from pio_tf.cluster.cluster import Cluster\n"
        "from pio_tf.cluster.training_session import TrainingSession\n"
        "TrainingSession(Cluster.load()._command(), keep_up=None)\n"
    )
    counted = run_counted(["-c", code], environment=clean_environment(), directory=project.directory)
    assert counted.exit_code == 0, counted.output
    assert counted.modules >= POWER | {"pio_tf.machines.power"}


def test_a_training_imports_few_dataclasses(tmp_path: Path) -> None:
    """Python compiles the methods of each when its module is imported: half a millisecond."""
    code = (
        "import sys\n"
        "import pio_tf.cli.results.runs, pio_tf.cluster.stack, pio_tf.cluster.training_session\n"
        "ours = [module for name, module in sys.modules.items() if name.startswith('pio_tf')]\n"
        "kinds = {kind for module in ours for kind in vars(module).values() if isinstance(kind, type)}\n"
        "print(*(kind.__name__ for kind in kinds if hasattr(kind, '__dataclass_fields__')))\n"
    )
    counted = run_counted(["-c", code], environment=clean_environment(), directory=tmp_path)
    assert counted.exit_code == 0, counted.output
    assert "MachineOutput" in counted.output
    assert len(counted.output.split()) < 25


def test_a_program_that_imports_cluster_gets_what_reads_a_file_alone(tmp_path: Path) -> None:
    counted = run_counted(["-c", "from pio_tf import Cluster"], environment=clean_environment(), directory=tmp_path)
    assert counted.exit_code == 0, counted.output
    assert counted.modules & (PARSER | AWS | SSH | PLANS | POWER | OTHERS) == set()


def test_what_connects_to_the_driver_starts_no_other_program(tmp_path: Path) -> None:
    modules = ("cluster.driver", "remote.ssh", "training.custody.custody", "training.runs.driver_runs")
    code = "import " + ", ".join(f"pio_tf.{name}" for name in modules)
    counted = run_counted(["-c", code], environment=clean_environment(), directory=tmp_path)
    assert "asyncssh" in counted.modules
    assert counted.modules & CHECKS == set()
    assert counted.programs == ()


@pytest.mark.parametrize(
    ("work", "runs"),
    [("plan()", ["plan", "show"]), ("apply(deployment.plan())", ["plan", "show", "apply", "output"])],
)
def test_terraform_runs_no_more_often_than_its_answers_are_needed(tmp_path: Path, work: str, runs: list[str]) -> None:
    """A script is asked for its version each time; a program only once, and it is initialised once."""
    stand_in = TerraformStandIn(tmp_path)
    show = plan(change("aws_instance", after=machine()))
    stand_in.prints(show=json.dumps(show).encode(), output=json.dumps(OUTPUTS).encode())
    assert terraform_runs(stand_in, work) == ["version", "init", *runs]


def test_a_plan_without_changes_is_shown_without_terraform(tmp_path: Path) -> None:
    stand_in = TerraformStandIn(tmp_path)
    stand_in.prints(show=plan_file({}, {}, state=json.dumps({"version": 4, "resources": []})), status=0)
    assert terraform_runs(stand_in, "plan()") == ["version", "init", "plan"]


def terraform_runs(stand_in: TerraformStandIn, work: str) -> list[str]:
    """Return the subcommands that a new process runs to do something with the deployment."""
    code = (
        "from pio_tf.config.load import load_config\n"
        "from pio_tf.infra.deployment import Deployment\n"
        f"deployment = Deployment(load_config({str(stand_in.config.path)!r}))\n"
        f"deployment.{work}\n"
    )
    counted = run_counted(["-c", code], environment=clean_environment(), directory=stand_in.config.path.parent)
    assert counted.exit_code == 0, counted.output
    return list(counted.terraform_runs)
