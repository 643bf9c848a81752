"""`pio build` on the driver, before a training."""

from __future__ import annotations

import pytest

from pio_tf.errors import NotReady
from pio_tf.events import Event, OutputLine
from pio_tf.training.preflight import build_engine
from tests.training.preflight_world import World, world

__all__ = ["world"]


async def build(world: World, events: list[Event], *, timeout: float = 120, secrets: tuple[str, ...] = ()) -> None:
    async with world.remote() as remote:
        await build_engine(world.config(), remote, reporter=events.append, timeout=timeout, secrets=secrets)


async def test_a_build_shows_its_output_without_secrets(world: World) -> None:
    world.script("pio/bin/pio", 'echo "$* in $PWD with $JAVA_HOME, token abcdef"')
    events: list[Event] = []
    await build(world, events, secrets=("abcdef",))
    lines = [event.text for event in events if isinstance(event, OutputLine)]
    assert lines == [f"build in {world.home}/engine with {world.home}/java, token ***"]


async def test_a_build_that_fails_quotes_its_first_error(world: World) -> None:
    world.script(
        "pio/bin/pio",
        "echo '[INFO] [Engine$] Using sbt'; echo '[ERROR] [Engine$] [error] A.scala:3: not found: value x';"
        "echo '[ERROR] [Engine$] Return code of build command: sbt package is 1. Aborting.'; exit 1",
    )
    with pytest.raises(NotReady) as caught:
        await build(world, [])
    assert caught.value.what == "pio build failed with exit status 1"
    assert caught.value.cause == "A.scala:3: not found: value x"


async def test_a_compilation_that_failed_counts_though_pio_ends_with_0(world: World) -> None:
    world.script(
        "pio/bin/pio",
        "echo '[ERROR] [Engine$] Return code of build command: sbt package is 1. Aborting.';"
        "echo '[INFO] [Engine$] Build finished successfully.'",
    )
    with pytest.raises(NotReady, match="compiled nothing"):
        await build(world, [])


async def test_a_build_that_does_not_end_is_ended(world: World) -> None:
    world.script("pio/bin/pio", "echo resolving; exec sleep 60")
    with pytest.raises(NotReady) as caught:
        await build(world, [], timeout=3)
    assert caught.value.what == "pio build did not end within 3 s"
    assert caught.value.cause == "the last line was: resolving"
