"""Ownership of the sandbox directory: one command works on it at a time, and no other directory is ever emptied."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pio_tf.errors import SandboxError
from pio_tf.sandbox.processes import end_processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.sandbox.layout import Layout

DIRECTORY_VARIABLE = "PIO_TF_SANDBOX_DIR"
_POLL_SECONDS = 0.05


def server_runs(layout: Layout) -> bool:
    """Return whether a server holds its lock, which the kernel releases however the process ends."""
    try:
        with layout.server_lock.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # A killed process holds its files until the last of its threads has ended.
        record = layout.server.read()
        return record is None or record.process.is_alive()
    except OSError:
        return False
    return False


def claim(layout: Layout) -> None:
    """Mark the directory as a sandbox's.

    Raises:
        SandboxError: it holds other files.
    """
    layout.directory.mkdir(parents=True, exist_ok=True)
    if any(layout.directory.iterdir()):
        raise SandboxError(
            f"{layout.directory} is not empty, and does not belong to a sandbox",
            cause="the sandbox removes its whole directory when it stops",
            next_step=f"set {DIRECTORY_VARIABLE} to a directory of its own",
        )
    layout.directory.chmod(0o700)
    layout.marker.write_text(
        "pio-tf made this directory, and removes it with `pio-tf sandbox stop`.\n", encoding="ascii"
    )


def clean_up(layout: Layout) -> None:
    """End every process of the sandbox and empty its directory. Leave the directory of anything else alone.

    The directory itself stays, because the lock is on it. The last holder of the lock removes it.

    Raises:
        SandboxError: a process cannot be ended.
    """
    if not layout.marker.exists():
        return
    left = end_processes(layout.directory)
    if left:
        raise SandboxError(
            f"could not end these processes of the sandbox: {', '.join(str(process.pid) for process in left)}",
            cause="they are in a system call that cannot be interrupted",
            next_step="inspect them with ps, then run `pio-tf sandbox stop` again",
        )
    for path in layout.directory.iterdir():
        if path != layout.marker:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    layout.marker.unlink()  # last, because without it the rest may not be removed


@contextmanager
def exclusive(layout: Layout, *, timeout: float = 120.0) -> Iterator[None]:
    """Allow one start or stop at a time. The lock is on the directory itself, so that no lock file stays behind.

    Raises:
        SandboxError: another command takes too long.
    """
    deadline = time.monotonic() + timeout
    while True:
        layout.directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(layout.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SandboxError(
                        f"another command is starting or stopping the sandbox in {layout.directory}",
                        next_step="wait for it, or end it, and retry",
                    ) from error
                time.sleep(_POLL_SECONDS)
                continue
            if _same(handle, layout.directory):  # otherwise another command has removed it
                yield
                return
        finally:
            os.close(handle)


def _same(handle: int, directory: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), directory.stat())
    except FileNotFoundError:
        return False
