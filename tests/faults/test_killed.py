"""Clients that are killed outright, with SIGKILL and in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.campaign import Stages
from tests.faults.scenario import KILLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.killed import KilledStage

ALL_STOPPED = dict.fromkeys(("driver", "master", "worker-1", "worker-2"), "stopped")


@pytest.fixture(scope="module")
def stage() -> Iterator[KilledStage]:
    with Stages() as stages:
        yield stages.killed


@pytest.mark.parametrize(
    ("call", "after_effect", "started"),
    [(2, False, False), ("StartInstances", False, False), ("StartInstances", True, True)],
)
def test_a_client_that_is_killed_at_any_call_leaves_a_cluster_that_goes_on(
    stage: KilledStage, call: int | str, after_effect: bool, started: bool
) -> None:
    """Expect machines that stop at the deadline."""
    result = stage.play_one("up", ALL_STOPPED, call=call, after_effect=after_effect)
    (outcome,) = result.outcomes
    assert outcome.code == KILLED
    assert ("pending" in outcome.powers.values()) == started
    assert result.violations == []
