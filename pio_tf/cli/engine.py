"""``pio-tf engine push | save | restore``: the engine on the driver."""

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


@command()
def save(
    call: CommandCall,
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIR | s3://BUCKET/PREFIX", help="Where to keep it.", show_default=".pio-tf/<cluster>/engines"
        ),
    ] = "",
) -> None:
    """Keep the engine, its build and its caches as an archive.

    Saves the engine's directory on the driver, with sources and target, and the caches of sbt and Ivy. A file beside
    the archive has its SHA-512.
    """
    from pio_tf.cli.results.engine import EngineArchiveResult

    call.show(EngineArchiveResult.of(call.cluster.save_engine(target), restored=False))


@command()
def restore(
    call: CommandCall,
    archive: Annotated[
        str,
        typer.Argument(
            metavar="ARCHIVE",
            help="A file, a directory with archives (the newest is taken), or s3://BUCKET/PREFIX/NAME.tar.gz.",
            show_default="the newest in .pio-tf/<cluster>/engines",
        ),
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the engine on the driver. The old one is kept there.")
    ] = False,
) -> None:
    """Bring a saved engine to a new driver, without internet.

    Checks the archive's SHA-512. Refuses one of an engine in another directory.
    """
    from pio_tf.cli.results.engine import EngineArchiveResult

    call.show(EngineArchiveResult.of(call.cluster.restore_engine(archive, replace=replace), restored=True))
