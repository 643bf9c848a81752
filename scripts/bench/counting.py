"""Counts what a Python program asks of others: requests over HTTP, and the programs that it starts.

``python -m scripts.bench.counting FILE pio-tf status`` runs pio-tf, ``… FILE -c CODE`` any code, and writes what it has
counted to FILE as JSON; :func:`run_counted` reads that. Python's own audit events tell of both
(https://docs.python.org/3/library/audit_events.html), so the program needs no change. A request is a message that a
client of ``http.client`` sends; botocore's is one.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
_METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ")


@dataclass(frozen=True)
class Counted:
    """A program that has ended, and what it has asked of others.

    Args:
        requests: the first line of each request over HTTP.
        programs: the command line of each program that it has started.
        modules: the modules that it has imported.
    """

    exit_code: int
    output: str
    requests: tuple[str, ...]
    programs: tuple[tuple[str, ...], ...]
    modules: frozenset[str]

    @property
    def terraform_runs(self) -> list[str]:
        """The commands that Terraform, or OpenTofu, was run with."""
        names = ("terraform", "tofu", "pio-tf-terraform")
        return [words[1] for words in self.programs if Path(words[0]).name in names]


def run_counted(arguments: Sequence[str], *, environment: Mapping[str, str], directory: Path) -> Counted:
    """Run ``pio-tf …`` or ``-c CODE`` in a directory."""
    with TemporaryDirectory() as name:
        file = Path(name, "counts.json")
        done = subprocess.run(
            [sys.executable, "-m", "scripts.bench.counting", file, *arguments],
            env={**environment, "PYTHONPATH": str(ROOT)},
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        found = json.loads(file.read_text(encoding="utf-8"))
    programs = tuple(tuple(words) for words in found["programs"])
    modules = frozenset(found["modules"])
    return Counted(done.returncode, done.stdout, tuple(found["requests"]), programs, modules)


def main() -> None:
    """Run a program with its counts written at its end."""
    file, kind, *rest = sys.argv[1:]
    watch(Path(file))
    if kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - from a benchmark or a test
        return
    sys.argv = [kind, *rest]
    from pio_tf.cli.main import main as pio_tf

    pio_tf()


def watch(file: Path) -> None:
    """Count from now on, and write the counts to ``file`` when this process ends."""
    requests: list[str] = []
    programs: list[list[str]] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "http.client.send" and isinstance(arguments[1], bytes) and arguments[1].startswith(_METHODS):
            requests.append(arguments[1].split(b"\r\n", 1)[0].decode("ascii", "replace"))
        elif event == "subprocess.Popen":
            programs.append([os.fsdecode(word) for word in arguments[1]])

    def write() -> None:
        content = {"requests": requests, "programs": programs, "modules": sorted(sys.modules)}
        file.write_text(json.dumps(content), encoding="utf-8")

    sys.addaudithook(hear)
    atexit.register(write)


if __name__ == "__main__":
    main()
