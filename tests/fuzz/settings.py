"""The number of fuzzed examples: a fixed, small set in every test run, and ever new ones with ``make fuzz``."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from pio_tf.errors import PioTfError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Of each test, in a long run; 0: the fixed set."""
LONGEST = 60.0
"""Seconds for one example, on a busy computer: what takes longer hangs."""


def examples(count: int) -> settings:
    """Return settings for a test that tries this many examples in every test run, always the same ones."""
    common = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
    if EXAMPLES:
        return settings(common, max_examples=EXAMPLES, derandomize=False, print_blob=True)
    return settings(common, max_examples=count, derandomize=True)


@contextlib.contextmanager
def answers(*others: type[Exception]) -> Iterator[None]:
    """Check that the block ends in time, with a result or with an error that a user can act on.

    Args:
        others: errors that are part of what a function promises to its callers.
    """

    def hangs(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"nothing within {LONGEST:g} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    said: PioTfError | None = None
    try:
        yield
    except PioTfError as error:
        said = error
    except others:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert said is None or said.what.strip()
    assert said is None or said.cause.strip() or said.next_step.strip(), f"neither a cause nor a next step: {said}"
