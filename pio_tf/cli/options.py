"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from pio_tf.errors import ConfigError, PioTfError

if TYPE_CHECKING:
    from datetime import datetime

CHANGES = 2
"""Exit code of `plan --detailed-exitcode` and `drift`: there is something to change."""
DETAILED = "--detailed-exitcode"

ForOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="DURATION",
        help="Let AWS stop the machines after this time.",
        show_default="train.max_runtime",
    ),
]
NoDeadlineOption = Annotated[bool, typer.Option("--no-deadline", help="Start without an automatic stop deadline.")]
SkipCheckOption = Annotated[
    list[str] | None, typer.Option("--skip-check", metavar="NAME", help="Skip a check. May be repeated.")
]


class DetailedCommand(TyperCommand):
    """A command whose exit code 2 means changes, as Terraform's: always, or with ``--detailed-exitcode``.

    Wrong usage is 1 then: a pipeline that applies after a 2 must not do so after a mistyped option or pio-tf.hcl.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - which click depends on Typer's version
        """Parse as Typer does, with usage errors as pio-tf's own."""
        optional = any(DETAILED in parameter.opts for parameter in self.params)
        detailed = DETAILED in args or not optional
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if not (detailed and hasattr(error, "format_message")):
                raise
            raise PioTfError(
                str(error.format_message()), next_step=f"see its options: `{ctx.command_path} --help`"
            ) from error

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Run the command; end with 1 instead of 2 if pio-tf.hcl or an option is wrong."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            if ctx.params.get("detailed_exitcode", True):
                error.exit_code = PioTfError.exit_code
            raise


def parse_runtime(option: str, value: str) -> int:
    """Return how long machines may run, in seconds.

    Raises:
        ConfigError: it is no duration, too short or too long.
    """
    from pio_tf.config.blocks import LONGEST_RUN

    seconds = parse_wait(option, value)
    if not 60 <= seconds <= LONGEST_RUN:
        raise ConfigError(
            f"{option} {value!r} is not between a minute and {LONGEST_RUN // 3600} hours",
            next_step="write it like 90m or 2h; `pio-tf extend` gives more time later",
        )
    return seconds


def parse_for(value: str | None, *, no_deadline: bool) -> int | None:
    """Return the seconds of ``--for``; None without it.

    Raises:
        ConfigError: it is no such duration, or contradicts ``--no-deadline``.
    """
    if value is not None and no_deadline:
        raise ConfigError("--for and --no-deadline contradict each other", next_step="leave one of them out")
    return None if value is None else parse_runtime("--for", value)


def parse_month(option: str, value: str) -> datetime:
    """Return the beginning of a month, in UTC.

    Raises:
        ConfigError: it is no month like 2026-11, or it has not begun yet.
    """
    from datetime import datetime, timezone

    try:
        month = datetime.strptime(value, "%Y-%m").replace(tzinfo=timezone.utc)
    except ValueError:
        raise ConfigError(f"{option} {value!r} is not a month", next_step="write it like 2026-11") from None
    if month > datetime.now(timezone.utc):
        raise ConfigError(f"{option} {value!r} has not begun yet", next_step="name this month or an earlier one")
    return month


def parse_wait(option: str, value: str) -> int:
    """Return seconds, from ``90s``, ``30m``, ``2h`` or ``0``, the durations of pio-tf.hcl.

    Raises:
        ConfigError: it is something else.
    """
    from pydantic import TypeAdapter, ValidationError

    from pio_tf.config.kinds import Wait

    try:
        return TypeAdapter(Wait).validate_python(int(value) if value.isdecimal() else value)
    except ValidationError:
        raise ConfigError(
            f"{option} {value!r} is not a duration", next_step="write it like 90s, 30m or 2h; 0 for none"
        ) from None
