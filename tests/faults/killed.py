"""A real `pio-tf`, in a process of its own, that is killed with SIGKILL at one of its calls of AWS."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from pio_tf.sandbox.aws import call_of
from tests.faults.aws import CalledAws
from tests.faults.faults import FAIR
from tests.faults.scenario import KILLED, Outcome, Result, Stage, check_after, check_deadline
from tests.faults.world import World
from tests.support.fork_server import PIO_TF, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.faults.time import Clock

CALLS = {"up": 24, "up --for 2h": 24, "down": 9, "down --force": 9}
"""Commands, and the calls of AWS with which a client has begun to wait for machines. It is killed before it would call
the driver: there is nothing behind these machines. Its waits have no end: time stands still while it lives."""
WORKERS = 2
LONGEST = 120.0
"""Seconds, on a busy computer, after which a client is killed that has not come to the call."""


class KillingAws(CalledAws):
    """The local AWS over HTTP, which kills a process when it has been called so often."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - LocalAws's
        super().__init__(**options)
        self._kill: Callable[[], None] | None = None
        self._at: int | str = 0
        self._calls = 0
        self._after_effect = False

    def kill_at(self, call: int | str, kill: Callable[[], None], *, after_effect: bool) -> None:
        """Kill at that call, counted from 1, or at that action of AWS: before it has its effect, or after."""
        self._at, self._calls, self._kill, self._after_effect = call, 0, kill, after_effect

    def spare(self) -> None:
        """Kill no more processes."""
        self._kill = None

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self._calls += 1
        kill = self._kill if self._at in (self._calls, call_of(environ)[1]) else None
        if kill is not None and not self._after_effect:
            kill()
            start_response("503 Service Unavailable", [])
            return [b""]
        done = super()._application(environ, start_response)
        if kill is not None:
            kill()
        return done


class KilledStage:
    """A cluster with processes as clients, and time that passes only when they are dead."""

    def __init__(self, aws: KillingAws, clock: Clock, directory: Path) -> None:
        self._aws = aws
        self._clock = clock
        self._stage = Stage(World(aws, clock, workers=WORKERS, directory=directory))

    def play(self, seed: int) -> Result:
        """Kill a client at a call of its that is drawn."""
        rng = random.Random(f"killed {seed}")  # noqa: S311 - no secret
        world = self._stage.world
        powers = {name: rng.choice(("stopped", "running")) for name in world.machines}
        command = rng.choice(tuple(CALLS))
        return self.play_one(
            command,
            powers | {"driver": "stopped"},
            call=rng.randint(1, CALLS[command]),
            after_effect=rng.random() < 0.5,
            seed=seed,
        )

    def play_one(
        self, command: str, powers: dict[str, str], *, call: int | str, after_effect: bool, seed: int = 0
    ) -> Result:
        """Kill a client of machines with these powers at that call, before or after its effect."""
        world, result = self._stage.world, Result(seed, WORKERS)
        world.begin(FAIR, powers)
        with self._clock.on_the_wall():
            self._play(command, result, call=call, after_effect=after_effect)
        return result

    def _play(self, command: str, result: Result, *, call: int | str, after_effect: bool) -> None:
        world = self._stage.world
        powers = world.states()
        code = run_until_killed(world, self._aws, command, call=call, after_effect=after_effect)
        now = world.states()
        world.started["a process"] = {name for name, state in now.items() if powers[name] == "stopped" != state}
        result.outcomes.append(Outcome(command, "a process", code, powers=now))
        result.faults["SIGKILL of a process"] += code == KILLED
        result.violations = [*check_deadline(result, world), *check_after(self._stage, result)]


def run_until_killed(world: World, aws: KillingAws, command: str, *, call: int | str, after_effect: bool) -> int:
    """Run a command until that call, and kill it there. Its exit code: -9, unless it ended before."""
    directory = world.config.path.parent
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PIO_TF", "TF_"))}
    with Program(
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
        aws.spare()
    return code
