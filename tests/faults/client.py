"""One client's process: its calls, steps, faults and end."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tests.faults.aws import KINDS, READS, Died, Retries, action_of, answer, happen, refused
from tests.faults.faults import NO_SSH, REMOTE, SUSPENDED, Fault, Trouble

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.client import BaseClient

    from tests.faults.time import Turns
    from tests.faults.world import World


acting: ContextVar[Client] = ContextVar("client")
"""The client of this thread."""


class Client:
    """One client: all its calls of AWS and of the driver go through this object.

    Args:
        turns: lets other clients act between its steps.
    """

    def __init__(self, name: str, world: World, trouble: Trouble, turns: Turns | None = None) -> None:
        self.name = name
        self.world = world
        self.trouble = trouble
        self.dead = False
        self._turns = turns
        self._retries: dict[int, Retries] = {}

    def retries(self, made: BaseClient) -> Retries:
        """Return this client's own retries for a client of botocore's that it shares with others."""
        if id(made) not in self._retries:
            self._retries[id(made)] = Retries(made, self.sleep)
        return self._retries[id(made)]

    def sleep(self, seconds: float) -> None:
        """Wait in the world's time."""
        self._alive()
        self.world.pass_by(seconds)
        self._step()

    def remote_fault(self) -> Fault | None:
        """Begin to deal with the driver; return the fault that the dealing itself must handle."""
        self._alive()
        self._step()
        fault = self.trouble.next(self.world.clock(), kinds=(*REMOTE, NO_SSH, "interrupted", "killed", SUSPENDED))
        if fault is not None and fault.kind == SUSPENDED:
            self._sleep_deeply(fault)
            return None
        if fault is not None and fault.kind in ("interrupted", "killed"):
            self._end(fault)
        return fault

    def send(self, request: AWSPreparedRequest, **_event: Any) -> AWSResponse:  # noqa: ANN401 - botocore's event
        """Call AWS: botocore's event ``before-send``."""
        action, arguments = action_of(request)
        if acting.get(None) is None and READS.match(action):  # of a pool's threads, which read all at once
            return self._effect(request, action, arguments)
        self._alive()
        self._step()
        # Scheduler has no change on a condition: docs/failsafe.md names the client that sleeps right before its change.
        may_sleep = not (action.partition(" ")[2].startswith("/schedules/") and not READS.match(action))
        fault = self.trouble.next(self.world.clock(), kinds=(*KINDS, SUSPENDED) if may_sleep else KINDS)
        if fault is not None and fault.kind == SUSPENDED:
            self._sleep_deeply(fault)
            fault = None
        if fault is not None and not fault.after_effect:
            self._end(fault)
            return happen(fault, request.url)
        done = self._effect(request, action, arguments)
        if fault is not None:
            self._end(fault)
            return happen(fault, request.url)
        return done

    def _effect(self, request: AWSPreparedRequest, action: str, arguments: dict[str, list[str]]) -> AWSResponse:
        no = self.world.weather_refuses(action, arguments)
        if no is not None:
            return refused(request.url, *no, 500)
        if READS.match(action):
            return answer(request.url, *self.world.read(request, action))
        return answer(request.url, *self.world.change(request, action, arguments, by=self.name))

    def _sleep_deeply(self, fault: Fault) -> None:
        if self._turns is not None:
            self._turns.wait_for_others(self.name)
        self.world.pass_by(fault.seconds)
        self._alive()

    def _alive(self) -> None:
        if self.dead:
            raise Died

    def _end(self, fault: Fault) -> None:
        if fault.kind == "killed":
            self.dead = True
            self.world.driver.lost(self)
            raise Died
        if fault.kind == "interrupted":
            raise KeyboardInterrupt

    def _step(self) -> None:
        self.world.step()
        if self._turns is not None:
            self._turns.step(self.name)
            self._alive()
