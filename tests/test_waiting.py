"""Waiting with a time limit: as asyncio.wait_for, on every Python, but no cancellation is lost."""

from __future__ import annotations

import asyncio

import pytest

from pio_tf.waiting import in_background, wait_for


async def test_a_cancellation_that_arrives_together_with_the_result_is_not_lost() -> None:
    result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(wait_for(result, timeout=60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    result.set_result("there")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_work_that_takes_too_long_is_cancelled_and_has_ended() -> None:
    steps = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    with pytest.raises(asyncio.TimeoutError):
        await wait_for(work(), timeout=0.01)
    assert steps == ["ended"]


async def test_a_cancelled_wait_ends_its_work_first() -> None:
    steps = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            steps.append("ended")

    waiting = asyncio.create_task(wait_for(work(), timeout=60))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert steps == ["ended"]


async def test_results_and_errors_are_passed_on() -> None:
    async def fail() -> None:
        raise ValueError("wrong")

    assert await wait_for(asyncio.sleep(0, "done"), timeout=None) == "done"
    with pytest.raises(ValueError, match="wrong"):
        await wait_for(fail(), timeout=60)


async def test_an_error_of_work_that_was_cancelled_is_reported_by_no_one(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("while it ended") from None

    waiting = asyncio.create_task(wait_for(work(), timeout=60))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    del waiting
    assert caplog.records == []


async def test_work_in_the_background_hands_over_its_result() -> None:
    async with in_background(asyncio.sleep(0.01, result=17)) as work:
        assert not work.done()
        assert await work == 17


async def test_work_in_the_background_has_ended_when_its_block_fails() -> None:
    ends = []

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ends.append("cancelled")

    async def block() -> None:
        async with in_background(hang()):
            await asyncio.sleep(0)
            raise ValueError("the block's own")

    with pytest.raises(ValueError, match="the block's own"):
        await block()
    assert ends == ["cancelled"]


async def test_an_error_of_work_in_the_background_ends_a_block_that_awaits_it() -> None:
    async def fail() -> None:
        raise ValueError("of the work")

    async def block() -> None:
        async with in_background(fail()) as work:
            await work

    with pytest.raises(ValueError, match="of the work"):
        await block()
