"""The local AWS seen by the real Terraform and AWS provider: what a plan says after an apply and after a stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pio_tf.sandbox.access_key import AccessKey
from pio_tf.sandbox.aws import LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterator


STACK = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "%(id)s"
  secret_key                  = "%(secret)s"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  endpoints { ec2 = "%(url)s" }
}

data "aws_ami" "ubuntu" {
  most_recent = true
  owners      = ["099720109477"]
  filter {
    name   = "name"
    values = ["ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"]
  }
}

resource "aws_vpc" "this" {
  cidr_block = "127.77.0.0/24"
}

resource "aws_subnet" "this" {
  vpc_id     = aws_vpc.this.id
  cidr_block = "127.77.0.0/24"
}

resource "aws_security_group" "this" {
  name   = "machines"
  vpc_id = aws_vpc.this.id
}

resource "aws_instance" "fixed" {
  ami                    = data.aws_ami.ubuntu.id
  instance_type          = "t3.medium"
  subnet_id              = aws_subnet.this.id
  private_ip             = "127.77.0.10"
  vpc_security_group_ids = [aws_security_group.this.id]
}

resource "aws_eip" "fixed" {
  instance = aws_instance.fixed.id
}

resource "aws_instance" "public" {
  ami                         = data.aws_ami.ubuntu.id
  instance_type               = "t3.medium"
  subnet_id                   = aws_subnet.this.id
  private_ip                  = "127.77.0.11"
  vpc_security_group_ids      = [aws_security_group.this.id]
  associate_public_ip_address = true
}
"""


class Stack:
    """A directory with an applied stack, and its AWS."""

    def __init__(self, directory: Path, *, aws: LocalAws, access_key: AccessKey, cli_config_file: Path) -> None:
        self.directory = directory
        self.aws = aws
        self.access_key = access_key
        self.environ = {
            "HOME": str(directory),
            "PATH": os.defpath,
            "TF_CLI_CONFIG_FILE": str(cli_config_file),
            "TF_IN_AUTOMATION": "1",
        }

    def terraform(self, *arguments: str) -> str:
        binary = Path(sys.executable).with_name("pio-tf-terraform")
        done = subprocess.run(
            [binary, *arguments], cwd=self.directory, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def changes(self) -> dict[str, dict[str, Any]]:
        """Return the changes of a new plan, by address, without unchanged resources."""
        self.terraform("plan", "-input=false", "-out=plan")
        plan = json.loads(self.terraform("show", "-json", "plan"))
        return {r["address"]: r["change"] for r in plan["resource_changes"] if r["change"]["actions"] != ["no-op"]}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("stack")
    key = AccessKey.new()
    with LocalAws(transition_seconds=0.2, access_key=key) as aws:
        text = STACK % {"url": aws.url, "id": key.id, "secret": key.secret}
        (directory / "main.tf").write_text(text, encoding="utf-8")
        stack = Stack(directory, aws=aws, access_key=key, cli_config_file=mirror)
        stack.terraform("init", "-input=false")
        stack.terraform("apply", "-auto-approve", "-input=false")
        yield stack


def test_a_plan_right_after_an_apply_has_no_changes(stack: Stack) -> None:
    assert stack.changes() == {}


def test_a_stopped_machine_is_replaced_only_where_the_public_address_was_asked_for(stack: Stack) -> None:
    session = boto3.Session(stack.access_key.id, stack.access_key.secret, region_name="us-east-1")
    ec2 = session.client("ec2", endpoint_url=stack.aws.url)
    ids = [instance.instance_id for instance in stack.aws.instances()]
    ec2.stop_instances(InstanceIds=ids)
    deadline = time.monotonic() + 60
    while {instance.state for instance in stack.aws.instances()} != {"stopped"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ec2.close()
    changes = stack.changes()
    # terraform-provider-aws #1655, #33775: "must be replaced … false -> true"; with private_ip alone nothing changes.
    assert list(changes) == ["aws_instance.public"]
    assert changes["aws_instance.public"]["actions"] == ["delete", "create"]
    assert changes["aws_instance.public"]["replace_paths"] == [["associate_public_ip_address"]]
