"""A Terraform under test, and a cluster whose pio-tf finds no other one on PATH."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.support.shell import Project
from tests.support.state_bucket import Bucket, make_bucket

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.infra.binary import Product

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Program:
    """A Terraform or OpenTofu."""

    path: Path
    product: Product
    version: str

    @property
    def locks_in_s3(self) -> bool:
        """Whether it can lock a state in S3 without DynamoDB."""
        return tuple(int(part) for part in self.version.split("-")[0].split(".")) >= (1, 10, 0)

    def __str__(self) -> str:
        return f"{self.product}-{self.version}"


def encryption(key: str, *, before: str | None = None) -> str:
    """Return a TF_ENCRYPTION. OpenTofu finds what a key needs in the state by the key's name.

    Args:
        key: a name; ``clear`` for a state in clear.
        before: as ``key``, for a state that was written until now.
    """
    methods = {"clear": "method.unencrypted.clear"}
    lines = ['method "unencrypted" "clear" {}'] if "clear" in (key, before) else []
    for name in filter(None, (key, before)):
        if name not in methods:
            methods[name] = f"method.aes_gcm.{name}"
            lines.append(
                f'key_provider "pbkdf2" "{name}" {{\n  passphrase = "the {name} passphrase, of many words"\n}}'
            )
            lines.append(f'method "aes_gcm" "{name}" {{\n  keys = key_provider.pbkdf2.{name}\n}}')
    fallback = f"\n  fallback {{\n    method = {methods[before]}\n  }}" if before else ""
    return "\n".join([*lines, f"state {{\n  method = {methods[key]}{fallback}\n}}"])


class World:
    """A cluster with a name, a network and, if its state is in S3, a bucket of its own.

    Args:
        program: the only Terraform on PATH, under its product's name.
    """

    def __init__(
        self,
        directory: Path,
        program: Program,
        url: str,
        mirror: Path,
        *,
        backend: Literal["local", "s3"],
        encrypted: bool = False,
    ) -> None:
        number = next(_numbers)
        self.program = program
        self.encrypted = encrypted
        self.network = f"127.78.{number}.0/24"
        self.project = Project(directory, name=f"world{number}", url=url, mirror=mirror)
        self.key = f"pio-tf/{self.project.name}/terraform.tfstate"
        """The key of a state in S3. The next :meth:`write` names it and ``bucket``."""
        self.bucket: Bucket | None = make_bucket(url) if backend == "s3" else None
        programs = directory / "bin"
        programs.mkdir()
        (programs / program.product).symlink_to(program.path)
        self.project.environment["PATH"] = f"{programs}:/usr/bin:/bin"
        if encrypted:
            self.project.environment["TF_ENCRYPTION"] = encryption("first")
        self.write()

    @property
    def stack(self) -> Path:
        """The directory of the stack."""
        return self.project.directory / ".pio-tf" / self.project.name / "stack"

    def write(self, *, workers: int = 1, first_host: int = 20, options: str = "") -> None:
        """Write pio-tf.hcl; ``options`` are for its block `terraform`."""
        terraform = [f'cli_config_file = "{self.project.mirror}"', options]
        if self.bucket is not None:
            terraform.append(f'backend "s3" {{\n  bucket = "{self.bucket.name}"\n  key = "{self.key}"\n}}')
        self.project.write(
            network=f'cidr = "{self.network}"\nfirst_host = {first_host}',
            spark=f'instance_type = "m5.large"\nworkers = {workers}',
            terraform="\n".join(terraform),
        )

    def state(self) -> bytes:
        """Return the state as it is stored."""
        if self.bucket is not None:
            return self.bucket.read(self.key)
        return (self.stack / "terraform.tfstate").read_bytes()

    def is_encrypted(self) -> bool:
        """Return whether the stored state is encrypted. It is a state in any case."""
        raw = json.loads(self.state())
        assert {"serial", "lineage"} <= raw.keys()
        return "encrypted_data" in raw
