"""A state that a team shares, as a user meets it: its bucket, its lock, and the runs of others."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.components import archives_in_s3
from pio_tf.config.load import load_config
from pio_tf.config.software import APACHE
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.runs.run_copies import Archive
from tests.mirror.archive_server import serve_archives
from tests.support.provider_scripts import terraform_of
from tests.support.shell import Project
from tests.support.state_bucket import LOCK, Bucket, make_bucket, state

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws


KEY = "pio-tf/trial/terraform.tfstate"
MINE = "pio-tf-state-123456789012-us-east-1"


@pytest.fixture
def bucket(aws: LocalAws) -> Bucket:
    return make_bucket(aws.url)


@pytest.fixture
def shared(tmp_path: Path, aws: LocalAws, mirror: Path, bucket: Bucket) -> Project:
    """Make a project with its state in a bucket."""
    project = Project(tmp_path, url=aws.url, mirror=mirror)
    project.write(terraform=with_backend(project, bucket.name))
    return project


def with_backend(project: Project, bucket: str) -> str:
    assert project.mirror is not None
    lines = [f'binary = "{terraform_of(project.mirror)}"', f'cli_config_file = "{project.mirror}"', "lock_timeout = 0"]
    return "\n".join([*lines, f'backend "s3" {{\n  bucket = "{bucket}"\n}}'])


def credentials(aws: LocalAws) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


# The bucket


def test_a_new_configuration_gets_its_bucket(tmp_path: Path, aws: LocalAws) -> None:
    project = Project(tmp_path, environment=credentials(aws))
    done = project.run("init", "trial", "--backend", "--json")
    assert json.loads(done.stdout) == {"version": 1, "file": "pio-tf.hcl", "cluster": "trial", "bucket": MINE}
    text = (tmp_path / "pio-tf.hcl").read_text()
    assert f'terraform {{\n  backend "s3" {{\n    bucket = "{MINE}"\n  }}\n' in text
    assert "# backend" not in text
    config = load_config(tmp_path / "pio-tf.hcl", environ={})
    assert config.terraform.backend is not None
    assert config.terraform.backend.arguments == {"bucket": MINE}


@pytest.mark.parametrize("options", [(), ("--access", "ssm"), ("--full",)], ids=["short", "ssm", "full"])
def test_a_new_configuration_lets_machines_install_from_its_bucket(
    tmp_path: Path, aws: LocalAws, options: tuple[str, ...]
) -> None:
    project = Project(tmp_path, environment=credentials(aws))
    done = project.run("init", "trial", *options, "--mirror")
    assert "pio-tf mirror push, then pio-tf plan" in done.stderr
    config = load_config(tmp_path / "pio-tf.hcl", environ={"ES_PASSWORD": "x"})
    assert config.software.mirrors == [f"s3://{MINE}/software", APACHE]
    assert archives_in_s3(config) == (f"{MINE}/software/*",)
    assert config.machines.make_instance_profile


def test_what_machines_install_is_in_the_bucket_after_one_more_command(project: Project) -> None:
    with serve_archives() as archives:
        archives.files = {f"/{name}.tgz": name.encode() * 1000 for name in ("spark", "hadoop", "hbase", "pio", "java")}
        url, sums = archives.url, {path: hashlib.sha512(body).hexdigest() for path, body in archives.files.items()}

        def block(name: str) -> str:
            return f'{name} {{\n  url = "{url}/{name}.tgz"\n  sha512 = "{sums[f"/{name}.tgz"]}"\n}}\n'

        project.write(
            spark='instance_type = "m5.large"\nworkers = 1\n'
            f'download_url = "{url}/spark.tgz"\ndownload_sha512 = "{sums["/spark.tgz"]}"',
            software=block("hadoop") + block("hbase") + block("pio") + block("java"),
        )
        said = project.fails("mirror", "push", exit_code=2)
        assert "software.mirrors names no bucket" in said
        assert "pio-tf init --mirror" in said
        shown = project.run("init", "--bucket", "of-mirror", "--mirror").stderr
        wanted = 'mirrors = ["s3://of-mirror/software", "https://archive.apache.org/dist"]'
        assert wanted in shown
        assert "make_instance_profile = true" in shown

        path = project.directory / "pio-tf.hcl"
        path.write_text(path.read_text().replace("software {", f"software {{\n{wanted}", 1))
        first = json.loads(project.run("mirror", "push", "--json").stdout)["files"]
        assert {one["name"]: one["pushed"] for one in first} == dict.fromkeys(
            ("java", "spark", "hadoop", "hbase", "pio"), True
        )
        asked = len(archives.asked)
        again = json.loads(project.run("mirror", "push", "--json").stdout)["files"]
        assert not any(one["pushed"] for one in again)
        assert len(archives.asked) == asked, "the cache has them"
        listed = json.loads(project.run("mirror", "list", "--json").stdout)["files"]
        assert {(one["name"], one["size"], one["sha512"]) for one in listed} == {
            (name, len(name) * 1000, sums[f"/{name}.tgz"]) for name in ("java", "spark", "hadoop", "hbase", "pio")
        }


def test_an_existing_configuration_is_left_as_it_is_and_told_what_to_add(project: Project) -> None:
    before = (project.directory / "pio-tf.hcl").read_bytes()
    done = project.run("init", "--backend", "--bucket", "s3://of-trial")
    assert (project.directory / "pio-tf.hcl").read_bytes() == before
    assert 'backend "s3" {\n    bucket = "of-trial"\n  }' in done.stderr
    assert "add this to the terraform block" in done.stderr
    again = project.run("init", "--bucket", "of-trial")
    assert "exists already" in again.stderr


def test_the_bucket_of_a_configuration_is_made_where_it_is_missing(shared: Project) -> None:
    shared.write(terraform=with_backend(shared, "named-first"))
    assert "`pio-tf init --backend` makes" in shared.fails("plan", exit_code=1)
    assert "the bucket named-first is created" in shared.run("init", "--backend").stderr
    assert "to create" in shared.run("plan").stdout


def test_a_name_for_a_configuration_that_is_there_is_refused_as_ever(project: Project) -> None:
    assert "exists already" in project.fails("init", "other", "--backend", exit_code=2)


def test_a_bucket_that_is_not_fit_is_refused_with_what_it_lacks(project: Project, bucket: Bucket) -> None:
    said = project.fails("init", "--bucket", bucket.name, exit_code=2)
    assert f"the bucket {bucket.name} is not fit for a state: the public is not kept out" in said
    assert f"aws s3api put-public-access-block --bucket {bucket.name}" in said


# The lock


def test_a_lock_that_is_held_for_ever_is_told_with_its_age_its_holder_and_the_command_that_ends_it(
    shared: Project, bucket: Bucket
) -> None:
    bucket.write(f"{KEY}.tflock", json.dumps(LOCK))
    said = shared.fails("plan", exit_code=4)
    stack = shared.directory / ".pio-tf" / "trial" / "stack"
    assert "apply by ann@ci-runner-7" in said
    assert re.search(r"\(\d+ d( \d+ h)? ago\)", said)
    assert f"terraform -chdir={stack} force-unlock {LOCK['ID']}`" in said
    assert f"{KEY}.tflock" in bucket.names()


def test_no_permission_for_the_lock_is_told_with_the_permission(shared: Project, bucket: Bucket) -> None:
    bucket.deny("s3:PutObject", key="*.tflock")
    said = shared.fails("plan", exit_code=1)
    lock = f"arn:aws:s3:::{bucket.name}/{KEY}.tflock"
    assert f"give the AWS user or role s3:GetObject, s3:PutObject and s3:DeleteObject on {lock}" in said


def test_a_missing_bucket_keeps_no_machine_from_being_stopped_or_shown(shared: Project) -> None:
    shared.write(terraform=with_backend(shared, "no-such-bucket"))
    for command in ("status", "down"):
        said = shared.run(command).stderr
        assert "using only the tags of the machines" in said
        assert "no-such-bucket" in said


def test_a_workspace_that_does_not_exist_is_refused_with_the_reason(shared: Project, bucket: Bucket) -> None:
    said = shared.fails("plan", exit_code=2, TF_WORKSPACE="prod")
    assert "TF_WORKSPACE names the workspace prod, and pio-tf uses no workspaces" in said
    assert "another cluster.name" in said
    assert bucket.names() == []


def test_a_terraform_that_knows_no_lock_object_is_refused(shared: Project, bucket: Bucket) -> None:
    old = shared.directory / "terraform"
    old.write_text("""#!/bin/sh\necho Terraform v1.9.8\n""")
    old.chmod(0o755)
    shared.write(terraform=f'binary = "./terraform"\nbackend "s3" {{\n  bucket = "{bucket.name}"\n}}')
    assert "is too old for a state in S3" in shared.fails("plan", exit_code=1)


