"""`pio-tf generate --lock` with a registry on loopback: a lock file for every platform, and for one version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.stack_directory import LOCK_FILE, PLATFORMS
from tests.terraforms.registry import Registry
from tests.terraforms.worlds import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws
    from tests.terraforms.worlds import Program


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    found = Registry(tmp_path_factory.mktemp("registry"))
    yield found
    found.close()


def test_the_lock_file_has_the_checksums_of_every_platform_and_keeps_its_version(
    program: Program, registry: Registry, tmp_path: Path, aws: LocalAws
) -> None:
    hosts = [
        f'host "registry.{name}" {{\n  services = {{ "providers.v1" = "{registry.url}/" }}\n}}\n'
        for name in ("terraform.io", "opentofu.org")
    ]
    (tmp_path / "terraformrc").write_text("".join(hosts))
    world = World(
        tmp_path, program, aws.url, tmp_path / "terraformrc", backend="s3" if program.locks_in_s3 else "local"
    )
    file = tmp_path / LOCK_FILE

    world.write(options='aws_provider_version = "~> 3.39"')
    world.project.run("generate", "--lock")

    text = file.read_text()
    assert 'version     = "3.39.0"' in text
    assert set(re.findall(r'"(zh:\w+)"', text)) == registry.checksums("3.39.0")
    assert len(re.findall(r'"h1:', text)) == len(PLATFORMS)
    assert (world.stack / LOCK_FILE).read_text() == text

    world.write()
    world.project.run("generate", "--lock")
    assert file.read_text().count('"3.39.0"') == 1

    file.unlink()
    (world.stack / LOCK_FILE).unlink()
    world.project.run("generate", "--lock")
    assert set(re.findall(r'"(zh:\w+)"', file.read_text())) == registry.checksums("5.99.0")
