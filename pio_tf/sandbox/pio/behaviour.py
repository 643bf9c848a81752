"""Trainings that last, talk or fail: what ``"standIn"`` in engine.json asks of the stand-in.

::

    "standIn": {
      "pauseSeconds": 30,         once it has its executors, it waits so long before it trains, and holds them
      "noiseMegabytes": 20,       before that, it prints so many megabytes, as fast as they are taken
      "binary": true,             with bytes among them that are no UTF-8
      "fail": "exception"         after that, it ends with a stack trace, and exit status 1
    }

``"fail": "metadata"`` is a training whose last word to the metadata is lost: the engine instance stays INIT, which
PredictionIO logs, and calls a success.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from storage import JavaException  # type: ignore[import-not-found]  # it stands beside this file

EXCEPTION = "exception"
LOST_UPDATE = "metadata"
FAILURES = (EXCEPTION, LOST_UPDATE)

_LINE = b"[INFO] [Noise] " + b"many words about little " * 42 + b"\n"
_BINARY_LINE = b"[INFO] [Noise] \xff\xfe\x00\xc3( " + b"\xe9\xe8 no UTF-8 " * 76 + b"\n"


def behave(asked: dict[str, Any]) -> None:
    """Print and wait as asked.

    Raises:
        JavaException: as asked.
    """
    make_noise(float(asked.get("noiseMegabytes", 0)), binary=bool(asked.get("binary")))
    time.sleep(float(asked.get("pauseSeconds", 0)))
    if asked.get("fail") == EXCEPTION:
        cause = JavaException("java.lang.IllegalArgumentException", "engine.json asks the stand-in to fail")
        raise JavaException("org.apache.spark.SparkException", "Job aborted by the stand-in") from cause


def make_noise(megabytes: float, *, binary: bool) -> None:
    """Print so many megabytes."""
    block = (_BINARY_LINE if binary else _LINE) * 64
    for _ in range(int(megabytes * 1_000_000 / len(block))):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
