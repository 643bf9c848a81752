"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

ConfigOption = Annotated[
    Optional[Path],  # noqa: UP045 - Typer evaluates this at run time, on Python 3.10 too
    typer.Option("--config", "-c", envvar="PIO_TF_CONFIG", help="Configuration file.", show_default="pio-tf.hcl"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result as JSON on standard output.")]
ForOption = Annotated[
    Optional[str],  # noqa: UP045 - as above
    typer.Option(
        "--for",
        metavar="DURATION",
        help="How long the machines may run, from now: then AWS stops them.",
        show_default="train.max_runtime",
    ),
]
NoDeadlineOption = Annotated[
    bool,
    typer.Option("--no-deadline", help="Start the machines though nothing in AWS stops them at a set time."),
]


def parse_runtime(option: str, value: str | None, *, no_deadline: bool = False) -> int | None:
    """Seconds that machines may run; None where it is not given.

    Raises:
        ConfigError: it is no duration, too short or too long; or there is to be no deadline at all.
    """
    from pio_tf.config.blocks import LONGEST_RUN
    from pio_tf.errors import ConfigError

    if value is None:
        return None
    if no_deadline:
        raise ConfigError(f"{option} and --no-deadline contradict each other", next_step="leave one of them out")
    seconds = parse_wait(option, value)
    if not 60 <= seconds <= LONGEST_RUN:
        raise ConfigError(
            f"{option} {value!r} is not between a minute and {LONGEST_RUN // 3600} hours",
            next_step="write it like 90m or 2h; `pio-tf extend` gives more time later",
        )
    return seconds


def parse_wait(option: str, value: str) -> int:
    """Seconds, from ``90s``, ``30m``, ``2h`` or ``0``, as pio-tf.hcl has durations.

    Raises:
        ConfigError: it is something else.
    """
    from pydantic import TypeAdapter, ValidationError

    from pio_tf.config.kinds import Wait
    from pio_tf.errors import ConfigError

    try:
        return TypeAdapter(Wait).validate_python(int(value) if value.isdecimal() else value)
    except ValidationError:
        raise ConfigError(
            f"{option} {value!r} is not a duration", next_step="write it like 90s, 30m or 2h; 0 for none"
        ) from None
