"""Clients that are killed outright, with SIGKILL and in processes of their own."""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import Weather
from tests.faults.killed import KillingAws, run_until_killed
from tests.faults.scenario import KILLED, Result, Stage, check_after, check_deadline
from tests.faults.time import Clock
from tests.faults.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

FAIR = Weather(1.0, 0.0, {}, frozenset(), {})


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, KillingAws]]:
    clock = Clock(datetime.now(timezone.utc))  # a real process counts its deadline from now
    with (
        KillingAws(transition_seconds=1.0, clock=clock, now=clock.moment) as aws,
        tempfile.TemporaryDirectory() as directory,
    ):
        yield Stage(World(aws, clock, workers=2, directory=Path(directory, "c2"))), aws


@pytest.mark.parametrize(("call", "after_effect"), [(2, False), (4, True), (6, False), (6, True)])
def test_a_client_that_is_killed_at_any_call_leaves_a_cluster_that_goes_on(
    stage: tuple[Stage, KillingAws], call: int, after_effect: bool
) -> None:
    """Up: instance types, machines, three calls for the deadline, StartInstances. What has started stops at the
    deadline."""
    played, aws = stage
    played.world.begin(FAIR, dict.fromkeys(played.world.machines, "stopped"))
    assert run_until_killed(played.world, aws, "up", call=call, after_effect=after_effect) == KILLED
    result = Result(0, 2)
    assert check_deadline(result, played.world) == []
    assert set(played.world.states().values()) == {"stopped"}
    assert check_after(played, Result(0, 2)) == []
