"""`pio-tf validate`: pio-tf.hcl is checked without AWS, Terraform and credentials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pio_tf.config.starter import Starter, render_starter
from pio_tf.config.template import render_template
from tests.support.engine_project import write
from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin"}
"""No AWS answers there, and there is no Terraform."""


def test_a_file_without_mistakes_is_valid(tmp_path: Path) -> None:
    project = Project(tmp_path, environment=NOTHING)
    project.write(terraform="")
    done = project.run("validate")
    assert done.stdout == f"{tmp_path / 'pio-tf.hcl'} is valid: trial with 3 machines\n"
    assert not (tmp_path / ".pio-tf").exists()
    assert json.loads(project.run("validate", "--json").stdout)["machines"] == ["driver", "master", "worker-1"]


def test_all_mistakes_are_shown_with_their_lines(tmp_path: Path) -> None:
    project = Project(tmp_path, environment=NOTHING)
    project.write(spark="workers = 0", hdfs='port = "x"')
    said = project.fails("validate", exit_code=2)
    assert f"{project.line('workers')}: spark.workers: must be at least 1, got 0" in said
    assert "hdfs.port" in said
    answer = json.loads(project.run("validate", "--json", exit_code=2).stdout)["error"]
    assert {one["name"] for one in answer["details"]["problems"]} >= {"spark.workers", "hdfs.port"}


def test_what_a_plan_would_refuse_without_aws_is_refused_here(tmp_path: Path) -> None:
    project = Project(tmp_path, environment=NOTHING)
    project.write(software='extra_bootstrap = "missing.sh"')
    assert "missing.sh" in project.fails("validate", exit_code=2)
    project.write()
    (tmp_path / "id.pub").unlink()
    assert "ssh-keygen" in project.fails("validate", exit_code=2)


def test_an_engine_that_train_could_not_push_is_refused_here(tmp_path: Path) -> None:
    project = Project(tmp_path, environment=NOTHING)
    project.write(pio='engine_dir = "/engine"\n  engine {\n    source = "./my-engine"\n  }')
    for command in ("validate", "train"):  # no AWS answers: no machine starts before this check
        assert "my-engine does not exist" in project.fails(command, exit_code=2)
    write(tmp_path / "my-engine", {"engine.json": "{}"})
    assert "my-engine has no build.sbt" in project.fails("validate", exit_code=2)
    write(tmp_path / "my-engine", {"build.sbt": ""})
    project.run("validate")


def test_examples_that_are_left_are_warnings_with_their_lines(tmp_path: Path) -> None:
    project = Project(tmp_path, environment=NOTHING)
    project.write()
    texts = (
        render_starter(Starter(key="id")),
        render_template(cluster="x", region="eu-west-1").replace("~/.ssh/id_ed25519", "id"),
    )
    for text in texts:
        (tmp_path / "pio-tf.hcl").write_text(text)
        done = project.run("validate", "--json")
        warned = [one.partition(": ")[2].partition(":")[0] for one in json.loads(done.stdout)["warnings"]]
        options = ("elasticsearch.hosts", "hbase.hosts", "hdfs.namenode", "network.vpc_id", "network.subnet_id")
        assert tuple(dict.fromkeys(warned)) == options
        assert f"warning: {project.line('vpc_id')}: network.vpc_id: vpc-00000000000000000 is an example" in done.stderr
