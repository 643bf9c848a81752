"""The Typer application and its commands. Each command's module imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from pio_tf.version import __version__

# No rich mark-up in help: rich doubles the time that `--help` takes.
app = typer.Typer(
    help="Training machines for Apache PredictionIO: create them once, then only start and stop them around each "
    "`pio train`.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"pio-tf {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


from pio_tf.cli import (  # noqa: E402 - the modules register their commands on `app`
    access,
    check,
    ci,
    configure,
    guard,
    iam,
    mirror,
    power,
    provision,
    runs,
    sandbox,
    stack,
    train,
)

__all__ = [
    "access",
    "app",
    "check",
    "ci",
    "configure",
    "guard",
    "iam",
    "mirror",
    "power",
    "provision",
    "runs",
    "sandbox",
    "stack",
    "train",
]
