"""Clients whose computers sleep at one of their steps, while deadlines fire and other clients act."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.faults import FAIR, SUSPENDED, Fault, Trouble
from tests.faults.scenario import Outcome, Stage
from tests.faults.time import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeVar

    T = TypeVar("T")

OVERNIGHT = 10 * 3600.0
"""Longer than a deadline: 8 h."""
STEPS_OF_AN_UP = 24
STEPS_OF_A_DOWN = 11


class First(random.Random):
    """Turns in which the first client acts until it sleeps."""

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        return seq[0]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stages() as stages:
        yield stages.of(1)


def begin(stage: Stage, state: str) -> None:
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, state))


def sleeper(stage: Stage, at: int, seconds: float, turns: Turns | None = None) -> Client:
    return Client("sleeper", stage.world, Trouble((Fault(SUSPENDED, at, seconds=seconds),)), turns)


@pytest.mark.parametrize("at", range(1, STEPS_OF_AN_UP))
def test_machines_that_start_after_their_deadline_has_passed_get_another_one(stage: Stage, at: int) -> None:
    begin(stage, "stopped")
    client = sleeper(stage, at, OVERNIGHT)
    stage.command("up", client)
    assert client.trouble.happened[SUSPENDED] or client.trouble.step <= STEPS_OF_AN_UP
    stage.world.pass_by(stage.world.config.train.max_runtime + 120)
    stage.world.pass_by(120)
    assert set(stage.world.states().values()) == {"stopped"}


@pytest.mark.parametrize("at", range(1, STEPS_OF_A_DOWN))
def test_a_down_that_slept_leaves_the_deadline_of_machines_that_another_client_has_started(
    stage: Stage, at: int
) -> None:
    begin(stage, "stopped")
    world, turns, ends = stage.world, Turns(First()), list[Outcome]()
    assert stage.command("up", Client("earlier", world, Trouble())).code == 0
    world.pass_by(3600)
    down, up = sleeper(stage, at, 600, turns), Client("up", world, Trouble(), turns)
    turns.run(
        {
            "sleeper": lambda: ends.append(stage.command("down", down)),
            "up": lambda: ends.append(stage.command("up", up)),
        }
    )
    assert {outcome.code for outcome in ends} == {0}
    (promised,) = [outcome.promised for outcome in ends if outcome.command == "up"]
    assert set(world.states().values()) == {"stopped"} or world.deadline() >= promised
