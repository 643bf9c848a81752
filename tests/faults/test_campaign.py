"""Scenarios in which things go wrong, always the same ones: docs/failsafe.md. 20 of them; CI plays 200."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.faults.campaign import Stages, Summary
from tests.faults.scenario import Outcome, Result, check_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

SCENARIOS = int(os.environ.get("FAULT_SCENARIOS", "20"))
PART = 20
"""Scenarios of one test."""


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    with Stages() as stages:
        yield stages


@pytest.mark.parametrize("part", range(SCENARIOS // PART))
def test_whatever_goes_wrong_nothing_keeps_running_unsaid_and_nothing_is_lost(stages: Stages, part: int) -> None:
    summary = Summary()
    for seed in range(part * PART, (part + 1) * PART):
        summary.add(stages.play(seed))
    assert not summary.broken, summary.failures()
    assert summary.past_deadline == 0, summary.table()
    assert sum(summary.faults.values()) > PART  # they do go wrong
    assert len(summary.ends) >= 4, summary.table()


def test_the_same_seed_does_the_same_again(stages: Stages) -> None:
    for seed in (3, 11):
        first, again = stages.play(seed), stages.play(seed)
        assert [(one.command, one.code, one.powers) for one in first.outcomes] == [
            (one.command, one.code, one.powers) for one in again.outcomes
        ]
        assert first.faults == again.faults


@pytest.mark.parametrize("command", ["down", "train"])
@pytest.mark.parametrize("code", [0, 1, 5, 6])
def test_a_command_that_leaves_machines_on_without_a_word_is_noticed(stages: Stages, command: str, code: int) -> None:
    world = stages.of(1).world
    world.started["client"] = {"driver"}
    quiet = Outcome(command, "client", code, powers={"driver": "running", "master": "stopped"})
    assert check_outcomes(Result(0, 1, [quiet]), world)
    quiet.code = 7
    assert check_outcomes(Result(0, 1, [quiet]), world) == []
