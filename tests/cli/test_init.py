"""`pio-tf init`: options answer its questions, and a person at a terminal answers the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.load import load_config
from tests.support.fork_server import PIO_TF
from tests.support.shell import Project, clean_environment
from tests.support.terminal import TerminalUser

if TYPE_CHECKING:
    from pathlib import Path


def test_options_answer_and_what_is_left_is_an_example_to_edit(tmp_path: Path) -> None:
    project = Project(tmp_path)
    done = project.run("init", "night", "--region", "eu-west-1", "--vpc", "vpc-0a1b", "--elasticsearch", "es-1,es-2")
    assert "next: edit the EDIT lines of pio-tf.hcl, then pio-tf plan" in done.stderr
    config = load_config(tmp_path / "pio-tf.hcl", environ={})
    assert (config.cluster.name, config.aws.region, config.network.vpc_id) == ("night", "eu-west-1", "vpc-0a1b")
    assert project.line("subnet_id") == "pio-tf.hcl:10"


def test_the_first_key_that_openssh_would_use_is_taken(tmp_path: Path) -> None:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "id_rsa.pub").write_text("ssh-rsa AAAA")
    Project(tmp_path).run("init")
    assert 'ssh { key = "~/.ssh/id_rsa" }' in (tmp_path / "pio-tf.hcl").read_text()


def test_a_wrong_option_is_wrong_usage_and_writes_nothing(tmp_path: Path) -> None:
    said = Project(tmp_path).fails("init", "--access", "everywhere", exit_code=2)
    assert "--access must be an IPv4 address range" in said
    assert not (tmp_path / "pio-tf.hcl").exists()


def test_full_writes_every_option_and_takes_no_answers(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert "--full and --vpc, --hdfs contradict" in project.fails(
        "init", "--full", "--vpc", "vpc-0a1b", "--hdfs", "nn-1", exit_code=2
    )
    project.run("init", "night", "--full")
    assert "# capacity_wait" in (tmp_path / "pio-tf.hcl").read_text()


def test_a_person_is_asked_what_no_option_answers(tmp_path: Path) -> None:
    environment = clean_environment() | {"HOME": str(tmp_path), "TERM": "xterm"}
    words = ["init", "night", "--region", "eu-west-1", "--engine-dir", "/opt/engine"]
    with TerminalUser([PIO_TF, *words], cwd=tmp_path, env=environment) as user:
        user.sees("VPC of your services [edit it later]: ")
        user.type("my-vpc\n")
        user.sees('must be a VPC id, like "vpc-0a1b2c3d"')
        user.type("vpc-0a1b\n")
        user.sees("reaches the internet [edit it later]: ")
        user.type("\n")
        user.sees("How will pio-tf reach the driver?")
        user.sees("Access [my-ip]: ")
        user.type("ssm\n")
        user.sees("Elasticsearch hosts [edit it later]: ")
        user.type("es-1, es-2\n")
        for _ in ("HBase", "HDFS"):
            user.sees("[edit it later]: ")
            user.type("\n")
        user.sees("then pio-tf plan")
        assert user.ends() == 0
    config = load_config(tmp_path / "pio-tf.hcl", environ={})
    assert (config.cluster.name, config.network.vpc_id, config.ssh.via) == ("night", "vpc-0a1b", "ssm")
    assert config.network.subnet_id == "subnet-00000000000000000"


def test_nothing_is_asked_where_a_file_exists_nor_with_yes_nor_in_ci(tmp_path: Path) -> None:
    environment = clean_environment() | {"HOME": str(tmp_path), "TERM": "xterm"}
    for words, more, code in ((["--yes"], {}, 0), ([], {}, 2), (["--dir", "other"], {"CI": "true"}, 0)):
        with TerminalUser([PIO_TF, "init", *words], cwd=tmp_path, env=environment | more) as user:
            assert user.ends() == code
            assert "]: " not in user.screen
