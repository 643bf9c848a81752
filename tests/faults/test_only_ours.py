"""Outputs that name machines of others: nothing of them is started or stopped, whatever the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.campaign import Stages
from tests.faults.client import Client
from tests.faults.faults import FAIR, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.scenario import Outcome, Stage

STRANGERS = ("another's", "untagged", "unknown", "swapped")


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    with Stages() as stages:
        yield stages


@pytest.fixture
def stage(stages: Stages) -> Iterator[Stage]:
    stage = stages.of(2)
    yield stage
    stage.world.know()


def tamper(stage: Stage, kind: str) -> None:
    """Let Terraform's outputs name something else in worker-1's place."""
    world = stage.world
    machines: dict[str, Any] = json.loads(json.dumps(world.outputs))
    if kind == "swapped":  # ids and addresses as they belong together, under each other's names
        for one, other in (("worker-1", "driver"), ("driver", "worker-1")):
            machines[one] |= {key: world.outputs[other][key] for key in ("id", "private_ip")}
    else:
        ids = {"another's": world.others["another's master"], "untagged": world.others["untagged master"]}
        machines["worker-1"]["id"] = ids.get(kind, "i-0123456789abcdef0")
    world.know(machines)


def run(stage: Stage, command: str) -> Outcome:
    return stage.command(command, Client("client", stage.world, Trouble()))


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("command", ["up", "train"])
def test_nothing_is_started_where_outputs_name_what_is_not_ours(stage: Stage, command: str, kind: str) -> None:
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, "stopped"))
    tamper(stage, kind)
    ended = run(stage, command)
    assert ended.code not in (0, None)
    assert ended.error is not None
    assert "worker-1" in str(ended.error)
    assert not stage.world.calls, "something was changed"
    assert stage.world.other_states() == {"running"}
    assert set(stage.world.states().values()) == {"stopped"}


@pytest.mark.parametrize("kind", STRANGERS)
def test_down_stops_what_is_ours_and_nothing_else(stage: Stage, kind: str) -> None:
    stage.world.begin(FAIR, dict.fromkeys(stage.world.machines, "running"))
    tamper(stage, kind)
    ended = run(stage, "down")
    assert set(stage.world.states().values()) == {"stopped"}
    assert stage.world.other_states() == {"running"}
    assert stage.world.wrong == []
    assert ended.code == (7 if kind in ("another's", "untagged") else 0), "a machine of the outputs runs"
