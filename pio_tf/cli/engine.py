"""``pio-tf engine push``: the engine on the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pio_tf.cli.command import CommandCall, command
from pio_tf.errors import ConfigError


@command()
def push(
    call: CommandCall,
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="The engine's directory here.", show_default="pio.engine.source"),
    ] = None,
    build: Annotated[bool, typer.Option("--build", help="Run `pio build` on the driver then.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change. Change nothing.")] = False,
) -> None:
    """Bring an engine's sources to the running driver.

    Pushes the files that git tracks, uncommitted changes included; without git, all that .gitignore does not name. Only
    changed files travel. Removes files of an earlier push that are gone here, and nothing else.
    """
    from pio_tf.cli.results.engine import EnginePushResult

    if build and dry_run:
        raise ConfigError("--build and --dry-run contradict each other", next_step="leave one of them out")
    pushed, log = call.cluster.push_engine(directory, build=build, dry_run=dry_run)
    call.show(EnginePushResult.of(pushed, log, dry_run=dry_run))
