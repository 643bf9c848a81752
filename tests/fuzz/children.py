"""Commands of pio-tf in children of this process: with any environment, arguments and standard streams.

A child begins as a fork, with all modules loaded: it takes 50 ms, where a new Python takes half a second.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import select
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import pio_tf
from pio_tf.cli import main
from tests.fuzz.settings import LONGEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SURPRISE = 99
"""Exit code of a child in which Python itself would have written a traceback."""


@dataclass(frozen=True)
class Streams:
    """The standard streams of a child: each ``open``, ``closed`` or ``full``; and their encoding."""

    stdin: str = "open"
    stdout: str = "open"
    stderr: str = "open"
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Ended:
    """A child that has ended."""

    exit_code: int
    text: str
    """All of its standard output and standard error, and a traceback that Python would have written."""


def load_all() -> None:
    """Import what commands import when they run, so that each child has it already."""
    for module in pkgutil.walk_packages(pio_tf.__path__, "pio_tf."):
        if not re.search(r"\.(sandbox|__main__|bundled)\b", module.name):
            importlib.import_module(module.name)
    importlib.import_module("botocore.session").Session().get_service_model("ec2")


def run(arguments: Sequence[bytes], environment: Mapping[bytes, bytes], streams: Streams, directory: Path) -> Ended:
    """Run ``pio-tf`` in a directory.

    Raises:
        AssertionError: it did not end in time.
    """
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            try:
                _become(arguments, environment, streams, directory, output.fileno())
            finally:
                os._exit(_SURPRISE)
        code = _wait(pid)
        output.seek(0)
        return Ended(code, output.read().decode("utf-8", "replace"))


def _wait(pid: int) -> int:
    handle = os.pidfd_open(pid)
    try:
        if not select.select([handle], [], [], LONGEST)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"nothing within {LONGEST:g} s")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(handle)


def _become(
    arguments: Sequence[bytes], environment: Mapping[bytes, bytes], streams: Streams, directory: Path, output: int
) -> None:
    """Become ``pio-tf``, as a new Python would; never return."""
    report = os.dup(output)
    os.chdir(directory)
    os.environb.clear()
    os.environb.update(environment)
    if hasattr(time, "tzset"):
        time.tzset()
    sys.argv = ["pio-tf", *map(os.fsdecode, arguments)]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _stream(number, getattr(streams, name), streams.encoding, output))
        setattr(sys, f"__{name}__", getattr(sys, name))
    try:
        main.main()
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:  # noqa: BLE001 - Python would print it
        os.write(report, traceback.format_exc().encode("utf-8", "backslashreplace"))


def _stream(number: int, kind: str, encoding: str, output: int) -> IO[str] | None:
    if kind == "closed":
        os.close(number)
        return None
    source = output if kind == "open" and number else os.open("/dev/full" if kind == "full" else os.devnull, os.O_RDWR)
    os.dup2(source, number)
    errors = "backslashreplace" if number == 2 else "strict"
    return open(number, "w" if number else "r", encoding=encoding, errors=errors, closefd=False)