def test_a_state_of_this_computer_moves_and_a_second_one_is_never_written_over(shared: Project, bucket: Bucket) -> None:
    local = shared.directory / ".pio-tf" / "trial" / "stack" / "terraform.tfstate"
    local.parent.mkdir(parents=True)
    local.write_text(state(serial=4))
    said = shared.run("plan").stderr
    assert f"Moving the state to s3://{bucket.name}/{KEY}; a copy stays here as terraform.tfstate.before-s3-" in said
    assert json.loads(bucket.read(KEY))["serial"] == 4

    other = Project(shared.directory / "other", url=shared.url, mirror=shared.mirror)
    stale = other.directory / ".pio-tf" / "trial" / "stack" / "terraform.tfstate"
    stale.parent.mkdir(parents=True)
    stale.write_text(state(serial=1, lineage="another"))
    other.write(terraform=with_backend(other, bucket.name))
    said = other.fails("plan", exit_code=2)
    assert "different states" in said
    assert json.loads(bucket.read(KEY))["serial"] == 4


# Runs


def test_runs_and_logs_of_other_clients_are_shown_while_nothing_runs(shared: Project, bucket: Bucket) -> None:
    run = RunRecord(
        id="20261123T182359Z-3f9c",
        cluster="trial",
        client=Client("ann", "laptop", 17, "2026-11-23T18:23:00Z"),
        command="pio train",
        engine_dir="/opt/engine",
        state="succeeded",
        exit_status=0,
    )
    bucket.write(f"pio-tf/trial/runs/{run.id}/record.json", run.to_json())
    bucket.write(f"pio-tf/trial/runs/{run.id}/log", "one\ntwo\n")
    (found,) = json.loads(shared.run("runs", "--json").stdout)["runs"]
    assert (found["id"], found["state"], found["client"]["owner"]) == (run.id, "succeeded", "ann")
    assert shared.run("logs").stdout == "one\ntwo\n"
    assert Archive.of(load_config(shared.directory / "pio-tf.hcl", environ={})).log(run.id).read_text() == "one\ntwo\n"
