"""A local AWS without a cluster's machines behind it: what is measured is the program, not the wait."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER = """
import sys
from pio_tf.sandbox.aws import LocalAws
with LocalAws(transition_seconds=0) as aws:
    print(aws.url, flush=True)
    sys.stdin.read()
"""
CONFIG = """
cluster {{ name = "{name}" }}
aws {{
  region           = "eu-west-1"
  endpoint_url     = "{url}"
  credentials_file = "{credentials}"
}}
network {{ cidr = "10.1.0.0/20" }}
ssh {{ key = "id_ed25519" }}
pio {{ engine_dir = "/home/aml/ur" }}
elasticsearch {{ hosts = ["es-1"] }}
hbase {{ hosts = ["hbase-1"] }}
hdfs {{ namenode = "hdfs-1" }}
"""


@dataclass(frozen=True)
class LocalAws:
    """The address of a local AWS, and a directory for configurations that lead to it."""

    url: str
    directory: Path

    def write_config(self, name: str, more: str = "") -> Path:
        """Write a pio-tf.hcl for a cluster of this name, with more blocks."""
        path = self.directory / f"{name}.hcl"
        path.write_text(CONFIG.format(name=name, url=self.url, credentials=self.directory / "credentials") + more)
        return path


@contextmanager
def local_aws() -> Iterator[LocalAws]:
    """Run a local AWS in its own process, so that its work does not count as the client's.

    Machines change their state at once.
    """
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert server.stdout is not None  # noqa: S101 - for the type: it is a pipe
        with TemporaryDirectory() as directory:
            credentials = Path(directory, "credentials")
            credentials.write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
            yield LocalAws(server.stdout.readline().strip(), Path(directory))
    finally:
        server.communicate()  # closes its standard input, which ends it
