"""A mirror of providers for Terraform whose files are scripts that start the providers of another mirror.

Each run of Terraform compares the hash of every provider with the lock file. For 170 MB that takes 0.14 s of CPU, more
than the rest of `terraform output`. Beside the mirror is a script that starts Terraform itself.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from tests.support.fork_server import PIO_TF

if TYPE_CHECKING:
    from pathlib import Path

TERRAFORM = PIO_TF.with_name("pio-tf-terraform")
_PROGRAM = """\
#!/bin/sh
# Garbage of programs that end within seconds: collecting it costs a quarter of their CPU time.
export GOGC=off GOMEMLIMIT=500MiB
case $1 in
  version) echo {version}; exit ;;
  init | providers) ;;
  *) {provider} ;;
esac
exec {terraform} "$@"
"""


def terraform_of(mirror: Path) -> Path:
    """Return the script that starts Terraform for a mirror, given as its CLI configuration file."""
    return mirror.parent / "bin" / "terraform"


def find_provider(released: Path) -> Path:
    """Return the AWS provider of a mirror, given as its CLI configuration file."""
    (provider,) = released.parent.glob("registry.terraform.io/*/*/*/*/terraform-provider-aws_*")
    return provider


def install_scripts(directory: Path, *, released: Path, running: str = "", broker: Path | None = None) -> Path:
    """Lay out the mirror in ``directory``, and return its CLI configuration file.

    Args:
        released: the CLI configuration file of the mirror with the providers.
        running: TF_REATTACH_PROVIDERS of providers that run already, for all commands but those about providers. Where
            the environment has that variable, though empty, it stands.
        broker: a program that prints that variable for its environment, instead.
    """
    mirror = released.parent
    for path in mirror.rglob("*"):
        copy = directory / path.relative_to(mirror)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() and not copy.is_symlink():
            copy.symlink_to(path.readlink())
        elif path.name.startswith("terraform-provider-") and path.is_file():
            _write(copy, f'#!/bin/sh\nexec {shlex.quote(str(path))} "$@"\n', mode=0o755)
    found = f'"$({shlex.quote(str(broker))})"' if broker else shlex.quote(running)
    export = f'[ "${{TF_REATTACH_PROVIDERS+set}}" ] || export TF_REATTACH_PROVIDERS={found}'
    provider = export if running or broker else ":"
    program = _PROGRAM.format(version=_version(), provider=provider, terraform=shlex.quote(str(TERRAFORM)))
    configuration = directory / released.name
    terraform_of(configuration).parent.mkdir(exist_ok=True)
    _write(terraform_of(configuration), program, mode=0o755)
    _write(configuration, released.read_text(encoding="utf-8").replace(str(mirror), str(directory)), mode=0o600)
    return configuration


@cache
def _version() -> str:
    """Return the line that says the version. pio-tf asks a script for it each time, which takes 0.1 s of CPU."""
    environment = {"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run([TERRAFORM, "version"], env=environment, capture_output=True, text=True, check=True)
    return next(line for line in done.stdout.splitlines() if line.startswith("Terraform v"))


def _write(path: Path, text: str, *, mode: int) -> None:
    """Write a file unless it is so already: Terraform may be reading it."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text, mode=mode)
