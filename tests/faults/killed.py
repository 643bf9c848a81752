"""A real `pio-tf`, in a process of its own, that is killed with SIGKILL at one of its calls of AWS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.aws import CalledAws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.faults.world import World

PIO_TF = Path(sys.executable).with_name("pio-tf")
LONGEST = 120.0
"""Seconds, on a busy computer, after which a client is killed that has not come to the call."""


class KillingAws(CalledAws):
    """The local AWS over HTTP, which kills a process when it has been called so often."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - LocalAws's
        super().__init__(**options)
        self._kill: Callable[[], None] | None = None
        self._left = 0
        self._after_effect = False

    def kill_at(self, call: int, kill: Callable[[], None], *, after_effect: bool) -> None:
        """Kill at that call from now on, counted from 1: before it has its effect, or after."""
        self._left, self._kill, self._after_effect = call, kill, after_effect

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self._left -= 1
        kill = self._kill if self._left == 0 else None
        if kill is not None and not self._after_effect:
            kill()
            start_response("503 Service Unavailable", [])
            return [b""]
        done = super()._application(environ, start_response)
        if kill is not None:
            kill()
        return done


def run_until_killed(world: World, aws: KillingAws, command: str, *, call: int, after_effect: bool) -> int:
    """Run a command until that call, and kill it there. Its exit code: -9, unless it ended before."""
    directory = world.config.path.parent
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PIO_TF", "TF_"))}
    with subprocess.Popen(
        [PIO_TF, *command.split()],
        cwd=directory,
        env=environment | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        aws.kill_at(call, process.kill, after_effect=after_effect)
        timer = threading.Timer(LONGEST, process.kill)
        timer.start()
        code = process.wait()
        timer.cancel()
    return code
