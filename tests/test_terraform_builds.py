"""`python -m scripts.terraforms`, with a stand-in for Go: what it builds, what it keeps, and how it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.terraforms import BUILDS

CHECKOUT = Path(__file__).parents[1]
CHECKSUM = BUILDS[0].checksum
_GO = """\
#!/bin/sh
echo "$*" >>"HERE/calls"
case "$1 $2" in
"env GOVERSION") cat "HERE/version" ;;
"mod download") printf '{"Dir": "HERE", "Sum": "%s"}' "$(cat HERE/checksum)" ;;
"build "*)
    [ -e HERE/broken ] && echo "main.go:1: undefined" >&2 && exit 1
    [ "$PWD" = HERE ] || exit 3
    while [ "$1" != -o ]; do shift; done
    echo program >"$2" ;;
esac
"""


class World:
    """A directory with a `go` and a cache."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir()
        go = self.bin / "go"
        go.write_text(_GO.replace("HERE", str(directory)))
        go.chmod(0o755)
        self.has(version="go1.26.6", checksum=CHECKSUM)

    def has(self, **files: str) -> None:
        for name, text in files.items():
            (self.directory / name).write_text(text)

    def run(self, *arguments: str, exit_code: int = 0, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "scripts.terraforms", *arguments],
            cwd=CHECKOUT,
            env={"PATH": f"{self.bin}:{path}", "XDG_CACHE_HOME": str(self.directory / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == exit_code, done.stderr
        return done

    def builds(self) -> int:
        return sum(line.startswith("build ") for line in (self.directory / "calls").read_text().splitlines())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_program_is_built_once_for_each_version_of_go(world: World) -> None:
    first = Path(world.run("terraform-1.5.7").stdout.strip())
    assert first == world.directory / "cache" / "pio-tf" / "terraforms" / "terraform-1.5.7-go1.26.6" / "terraform"
    assert first.read_text() == "program\n"
    assert Path(world.run("terraform-1.5.7").stdout.strip()) == first
    assert world.builds() == 1

    world.has(version="go1.27.0")
    assert world.run("terraform-1.5.7").stdout != f"{first}\n"
    assert world.builds() == 2


def test_a_module_that_is_not_the_expected_one_is_not_built(world: World) -> None:
    world.has(checksum="h1:other")
    said = world.run("terraform-1.5.7", exit_code=1).stderr
    assert f"github.com/hashicorp/terraform 1.5.7 has the checksum h1:other, not {CHECKSUM}" in said
    assert world.builds() == 0


def test_what_cannot_be_compiled_leaves_no_program_and_is_tried_again(world: World) -> None:
    world.has(broken="")
    said = world.run("terraform-1.5.7", exit_code=1)
    assert said.stderr.endswith("main.go:1: undefined\n")
    assert said.stdout == ""
    (world.directory / "broken").unlink()
    world.run("terraform-1.5.7")


def test_a_missing_go_is_said(world: World) -> None:
    (world.bin / "go").unlink()
    assert "error: go is not on PATH: install Go" in world.run(exit_code=1, path="").stderr


def test_an_unknown_name_is_answered_with_the_known_ones(world: World) -> None:
    said = world.run("tofu-1.0.0", exit_code=2).stderr
    assert "there is no tofu-1.0.0: choose from terraform-1.5.7, " in said


def test_the_docs_list_every_version_that_is_tested() -> None:
    text = (CHECKOUT / "docs" / "state.md").read_text(encoding="utf-8")
    table = text.partition("## Terraform and OpenTofu\n")[2].partition("\n## ")[0]
    assert [build.name for build in BUILDS if build.version not in table] == []
