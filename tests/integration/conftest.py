"""A sandbox for the whole file, and `pio-tf` run in it as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.sandbox.control import start_sandbox, stop_sandbox
from pio_tf.sandbox.template import prepare_project

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

    from pio_tf.sandbox.layout import SandboxInfo

PIO_TF = Path(sys.executable).with_name("pio-tf")


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
        done = subprocess.run(
            [PIO_TF, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == exit_code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def interrupt(self, number: signal.Signals, *arguments: str, after: str) -> tuple[int, str]:
        """Run ``pio-tf``, send it a signal once it has written ``after``; exit code and all that it wrote."""
        with subprocess.Popen(
            [PIO_TF, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if after in line:
                    process.send_signal(number)
                    break
            lines += process.stdout.readlines()
            return process.wait(timeout=120), "".join(lines)

    def machines(self) -> dict[str, dict[str, Any]]:
        """``pio-tf status --json``, by name."""
        return {machine["name"]: machine for machine in json.loads(self.run("status", "--json").stdout)["machines"]}

    def states(self) -> set[str]:
        return {machine["state"] for machine in self.machines().values()}

    def home(self, name: str) -> Path:
        """The home directory of a machine, on its disk."""
        return self.sandbox.directory.joinpath("machines", str(self.machines()[name]["instance_id"]), "home")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    directory = tmp_path_factory.mktemp("project")
    sandbox = tmp_path_factory.mktemp("sandbox") / "sandbox"
    info = start_sandbox(sandbox)
    try:
        prepare_project(directory, info, cluster="trial", cidr="127.77.231.0/24")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PIO_TF", "TF_"))}
        yield Project(directory, info, clean | {"PIO_TF_SANDBOX_DIR": str(sandbox)})
    finally:
        stop_sandbox(sandbox)
