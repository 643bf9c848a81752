"""A cluster of the sandbox that is up, and the ways to it: by ``pio-tf``, and by SSH alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import asyncssh

from pio_tf.sandbox.control import start_sandbox, stop_sandbox
from pio_tf.sandbox.project import prepare_project
from pio_tf.sandbox.sample import make_events
from tests.integration import light_spark
from tests.integration.training import PIO_WITHOUT_SPARK, lay_out_no_spark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager

    Started: TypeAlias = AbstractContextManager[subprocess.Popen[str]]

PIO_TF = Path(sys.executable).with_name("pio-tf")
CIDR = f"127.77.{os.getpid() % 200 + 20}.0/24"
"""Not the sandbox's own default: a demo, or another benchmark, may run beside it."""
EVENTS = 300
"""To train on. What is measured is not the training."""


@dataclass(frozen=True)
class SandboxCluster:
    """A driver, a master and two workers, which run."""

    project: Path
    home: Path
    """The driver's home directory, on this computer's disk."""
    address: str
    port: int
    user: str
    environment: dict[str, str]
    url: str
    """The endpoint of the sandbox's AWS."""
    terraformrc: Path
    """Terraform's CLI configuration, which leads to the sandbox's providers."""

    @property
    def key(self) -> Path:
        """Opens the driver."""
        return self.project / ".pio-tf" / "sandbox_key"

    def pio_tf(self, *arguments: str) -> str:
        """Run a command; return its standard output."""
        return pio_tf(*arguments, project=self.project, environment=self.environment)

    def start(self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> Started:
        """Start a command, with its standard error in its standard output."""
        return started(*arguments, project=self.project, environment=self.environment, stdout=stdout)

    def last_run(self) -> dict[str, Any]:
        """Return the record of the last run."""
        path = max((self.project / ".pio-tf" / "bench" / "runs").glob("*/record.json"))
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    @asynccontextmanager
    async def ssh(self) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Connect to the driver with the fewest features of asyncssh."""
        async with asyncssh.connect(
            self.address, self.port, username=self.user, client_keys=[str(self.key)], known_hosts=None, config=None
        ) as connection:
            yield connection


@contextmanager
def ready_cluster(*, spark: bool = True) -> Iterator[SandboxCluster]:
    """Make a ready cluster for the block; remove it with all its files afterwards.

    Args:
        spark: False: small programs are Spark's master and workers, and `pio train` is one process of Python.
    """
    with TemporaryDirectory(prefix="pio-tf-bench-") as directory:
        sandbox, project = Path(directory, "sandbox"), Path(directory, "project")
        info = start_sandbox(sandbox, machine=None if spark else light_spark.MACHINES)
        try:
            prepare_project(project, info, cluster="bench", cidr=CIDR)
            if not spark:
                (sandbox / light_spark.MARK).touch()
            clean = {
                name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIO_TF", "TF_"))
            }
            environment = clean | {"PIO_TF_SANDBOX_DIR": str(sandbox)}
            pio_tf("up", project=project, environment=environment)
            status = json.loads(pio_tf("status", "--json", project=project, environment=environment))
            driver = next(machine for machine in status["machines"] if machine["role"] == "driver")
            home = sandbox / "machines" / driver["instance_id"] / "home"
            lines = (json.dumps(event) for event in islice(make_events(), EVENTS))
            (home / "engine" / "events.jsonl").write_text("\n".join(lines) + "\n")
            if not spark:
                lay_out_no_spark(home)
                config = project / "pio-tf.hcl"
                config.write_text(config.read_text().replace('"~/pio"', f'"~/{PIO_WITHOUT_SPARK}"'))
            yield SandboxCluster(
                project,
                home,
                driver["private_ip"],
                info.ssh_port,
                info.ssh_user,
                environment,
                url=info.url,
                terraformrc=info.cli_config_file,
            )
        finally:
            stop_sandbox(sandbox)


def pio_tf(*arguments: str, project: Path, environment: dict[str, str]) -> str:
    """Run a command; return its standard output.

    Raises:
        RuntimeError: it failed; with all that it has written.
    """
    with started(*arguments, project=project, environment=environment, stderr=subprocess.PIPE) as process:
        out, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"pio-tf {' '.join(arguments)} ended with {process.returncode}\n{out}{errors}")
    return out


@contextmanager
def started(
    *arguments: str,
    project: Path,
    environment: dict[str, str],
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int | IO[str] = subprocess.STDOUT,
) -> Iterator[subprocess.Popen[str]]:
    """Start ``pio-tf``. If the block ends before it does, interrupt it, so that it ends what it has begun."""
    process = subprocess.Popen(
        [PIO_TF, *arguments], cwd=project, env=environment, stdout=stdout, stderr=stderr, text=True
    )
    try:
        yield process
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        raise
    process.wait()
