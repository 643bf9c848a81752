"""The pio-tf.hcl that `pio-tf init` writes: short, valid, and with EDIT where it holds an example."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.starter import EXAMPLES, Starter, check_answer, render_starter
from pio_tf.config.template import with_backend
from pio_tf.errors import ConfigError
from tests.support.config_samples import load_text
from tests.support.provider_scripts import TERRAFORM

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = {
    "cluster": "night",
    "region": "eu-west-1",
    "vpc": "vpc-0a1b",
    "subnet": "subnet-0a1b",
    "key": "~/.ssh/of-the-team",
    "elasticsearch": "es-1, https://es-2:9243",
    "hbase": "hbase-1",
    "hdfs": "nn-1",
    "engine_dir": "/opt/engine",
}


def test_the_file_has_the_lines_that_matter_and_loads_as_it_is(tmp_path: Path) -> None:
    text = render_starter(Starter())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 25
    assert max(map(len, text.splitlines())) <= 120
    config = load_text(tmp_path, text)
    assert (config.cluster.name, config.aws.region) == ("pio-train", "us-east-1")
    assert config.network.ssh_cidrs == ["my-ip"]


def test_examples_are_marked_and_answers_are_not(tmp_path: Path) -> None:
    marked = [line for line in render_starter(Starter()).splitlines() if line.endswith("# EDIT")]
    assert len(marked) == len(EXAMPLES)
    text = render_starter(Starter().with_answers({**ANSWERS, "access": None}))
    assert not [line for line in text.splitlines() if line.endswith("# EDIT")]
    config = load_text(tmp_path, text)
    assert (config.network.vpc_id, config.network.subnet_id) == ("vpc-0a1b", "subnet-0a1b")
    assert config.elasticsearch is not None
    assert config.elasticsearch.hosts == ["es-1", "https://es-2:9243"]
    assert (config.pio.engine_dir, config.ssh.key.name) == ("/opt/engine", "of-the-team")


@pytest.mark.parametrize(
    ("access", "ranges", "via", "profile", "groups"),
    [
        ("my-ip", ["my-ip"], "address", False, 0),
        ("10.0.8.0/24", ["10.0.8.0/24"], "address", False, 0),
        ("ssm", [], "ssm", True, 0),
        ("instance-connect", [], "instance-connect", False, 1),
    ],
)
def test_each_way_to_the_driver_gets_what_it_needs(
    tmp_path: Path, access: str, ranges: list[str], via: str, profile: bool, groups: int
) -> None:
    config = load_text(tmp_path, render_starter(Starter().with_answers({"access": access})))
    assert [str(one) for one in config.network.ssh_cidrs] == ranges
    assert (config.ssh.via, config.machines.make_instance_profile) == (via, profile)
    assert len(config.network.ssh_security_group_ids) == groups


@pytest.mark.parametrize("access", ["my-ip", "ssm", "instance-connect"])
def test_it_is_formatted_as_terraform_does(tmp_path: Path, access: str) -> None:
    file = tmp_path / "starter.tf"
    file.write_text(render_starter(Starter(access=access, profile="training")))
    done = subprocess.run([TERRAFORM, "fmt", "-check", "-diff", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_backend_gets_a_terraform_block(tmp_path: Path) -> None:
    text = with_backend(render_starter(Starter()), '  backend "s3" {\n    bucket = "states"\n  }\n')
    config = load_text(tmp_path, text)
    assert config.terraform.backend is not None


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("vpc", "subnet-1", 'must be a VPC id, like "vpc-0a1b2c3d"'),
        ("access", "everywhere", 'must be an IPv4 address range, like "10.20.0.0/24", or "my-ip"'),
        ("elasticsearch", "es_1", "must be a host"),
        ("engine_dir", "engine", "must be absolute"),
        ("cluster", "My Cluster", "the cluster's name must be"),
    ],
)
def test_a_wrong_answer_is_refused_with_its_rule(name: str, answer: str, said: str) -> None:
    with pytest.raises(ConfigError, match="next") as caught:
        check_answer(name, answer)
    assert said in caught.value.what
