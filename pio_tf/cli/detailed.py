"""Commands whose exit code 2 says that there is something to change, as Terraform's: then wrong usage is 1, as there.

A pipeline that goes on to apply after a 2 must not do so after a mistyped option or pio-tf.hcl.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from pio_tf.errors import ConfigError, PioTfError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGES = 2
OPTION = "--detailed-exitcode"


@contextmanager
def usage_is_one(*, on: bool = True) -> Iterator[None]:
    """What else would end with 2 ends with 1."""
    try:
        yield
    except ConfigError as error:
        if on:
            error.exit_code = PioTfError.exit_code
        raise


class DetailedCommand(TyperCommand):
    """A command that always answers so, or with ``--detailed-exitcode``, where it has that."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's, of one home or another
        """As Typer does, with its errors as ours."""
        optional = any(OPTION in parameter.opts for parameter in self.params)
        detailed = OPTION in args or not optional
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if not (detailed and hasattr(error, "format_message")):
                raise
            raise PioTfError(
                str(error.format_message()), next_step=f"`{ctx.command_path} --help` lists the options"
            ) from error
