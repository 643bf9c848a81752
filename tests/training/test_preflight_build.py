"""`pio build` on the driver, before a training."""

from __future__ import annotations

import stat

import pytest

from pio_tf.errors import NotReady
from pio_tf.events import Event, OutputLine
from pio_tf.training.build import build_engine
from pio_tf.training.redact import Redactor
from tests.training.preflight_world import World, world

__all__ = ["world"]


async def build(world: World, events: list[Event], *, timeout: float = 120, secrets: tuple[str, ...] = ()) -> None:
    async with world.remote() as remote:
        redactor = Redactor(secrets)
        await build_engine(world.config(), remote, reporter=events.append, timeout=timeout, redactor=redactor)


async def test_a_build_shows_its_output_without_secrets(world: World) -> None:
    world.script("pio/bin/pio", 'echo "$* in $PWD with $JAVA_HOME, token abcdef"')
    events: list[Event] = []
    await build(world, events, secrets=("abcdef",))
    lines = [event.text for event in events if isinstance(event, OutputLine)]
    assert lines == [f"build in {world.home}/engine with {world.home}/java, token ***"]


async def test_the_log_of_a_build_is_kept_here_and_on_the_driver_for_its_owner_without_secrets(world: World) -> None:
    world.script("pio/bin/pio", "echo compiling; echo token $(echo abc)def >&2")
    await build(world, [], secrets=("abcdef",))
    logs = [*world.home.glob(".pio-tf/builds/*/log"), *world.config().work_dir.glob("builds/*/log")]
    assert [log.read_text() for log in logs] == ["compiling\ntoken ***\n"] * 2
    assert {stat.S_IMODE(log.stat().st_mode) for log in logs} == {0o600}
    assert not [path for path in world.home.rglob("*") if path.is_file() and b"abcdef" in path.read_bytes()]


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
