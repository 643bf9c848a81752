"""Trainings that take long, print much or fail, as ``"standIn"`` in engine.json asks.

::

    "standIn": {
      "pauseSeconds": 30,         wait this long before the training, while holding the executors
      "noiseMegabytes": 20,       before that, print this many megabytes, as fast as possible
      "binary": true,             with bytes that are not UTF-8
      "fail": "exception"         after that, end with a stack trace, and exit status 1
    }

With ``"fail": "heap"``, it is the stack trace of a driver whose heap is full.

With ``"fail": "metadata"``, the last update of the metadata is lost: the engine instance stays INIT. PredictionIO logs
that, and reports a success.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from storage import JavaException  # type: ignore[import-not-found]  # it is beside this file

EXCEPTION = "exception"
FULL_HEAP = "heap"
LOST_UPDATE = "metadata"
FAILURES = (EXCEPTION, FULL_HEAP, LOST_UPDATE)
KEYS = ("pauseSeconds", "noiseMegabytes", "binary", "fail")

_LINE = b"[INFO] [Noise] " + b"many words about little " * 42 + b"\n"
_BINARY_LINE = b"[INFO] [Noise] \xff\xfe\x00\xc3( " + b"\xe9\xe8 no UTF-8 " * 76 + b"\n"


def behave(asked: dict[str, Any]) -> None:
    """Print, wait and fail as asked.

    Raises:
        JavaException: engine.json asks for it.
    """
    make_noise(float(asked.get("noiseMegabytes", 0)), binary=bool(asked.get("binary")))
    time.sleep(float(asked.get("pauseSeconds", 0)))
    if asked.get("fail") == FULL_HEAP:
        raise JavaException("java.lang.OutOfMemoryError", "Java heap space")
    if asked.get("fail") == EXCEPTION:
        cause = JavaException("java.lang.IllegalArgumentException", "engine.json asks the stand-in to fail")
        raise JavaException("org.apache.spark.SparkException", "Job aborted by the stand-in") from cause


def make_noise(megabytes: float, *, binary: bool) -> None:
    """Print this many megabytes."""
    block = (_BINARY_LINE if binary else _LINE) * 64
    for _ in range(int(megabytes * 1_000_000 / len(block))):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
