"""A project on the sandbox, in which a test runs ``pio-tf`` as a user does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from pio_tf.sandbox.access_key import AccessKey
from pio_tf.sandbox.control import sandbox_status
from pio_tf.sandbox.processes import ProcessId, find_processes
from tests.support import fork_server
from tests.support.background import Client
from tests.support.fork_server import PIO_TF

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.sandbox.layout import SandboxInfo


@dataclass(frozen=True)
class Project:
    """A directory with a pio-tf.hcl for the sandbox."""

    directory: Path
    sandbox: SandboxInfo
    environment: dict[str, str] = field(repr=False)

    @property
    def config(self) -> Path:
        return self.directory / "pio-tf.hcl"

    def run(self, *arguments: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``pio-tf``; fail, showing what it said, unless it ends with ``exit_code``."""
        done = fork_server.run([PIO_TF, *arguments], cwd=self.directory, env=self.environment, timeout=600)
        assert done.returncode == exit_code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: str) -> Client:
        """Run ``pio-tf`` in the background; ``with`` kills it at the latest."""
        return Client([PIO_TF, *arguments], directory=self.directory, environment=self.environment)

    def changed(self, pattern: str, replacement: str) -> Path:
        """Write a copy of pio-tf.hcl beside it, with one thing changed."""
        text, count = re.subn(pattern, replacement, self.config.read_text())
        assert count == 1, f"{pattern} stands {count} times in {self.config}"
        path = self.directory / "other.hcl"
        path.write_text(text)
        return path

    @contextlib.contextmanager
    def edited(self, pattern: str, replacement: str) -> Iterator[None]:
        """Change one thing in pio-tf.hcl itself during the block: a file of another name would be another stack."""
        text = self.config.read_text()
        self.changed(pattern, replacement).replace(self.config)
        try:
            yield
        finally:
            self.config.write_text(text)

    def copy(self, directory: Path) -> Project:
        """Make another computer's directory of the same cluster, which knows nothing of runs."""
        shutil.copytree(self.directory, directory, ignore=shutil.ignore_patterns("runs"), symlinks=True)
        return replace(self, directory=directory)

    # The machines

    def machines(self) -> dict[str, dict[str, Any]]:
        """Return the answer of ``pio-tf status --json``, by name."""
        return {machine["name"]: machine for machine in json.loads(self.run("status", "--json").stdout)["machines"]}

    def states(self) -> set[str]:
        return {machine["state"] for machine in self.machines().values()}

    @cached_property
    def ec2(self) -> EC2Client:
        """The sandbox's EC2, for acts of another client there, and for its own answers."""
        ec2: EC2Client = sandbox_client(self.sandbox, "ec2")
        return ec2

    def powers(self) -> set[str]:
        """Return the states of all instances, as EC2 names them."""
        found = self.ec2.describe_instances()["Reservations"]
        return {one["State"]["Name"] for reservation in found for one in reservation["Instances"]}

    def instance(self, name: str) -> str:
        """Return the id of a machine's instance."""
        return next(one.instance_id for one in sandbox_status(self.sandbox.directory).machines if one.name == name)

    def seen(self, name: str) -> str:
        """Return the state of a machine's instance as the sandbox has last seen it.

        A test that waits for a state reads this from a file. A call of EC2 takes much more CPU time.
        """
        return next(one.state for one in sandbox_status(self.sandbox.directory).machines if one.name == name)

    def address(self, name: str) -> str:
        """Return a machine's private address."""
        return next(one.address for one in sandbox_status(self.sandbox.directory).machines if one.name == name)

    def home(self, name: str) -> Path:
        """Return the home directory of a machine, on its disk."""
        return self.sandbox.directory / "machines" / self.instance(name) / "home"

    def processes(self, name: str, word: str) -> list[ProcessId]:
        """Return the processes of a machine with this word in their command lines."""
        found = find_processes(self.home(name).parent)
        return [process for process in found if word.encode() in _command_line(process)]


def sandbox_client(sandbox: SandboxInfo, service: Any) -> Any:  # noqa: ANN401 - boto3 makes them
    """Return the test's own client of a sandbox, with its access key."""
    key = AccessKey.read(sandbox.credentials_file)
    session = boto3.Session(key.id, key.secret, region_name=sandbox.region)
    return session.client(service, endpoint_url=sandbox.url)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of AWS, pio-tf and Terraform."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PIO_TF", "TF_"))}


def _command_line(process: ProcessId) -> bytes:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
