"""Counts what a Python program asks of others: requests over HTTP, and the programs that it starts.

``python -m scripts.bench.counting FILE pio-tf status`` runs pio-tf, ``… FILE -c CODE`` any code, and writes the counts
to FILE as JSON. Python's own audit events tell of both (https://docs.python.org/3/library/audit_events.html), so the
program needs no change. A request is a message that a client of ``http.client`` sends; botocore's is one.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path
from typing import Any

_METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ")


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
