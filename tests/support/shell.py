"""``pio-tf`` as a user runs it, in a directory of its own and with nothing of this computer's AWS or Terraform."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import asyncssh
import boto3

from tests.support import fork_server
from tests.support.fork_server import PIO_TF
from tests.support.provider_scripts import TERRAFORM, terraform_of

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

BLOCKS = {
    "cluster": 'name = "{name}"',
    "aws": 'region = "us-east-1"',
    "network": 'cidr = "127.77.0.0/24"',
    "driver": 'instance_type = "m5.large"\nallow_small_memory = true',
    "spark": 'instance_type = "m5.large"\nworkers = 1',
    "ssh": 'key = "id"',
    "pio": 'engine_dir = "/opt/engine"',
    "elasticsearch": 'hosts = ["es"]',
    "hbase": 'hosts = ["hbase"]',
    "hdfs": 'namenode = "hdfs"',
}
"""A configuration without a mistake; ``terraform`` and the rest of ``aws`` come from the project."""


def clean_environment() -> dict[str, str]:
    """Return this process's environment, without variables of AWS, Terraform or CI."""
    own = ("AWS_", "PIO_TF", "TF_", "GITHUB_", "GITLAB_")
    return {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith(own)}


@dataclass
class Project:
    """A directory with a pio-tf.hcl.

    Args:
        url: an AWS for it; None: the configuration names neither endpoint nor credentials.
        mirror: Terraform's CLI configuration file, which names a provider mirror.
    """

    directory: Path
    name: str = "trial"
    url: str | None = None
    mirror: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, **blocks: str) -> Path:
        """Write pio-tf.hcl, with other text for some blocks, and what it refers to."""
        written = {**BLOCKS, "terraform": f'binary = "{TERRAFORM}"'}
        if self.url:
            written["aws"] += f'\nendpoint_url = "{self.url}"\ncredentials_file = "credentials"'
        if self.mirror:
            written["terraform"] = f'binary = "{terraform_of(self.mirror)}"\ncli_config_file = "{self.mirror}"'
        written |= blocks
        if not (self.directory / "id.pub").exists():
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(str(self.directory / "id"))
            (self.directory / "id").chmod(0o600)
            key.write_public_key(str(self.directory / "id.pub"))
        (self.directory / "credentials").write_text(
            "[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
        )
        text = "".join(f"{block} {{\n{inner}\n}}\n" for block, inner in written.items() if inner)
        path = self.directory / "pio-tf.hcl"
        path.write_text(text.replace("{name}", self.name))
        return path

    def line(self, text: str) -> str:
        """Return ``pio-tf.hcl:12``, the place of the one line that holds a text."""
        lines = (self.directory / "pio-tf.hcl").read_text().splitlines()
        (number,) = [number for number, line in enumerate(lines, 1) if text in line]
        return f"pio-tf.hcl:{number}"

    def run(
        self, *arguments: str, exit_code: int = 0, through: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``pio-tf``; fail, showing what it said, unless it ends with ``exit_code``.

        Args:
            through: what bash does with the command line: limits, redirections. Default: no bash runs it.
        """
        clean = clean_environment()
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        done = fork_server.run(
            [*(("/bin/bash", "-c", through, "-") if through else ()), PIO_TF, *arguments],
            cwd=self.directory,
            # Without the metadata service: on a computer that has none, looking for it would leave loopback.
            env=clean | {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"} | self.environment | environment,
            timeout=240,
        )
        assert done.returncode == exit_code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert "has a bug" not in done.stderr
        return done

    def fails(self, *arguments: str, exit_code: int, **options: str) -> str:
        """Run ``pio-tf``, which must fail as promised: one error with its next step, and no result. What it said."""
        done = self.run(*arguments, exit_code=exit_code, **options)
        assert done.stdout == ""
        assert done.stderr.count("error: ") == 1, done.stderr
        error = done.stderr[done.stderr.index("error: ") :]
        assert "\nnext:  " in error, done.stderr
        assert error.partition("\nnext:  ")[2].strip(), done.stderr
        return done.stderr

    def instances(self) -> dict[str, tuple[str, str]]:
        """Return id and private address of the cluster's instances by name, without terminated ones."""
        return {name: (str(one["InstanceId"]), str(one["PrivateIpAddress"])) for name, one in self._described().items()}

    def states(self) -> dict[str, str]:
        """Return the states of the instances, as EC2 names them."""
        return {name: str(one["State"]["Name"]) for name, one in self._described().items()}

    def _described(self) -> dict[str, InstanceTypeDef]:
        assert self.url is not None
        mine: list[FilterTypeDef] = [{"Name": "tag:pio-tf:cluster", "Values": [self.name]}]
        pages = ec2(self.url).get_paginator("describe_instances").paginate(Filters=mine)
        found = {}
        for instance in (one for page in pages for group in page["Reservations"] for one in group["Instances"]):
            if instance["State"]["Name"] not in ("terminated", "shutting-down"):
                found[{tag["Key"]: tag["Value"] for tag in instance["Tags"]}["pio-tf:machine"]] = instance
        return found


def service_client(url: str, service: str, *, region: str = "us-east-1") -> Any:  # noqa: ANN401 - boto3 makes it
    """Return a client for a service of a local AWS."""
    create: Any = boto3.client  # mypy tries some 400 overloads, for a second, before it finds that none takes any text
    return create(
        service, region_name=region, endpoint_url=url, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


@cache
def ec2(url: str, *, region: str = "us-east-1") -> EC2Client:
    """Return the client for a local AWS."""
    return boto3.client(
        "ec2", region_name=region, endpoint_url=url, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
