"""A sandbox for the tests of a file, whose Terraform uses an AWS provider that runs already.

A process of tests runs one sandbox at a time, so that all of its sandboxes use one provider.
"""

from __future__ import annotations

import atexit
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.sandbox.control import start_sandbox, stop_sandbox
from tests.support.fork_server import Program
from tests.support.provider_scripts import find_provider, install_scripts, terraform_of
from tests.support.running_provider import running_provider
from tests.support.sandbox_project import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.sandbox.layout import SandboxInfo


@dataclass(frozen=True)
class _Provider:
    """The AWS provider of this process."""

    running: str
    """The value of TF_REATTACH_PROVIDERS."""
    credentials: Path
    """A link to the credentials file of the sandbox. The provider reads it for each Terraform."""


@cache
def _provider(program: Path) -> _Provider:
    stack = ExitStack()
    atexit.register(stack.close)
    credentials = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pio-tf-keys-")), "credentials")
    keys = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    return _Provider(stack.enter_context(running_provider(program, environment=keys)), credentials)


@dataclass(frozen=True)
class WholeSandbox:
    """A running sandbox."""

    info: SandboxInfo
    environment: dict[str, str]
    """The environment of a `pio-tf` that finds the sandbox, and its Terraform on PATH."""


@contextmanager
def whole_sandbox(
    directory: Path,
    *,
    released: Path,
    machine: str | None = None,
    alarm_speed: float = 1.0,
    hashed: bool = False,
    real_services: bool = False,
) -> Iterator[WholeSandbox]:
    """Run a sandbox during the block.

    Args:
        directory: an empty one, for the sandbox's own and the mirror of its Terraform.
        released: the CLI configuration file of a mirror with the provider as HashiCorp released it.
        machine: the class of machines, as for the sandbox's option ``--machine``.
        alarm_speed: how many seconds of CloudWatch's time pass in one second.
        hashed: whether lock files have the hash of the released provider: Terraform installs that one, not a script.
        real_services: whether its services are the real ones, with a password.
    """
    sandbox = directory / "sandbox"
    provider = _provider(find_provider(released))
    mirror = install_scripts(directory / "mirror", released=released, running=provider.running)
    installed = released if hashed else mirror
    info = start_sandbox(
        sandbox,
        timeout=600,
        services="real" if real_services else None,
        password=real_services,
        alarm_speed=alarm_speed,
        machine=machine,
        install_mirror=lambda _: installed,
        start_process=Program,
    )
    try:
        provider.credentials.symlink_to(info.credentials_file)
        environment = clean_environment()
        path = f"{terraform_of(mirror).parent}:{environment['PATH']}"
        yield WholeSandbox(info, environment | {"PIO_TF_SANDBOX_DIR": str(sandbox), "PATH": path})
    finally:
        stop_sandbox(sandbox)
        provider.credentials.unlink()
