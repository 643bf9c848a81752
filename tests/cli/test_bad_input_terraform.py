"""Terraform that is missing, old or failing; a creation that stopped half-way; and commands on what it left."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.provider_scripts import TERRAFORM, terraform_of
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws


@pytest.fixture
def project(tmp_path: Path, aws: LocalAws, mirror: Path) -> Project:
    """Make a directory with a correct pio-tf.hcl for the local AWS, and a provider for its Terraform."""
    project = Project(tmp_path, url=aws.url, mirror=mirror)
    project.write()
    return project


def use_terraform(project: Project, name: str, *, script: str | None = None) -> str:
    """Let pio-tf.hcl name another Terraform; with ``script``, a program in shell. Its place in the file."""
    if script is not None:
        program = project.directory / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    project.write(terraform=f'binary = "{name}"\ncli_config_file = "{project.mirror}"')
    return project.line("binary")


def test_a_terraform_that_is_not_there_is_named_with_where_it_is_configured(project: Project) -> None:
    place = use_terraform(project, "/opt/terraform/bin/terraform")
    for command in ("plan", "up"):
        said = project.fails(command, exit_code=1)
        assert f"{place}: terraform.binary: /opt/terraform/bin/terraform cannot be run" in said
        assert "there is no such program" in said
        assert "pip install 'pio-tf[terraform]'" in said
    assert project.states() == {}


def test_a_terraform_that_may_not_be_run(project: Project) -> None:
    (project.directory / "terraform").write_text("#!/bin/sh\n")
    use_terraform(project, "./terraform")
    said = project.fails("plan", exit_code=1)
    assert "the file is not executable" in said


def test_a_terraform_that_is_too_old_is_named_with_both_versions(project: Project) -> None:
    use_terraform(project, "./terraform", script="echo Terraform v0.12.31")
    said = project.fails("plan", exit_code=1)
    assert "Terraform 0.12.31 is too old: pio-tf needs 1.3.0 or newer" in said
    assert str(project.directory / "terraform") in said


def test_a_program_that_is_no_terraform(project: Project) -> None:
    use_terraform(project, "./terraform", script="echo 'usage: terraform PLANET' >&2; exit 64")
    said = project.fails("plan", exit_code=1)
    assert "is not a Terraform that pio-tf can use" in said
    assert "usage: terraform PLANET" in said
    assert "exit code 64" in said


def test_a_terraform_that_fails_is_quoted_and_a_good_one_plans_after_it(project: Project) -> None:
    use_terraform(
        project,
        "./terraform",
        script=f'[ "$1" = plan ] || exec {TERRAFORM} "$@"\necho "fatal: out of memory in plan" >&2\nexit 99',
    )
    said = project.fails("plan", exit_code=1)
    assert "terraform plan failed" in said
    assert "fatal: out of memory in plan" in said
    assert f"terraform -chdir={project.directory / '.pio-tf' / 'trial' / 'stack'} plan" in said
    project.write()
    done = project.run("plan", "--detailed-exitcode", exit_code=2)
    assert "to create" in done.stdout


def test_a_provider_that_cannot_be_had_is_named_with_what_to_do(project: Project) -> None:
    empty = project.directory / "terraformrc"
    empty.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{project.directory}"\n  }}\n}}\n')
    project.write(terraform=f'binary = "{TERRAFORM}"\ncli_config_file = "terraformrc"')
    said = project.fails("plan", exit_code=1)
    assert "hashicorp/aws" in said
    assert "terraform.cli_config_file" in said


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Project:
    """Create a cluster without its worker, which AWS refuses: another machine has its address."""
    client = ec2(aws.url)
    vpc = client.create_vpc(CidrBlock="127.77.8.0/24")["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock="127.77.8.0/24", AvailabilityZone="us-east-1a")["Subnet"][
        "SubnetId"
    ]
    image = client.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]
    client.run_instances(
        ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1, SubnetId=subnet, PrivateIpAddress="127.77.8.22"
    )
    project = Project(tmp_path_factory.mktemp("half"), name="half", url=aws.url, mirror=mirror)
    project.write(network=f'vpc_id = "{vpc}"\nsubnet_id = "{subnet}"\nfirst_host = 20')
    (project.directory / "id").unlink()  # as in a pipeline that plans and applies, and never logs in
    return project


def test_a_creation_that_stops_half_way_says_what_was_refused_and_what_is_kept(half: Project) -> None:
    said = half.fails("apply", exit_code=1)
    error = said[said.index("error: ") :]
    assert 'module.worker["worker-1"]' in error
    assert "Address 127.77.8.22 is in use" in error
    assert "choose another network.first_host" in error
    assert "what was made so far is in the state" in error
    assert "Stopping the machines that Terraform started: driver, master" in said
    assert half.states() == {"driver": "stopped", "master": "stopped"}


def test_status_shows_the_half_that_there_is_even_without_the_ssh_key(half: Project) -> None:
    client, ids = ec2(half.url or ""), [instance_id for instance_id, _ in half.instances().values()]
    client.start_instances(InstanceIds=ids)  # another client, elsewhere
    client.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    done = half.run("status", "--json")
    machines = json.loads(done.stdout)["machines"]
    assert [machine["name"] for machine in machines] == ["driver", "master"]
    assert {machine["state"] for machine in machines} == {"running"}
    assert f"there is no file {half.directory / 'id'}" in done.stderr


def test_up_without_the_private_key_refuses_before_it_makes_or_starts_anything(half: Project, aws: LocalAws) -> None:
    before = aws.calls["ec2", "RunInstances"]
    for command in ("up", "train"):
        said = half.fails(command, exit_code=2)
        assert f"{half.line('key = ')}: ssh.key: there is no file {half.directory / 'id'}" in said
    assert aws.calls["ec2", "RunInstances"] == before


def test_down_stops_what_it_cannot_ask_for_runs_only_by_force(half: Project) -> None:
    before = half.states()
    said = half.fails("down", exit_code=7)
    assert "may have an active run" in said
    assert "pio-tf down --force" in said
    assert half.states() == before
    assert "could not ask the driver for runs" in half.run("down", "--force").stderr
    assert half.states() == {"driver": "stopped", "master": "stopped"}


def test_apply_makes_the_other_half_once_the_cause_is_mended_and_keeps_the_first(half: Project) -> None:
    client = ec2(half.url or "")
    before = half.instances()
    found = client.describe_instances(Filters=[{"Name": "private-ip-address", "Values": ["127.77.8.22"]}])
    client.terminate_instances(InstanceIds=[found["Reservations"][0]["Instances"][0]["InstanceId"]])
    half.run("apply")
    after = half.instances()
    assert {name: after[name] for name in before} == before
    assert half.states() == {"driver": "stopped", "master": "stopped", "worker-1": "running"}


@pytest.mark.parametrize("command", ["plan", "down", "status", "destroy --confirm half"])
def test_another_region_is_refused_rather_than_taken_for_an_empty_one(half: Project, command: str) -> None:
    path = half.directory / "pio-tf.hcl"
    right = path.read_text()
    before = half.instances()
    path.write_text(
        re.sub(r"(?s)network \{.*?\}", 'network {\ncidr = "127.77.9.0/24"\n}', right).replace("us-east-1", "eu-west-1")
    )
    try:
        said = half.fails(*command.split(), exit_code=2)
        place = half.line("region")
    finally:
        path.write_text(right)
    assert f"{place}: aws.region is eu-west-1, but half was created in us-east-1" in said
    assert 'set region = "us-east-1" again' in said
    assert half.instances() == before


def test_without_terraform_status_and_down_still_work_on_what_was_created(half: Project, mirror: Path) -> None:
    path = half.directory / "pio-tf.hcl"
    right = path.read_text()
    path.write_text(right.replace(str(terraform_of(mirror)), "/opt/terraform/bin/terraform"))
    try:
        assert len(json.loads(half.run("status", "--json").stdout)["machines"]) == 3
        done = half.run("down", "--force")
    finally:
        path.write_text(right)
    assert "warning" not in done.stderr  # the state has the outputs
    assert set(half.states().values()) == {"stopped"}


def test_destroy_wants_the_right_name(half: Project) -> None:
    assert "pio-tf destroy --confirm half" in half.fails("destroy", exit_code=2)
    assert "'whole' is not its name" in half.fails("destroy", "--confirm", "whole", exit_code=2)
    assert len(half.states()) == 3
