"""Values that env(), ssm() and secretsmanager() bring into pio-tf.hcl: where none may go, and which are secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.root_module import render_stack
from pio_tf.pio.files import render_files, show_files
from pio_tf.pio.secrets import hide_password, resolve_secrets
from tests.pio.sizes import SIZING
from tests.support.builders import OUTPUTS
from tests.support.config_samples import load_text, mistakes, text_with

if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn

TOKEN = "it's <a> s3cr3t"
SUM = "0" * 128
CLUSTER = 'cluster {{\n  name = "t"\n  tags = {{ x = {} }}\n}}\n'
PUBLISHED = {
    "cluster.tags.x": (3, CLUSTER.format('env("T")')),
    "spark.download_url": (
        2,
        'spark {\n  download_url = "https://example.org/x?${env("T")}"\n  download_sha512 = "' + SUM + '"\n}\n',
    ),
    "software.java.url": (
        3,
        'software {\n  java {\n    url = "https://${env("T")}/x"\n    sha512 = "' + SUM + '"\n  }\n}\n',
    ),
    "software.mirrors[0]": (2, 'software {\n  mirrors = ["https://example.org/${env("T")}"]\n}\n'),
    "guard.waive.PTF006.reason": (3, 'guard {\n  waive "PTF006" {\n    reason = "see ${env("T")}"\n  }\n}\n'),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_value_of_the_environment_goes_where_terraform_or_aws_shows_it(tmp_path: Path, name: str) -> None:
    line, text = PUBLISHED[name]
    others = text_with(**({"cluster": text} if name.startswith("cluster") else {"more": text}))
    assert mistakes(tmp_path, others, {"T": "t0ken"}) == [
        (
            f"pio-tf.hcl:{line}: {name}: must not come from the environment: plans, Terraform's files and AWS show it; "
            "write the value"
        )
    ]


@pytest.mark.parametrize("reference", ['ssm("/t")', 'secretsmanager("t")'])
def test_no_secret_of_aws_goes_into_a_tag(tmp_path: Path, reference: str) -> None:
    (line,) = mistakes(tmp_path, text_with(cluster=CLUSTER.format(reference)))
    assert line == f"pio-tf.hcl:3: cluster.tags.x: only a password can be {reference}; write the value itself"


def test_a_login_in_an_address_of_the_backend_is_refused(tmp_path: Path) -> None:
    address = 'terraform {\n  backend "http" {\n    address = "https://ci:${env("T")}@example.org/s"\n  }\n}\n'
    (line,) = mistakes(tmp_path, text_with() + address, {"T": "t0ken"})
    assert line.endswith(
        ": terraform.backend.address: would be written into the stack's backend.tf; leave it to the environment"
    )


FREE = """
spark {
  conf = { "spark.my.endpoint" = "x-${env("T")}", "spark.cores.max" = env("CORES"), "spark.region" = env("R") }
}
train {
  pio_arguments   = ["--variant", env("A")]
  spark_arguments = ["--conf", "spark.my.key=${env("B")}"]
}
elasticsearch {
  hosts = ["es"]
}
hbase {
  hosts = ["hb"]
}
hdfs {
  namenode  = "nn"
  core_site = { "my.key" = env("T") }
  hdfs_site = { "my.size" = "7" }
}
source "PG" {
  type       = "jdbc"
  url        = "jdbc:postgresql://db/pio?options=${env("URL")}"
  user       = "pio"
  password   = env("P")
  driver_jar = "/j.jar"
}
"""
BLOCKS = {"aws": 'aws {\n  region = env("R")\n}\n', "hdfs": FREE, "hbase": "", "elasticsearch": ""}
ENVIRON = {"T": TOKEN, "CORES": "8", "R": "eu-west-1", "A": "a-argument", "B": "b-key", "URL": "u'rl", "P": "pa55"}


def test_a_value_of_the_environment_in_free_text_is_a_secret(tmp_path: Path) -> None:
    config = load_text(tmp_path, text_with(**BLOCKS), ENVIRON)
    assert set(config.environment_secrets) == {TOKEN, "a-argument", "b-key", "u'rl"}
    assert set(resolve_secrets(config, _no_client).values) == {TOKEN, "a-argument", "b-key", "u'rl", "pa55"}
    assert config.aws.region == "eu-west-1"


def test_no_secret_of_the_environment_reaches_terraform(tmp_path: Path) -> None:
    (tmp_path / "id_ed25519.pub").write_text("ssh-ed25519 AAAA x\n")
    config = load_text(tmp_path, text_with(**BLOCKS, ssh='ssh {\n  key = "id_ed25519"\n}\n'), ENVIRON)
    stack = "".join(render_stack(config).values())
    assert [secret for secret in resolve_secrets(config, _no_client).values if secret in stack] == []


def test_files_are_shown_without_secrets_of_the_environment_and_are_private(tmp_path: Path) -> None:
    config = load_text(tmp_path, text_with(**BLOCKS), ENVIRON)
    modes = {file.name: file.mode for file in render_files(config, OUTPUTS, SIZING, hide_password)}
    assert (modes["core-site.xml"], modes["hdfs-site.xml"]) == (0o600, 0o644)
    files = {file.name: file.content for file in show_files(config, OUTPUTS, SIZING)}
    assert "spark.my.endpoint x-********\n" in files["spark-defaults.conf"]
    assert "spark.cores.max 8\n" in files["spark-defaults.conf"]
    assert "spark.region eu-west-1\n" in files["spark-defaults.conf"]
    assert "<value>********</value>" in files["core-site.xml"]
    assert "jdbc:postgresql://db/pio?options=********" in files["pio-env.sh"]
    assert not [part for part in ("s3cr3t", "rl'", "pa55") if part in "".join(files.values())]


def _no_client(service: str) -> NoReturn:
    raise AssertionError(service)
