"""A cluster on a local AWS, for the tests of this part."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pio_tf.config.load import load_config
from tests.support.provider_scripts import TERRAFORM, terraform_of
from tests.support.shell import ec2

if TYPE_CHECKING:
    from pio_tf.config.schema import Config

REGION = "us-east-1"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q test@example\n"

_CONFIG = """\
cluster {{
  name = "{name}"
}}
aws {{
  region           = "us-east-1"
  endpoint_url     = "{url}"
  credentials_file = "credentials"
}}
network {{
{network}
}}
driver {{
  {types}
}}
spark {{
  {types}
{spark}
}}
ssh {{
  key = "id"
}}
pio {{
  engine_dir = "/home/ubuntu/engine"
}}
elasticsearch {{
  hosts = ["es"]
}}
hbase {{
  hosts = ["hbase"]
}}
hdfs {{
  namenode = "hdfs"
}}
terraform {{
  binary          = "{terraform}"
  cli_config_file = "{mirror}"
}}
{more}
"""


@dataclass(frozen=True)
class Site:
    """A directory with a pio-tf.hcl, for a local AWS."""

    directory: Path
    name: str
    url: str
    mirror: Path

    def write(
        self,
        *,
        network: str = 'cidr = "127.77.0.0/24"',
        types: str = 'instance_type = "m5.large"',
        spark: str = "workers = 1",
        more: str = "",
    ) -> Config:
        """Write pio-tf.hcl, and what it refers to; read it.

        Args:
            types: the line with the types, of driver and workers.
        """
        (self.directory / "id.pub").write_text(PUBLIC_KEY)
        (self.directory / "credentials").write_text(
            "[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
        )
        path = self.directory / "pio-tf.hcl"
        path.write_text(
            _CONFIG.format(
                name=self.name,
                url=self.url,
                network=network,
                types=types,
                spark=spark,
                terraform=terraform_of(self.mirror),
                mirror=self.mirror,
                more=more,
            )
        )
        return load_config(path, environ={})

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return this cluster's instances by machine name, as DescribeInstances has them, without terminated ones."""
        pages = ec2(self.url).get_paginator("describe_instances")
        found = {}
        for page in pages.paginate(Filters=[{"Name": "tag:pio-tf:cluster", "Values": [self.name]}]):
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    if instance["State"]["Name"] not in ("terminated", "shutting-down"):
                        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
                        found[tags["pio-tf:machine"]] = dict(instance)
        return found


def terraform(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the bundled Terraform, plainly; with TF_CLI_CONFIG_FILE, as the mirror's script does."""
    mirror = environ.get("TF_CLI_CONFIG_FILE")
    return subprocess.run(
        [terraform_of(Path(mirror)) if mirror else TERRAFORM, *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
