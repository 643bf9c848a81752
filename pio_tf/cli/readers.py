"""Whoever reads what a command writes may go away: ``pio-tf train | head -1``, a terminal that is closed."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from typing import IO

_GONE = (errno.EPIPE, errno.EIO)  # a pipe's reader, a terminal


def is_gone(error: OSError) -> bool:
    """Whether an error of writing says that nobody reads any more."""
    return error.errno in _GONE


def let_go(*streams: IO[str]) -> list[IO[str]]:
    """What is written to those of the streams that nobody reads goes nowhere from now on, and is no error.

    Returns:
        These streams.
    """
    unread = []
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):  # no file descriptor behind it
            poll = select.poll()
            poll.register(stream.fileno(), 0)  # errors and hang-ups are reported always
            if poll.poll(0):
                unread.append(stream)
    for stream in unread:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return unread
