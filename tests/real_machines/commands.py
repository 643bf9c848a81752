"""Programs of this computer."""

from __future__ import annotations

import shlex
import subprocess


def run(*command: object, timeout: float = 60.0) -> str:
    """Run a program to its end, ``timeout`` seconds at most. Return its output.

    Raises:
        AssertionError: its exit status is not 0; with what it has said.
        subprocess.TimeoutExpired: it was killed.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
