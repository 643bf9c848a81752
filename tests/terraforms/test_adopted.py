"""Machines that exist already, imported by one Terraform or OpenTofu, and left as they are at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.instances import UBUNTU
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws
    from tests.terraforms.worlds import Program

OURS = {"pio-tf:cluster", "pio-tf:machine", "pio-tf:role"}


def test_machines_that_exist_already_are_imported_tagged_and_left(
    tmp_path: Path, program: Program, aws: LocalAws, provider_mirror: Path
) -> None:
    client = ec2(aws.url)
    made = client.run_instances(
        ImageId=UBUNTU, InstanceType="m5.large", UserData="#!/bin/sh\n", MinCount=4, MaxCount=4
    )["Instances"]
    driver, master, first, second = (one["InstanceId"] for one in made)

    def tags() -> set[str]:
        found = client.describe_tags(Filters=[{"Name": "resource-id", "Values": [driver, master, first, second]}])
        return {tag["Key"] for tag in found["Tags"]}

    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / program.product).symlink_to(program.path)
    project = Project(tmp_path, name=f"adopted-{program.product}", url=aws.url, mirror=provider_mirror)
    project.environment["PATH"] = f"{programs}:/usr/bin:/bin"

    def write(*workers: str) -> None:
        ids = ", ".join(f'"{one}"' for one in workers)
        project.write(
            network="",
            spark="",
            machines=f'driver = "{driver}"\nmaster = "{master}"\nworkers = [{ids}]\nterraform = true',
            terraform=f'cli_config_file = "{provider_mirror}"',
        )

    write(first, second)
    project.run("plan", "--out", "saved", "--detailed-exitcode", exit_code=2)
    project.run("apply", "saved")
    assert tags() == OURS
    assert "no changes" in project.run("plan", "--detailed-exitcode").stdout
    write(first)
    assert "(worker-2) would be deleted" in project.fails("plan", exit_code=3)
    write(second, first)
    assert f"Terraform's state has {first} as worker-1, but it should be {second}" in project.fails("plan", exit_code=1)
    write(first, second)
    project.run("down", "--force")
    assert "no changes" in project.run("plan", "--detailed-exitcode").stdout
    project.run("destroy", "--confirm", project.name)
    assert tags() == set()
    found = client.describe_instances(InstanceIds=[driver, master, first, second])["Reservations"]
    assert {one["State"]["Name"] for group in found for one in group["Instances"]} == {"stopped"}
