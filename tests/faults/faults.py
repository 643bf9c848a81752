"""Faults and weather, drawn from a seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

PASSING: Final = ("throttled", "error-500", "unavailable", "time-out", "reset", "no-route")
"""Faults of a call: refusals of AWS, and failures of the network."""
AFTER_EFFECT: Final = ("error-500", "time-out", "reset")
"""Faults that may also come after the call has taken effect."""
ENDS: Final = ("killed", "interrupted", "interrupted-twice", "expired")
"""Faults of a client, rather than of a call. ``expired``: AWS refuses its credentials from now on."""
REMOTE: Final = ("ssh-unreachable", "ssh-lost", "training-failed", "out-of-sight")
"""Faults on the way to the driver, and on it."""
SUSPENDED: Final = "suspended"
"""The client's computer sleeps: others act meanwhile, and then the client continues as if nothing had happened."""

NO_SSH: Final = "no SSH"
"""The driver never answers this client, though it answers others."""


@dataclass(frozen=True)
class Fault:
    """One fault of one client."""

    kind: str
    at: int
    """The client's step at which it happens, counted from 1: calls of AWS and dealings with the driver."""
    times: int = 1
    """Steps in a row; each try of a call is one."""
    seconds: float = 0.0
    """For how long from then on, instead of ``times``: an outage."""
    after_effect: bool = False


@dataclass
class Trouble:
    """The faults of one client, and those that have happened."""

    faults: tuple[Fault, ...] = ()
    happened: Counter[str] = field(default_factory=Counter)
    step: int = 0
    _since: dict[Fault, float] = field(default_factory=dict)

    def next(self, now: float, *, kinds: tuple[str, ...]) -> Fault | None:
        """Return the fault of the next step, if one of these kinds is due."""
        self.step += 1
        for fault in self.faults:
            if fault.kind in kinds and self._is_due(fault, now):
                self.happened[fault.kind + (" after effect" if fault.after_effect else "")] += 1
                return fault
        return None

    def _is_due(self, fault: Fault, now: float) -> bool:
        if fault.kind in ("expired", "killed", NO_SSH):
            return self.step >= fault.at
        if fault.seconds and fault.kind != SUSPENDED:
            if self.step >= fault.at:
                self._since.setdefault(fault, now)
            return fault in self._since and now < self._since[fault] + fault.seconds
        if fault.kind in (*REMOTE, SUSPENDED):  # there are few steps that these may come at: the first after that one
            if self.step >= fault.at and fault not in self._since:
                self._since[fault] = now
                return True
            return False
        return fault.at <= self.step < fault.at + fault.times


def draw_trouble(rng: random.Random) -> Trouble:
    """Return no fault, as often as not; else up to three."""
    if rng.random() < 0.1:
        return Trouble((Fault(SUSPENDED, rng.randint(1, 25), seconds=rng.choice((600.0, 3600.0, 10 * 3600.0))),))
    if rng.random() < 0.1:
        return Trouble((Fault(NO_SSH, 1),))
    faults = []
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        at = rng.randint(1, rng.choice((4, 12, 30)))
        kind = rng.choice((rng.choice(PASSING), rng.choice(PASSING), rng.choice(ENDS), rng.choice(REMOTE)))
        after = kind in (*AFTER_EFFECT, *ENDS) and rng.random() < 0.5
        outage = kind in PASSING and rng.random() < 0.25
        seconds = rng.choice((20.0, 100.0, 300.0, 2000.0)) if outage else 0.0
        if kind == "interrupted-twice":
            faults.append(Fault("interrupted", at, after_effect=after))
            faults.append(Fault("interrupted", at + rng.randint(1, 6)))
        else:
            faults.append(Fault(kind, at, rng.choice((1, 1, 2, 5)), seconds, after and not outage))
    return Trouble(tuple(faults))


TYPES: Final = ("r3.xlarge", "r5.xlarge", "r6i.xlarge")
"""The types that machines may have: the default of pio-tf.hcl."""
BAD: Final = ("terminated", "untagged", "protected")
"""From outside: terminated, without the cluster's tag, with ``disableApiStop``."""


@dataclass(frozen=True)
class BadMachine:
    """A machine that AWS can't stop from some time on."""

    machine: str
    kind: str
    at: int
    """The step, of all clients together, at which it becomes one."""


def draw_bad(rng: random.Random, machines: tuple[str, ...]) -> BadMachine | None:
    """Return a bad machine in every fourth scenario."""
    if rng.random() < 0.75:
        return None
    return BadMachine(rng.choice(machines), rng.choice(BAD), rng.randint(1, rng.choice((1, 20, 60))))


@dataclass(frozen=True)
class Weather:
    """The behaviour of AWS for all clients of a scenario."""

    transition_seconds: float
    """How long a machine is pending or stopping."""
    lag_seconds: float
    """For how long DescribeInstances shows old states after a change."""
    no_capacity: dict[str, float]
    """Machines that cannot be started, and for how many seconds."""
    falls_back: frozenset[str]
    """Machines that AWS starts, and that stop again by themselves."""
    stuck: dict[str, float]
    """Machines that stay in ``stopping`` for so many seconds, unless forced."""
    sold_out: dict[str, float] = field(default_factory=dict)
    """Instance types that AWS has no capacity for, and for how many seconds."""


FAIR: Final = Weather(1.0, 0.0, {}, frozenset(), {})


def draw_weather(rng: random.Random, machines: tuple[str, ...]) -> Weather:
    """Return fair weather, as often as not."""

    def some(chance: float) -> list[str]:
        return [name for name in machines if rng.random() < 0.4] if rng.random() < chance else []

    return Weather(
        transition_seconds=rng.choice((0.5, 5.0, 30.0, 90.0)),
        lag_seconds=rng.choice((0.0, 0.0, 2.0, 15.0)),
        no_capacity={name: rng.choice((30.0, 5000.0)) for name in some(0.15)},
        falls_back=frozenset(some(0.07)),
        stuck={name: rng.choice((200.0, 5000.0)) for name in some(0.1)},
    )


def draw_sold_out(rng: random.Random) -> dict[str, float]:
    """Return types without capacity, and for how many seconds, in every seventh scenario."""
    if rng.random() < 0.85:
        return {}
    return {kind: rng.choice((30.0, 5000.0)) for kind in rng.choice((TYPES[:1], TYPES[:2], TYPES))}
