"""The worlds of these tests: a program of `--terraform`, and the place of the state."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.local_project import aws
from tests.terraforms.worlds import Program, World

if TYPE_CHECKING:
    from pio_tf.sandbox.aws import LocalAws

__all__ = ["aws"]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these tests out unless a program is named."""
    return None if config.getoption("terraform") else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make the worlds that a program can be in: old ones keep no state in S3, and only OpenTofu encrypts one."""
    programs = [_identify(path) for path in metafunc.config.getoption("terraform")]
    chosen: dict[str, list[tuple[object, str]]] = {
        "world": [
            ((program, backend, encrypted), f"{program}-{backend}{'-encrypted' * encrypted}")
            for program in programs
            for backend, encrypted in (("local", False), ("s3", False), ("s3", True))
            if (backend == "local" or program.locks_in_s3) and (program.product == "tofu" or not encrypted)
        ],
        "program": [(program, str(program)) for program in programs],
        "tofu": [(program, str(program)) for program in programs if program.product == "tofu"],
        "old": [(program, str(program)) for program in programs if not program.locks_in_s3],
    }
    for name, values in chosen.items():
        if name in metafunc.fixturenames:
            sets = [pytest.param(value, id=word) for value, word in values]
            metafunc.parametrize(name, sets, indirect=name == "world", scope="module")


def _identify(path: str) -> Program:
    said = subprocess.run([path, "version"], capture_output=True, text=True, check=True).stdout
    # Warnings may come first.
    found = re.search(r"^(Terraform|OpenTofu) v(\S+)$", said, re.MULTILINE)
    assert found, f"{path} version: {said}"
    return Program(Path(path).absolute(), "tofu" if found[1] == "OpenTofu" else "terraform", found[2])


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, provider_mirror: Path
) -> World:
    """Make a cluster of its own for one program and one place of the state."""
    program, backend, encrypted = request.param
    directory = tmp_path_factory.mktemp("world")
    return World(directory, program, aws.url, provider_mirror, backend=backend, encrypted=encrypted)
