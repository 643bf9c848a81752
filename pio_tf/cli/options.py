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
