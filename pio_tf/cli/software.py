"""``pio-tf provision``, ``config`` and ``mirror``: the software of the machines, its files, and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pio_tf.cli.command import CommandCall, command
from pio_tf.errors import ConfigError

DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The mirror's directory.")]


BaseOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="URL",
        help="Another mirror of Apache's archive. Checksums still come from Apache.",
        show_default="Apache's archive",
    ),
]


@command()
def provision(
    call: CommandCall,
    machine: Annotated[
        str, typer.Argument(help="Name of a machine: driver, master, worker-1, ….", show_default="all that run")
    ] = "",
    rollback: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Only return to the previous version of a component: spark, java, hadoop, hbase, pio.",
        ),
    ] = "",
) -> None:
    """Install or repair the software of running machines.

    Installs what pio-tf.hcl asks for, a new version beside the old one, and repairs a failed first boot.
    """
    from pio_tf.cli.results.software import ProvisionResult

    call.show(ProvisionResult.of(call.cluster.provision(machine, rollback=rollback)))


@command()
def show(
    call: CommandCall,
    file: Annotated[
        str | None,
        typer.Argument(help="Show this file, and nothing else: pio-env.sh, core-site.xml, …", show_default="all"),
    ] = None,
) -> None:
    """Show the files that pio-tf writes to the driver."""
    from pio_tf.cli.results.software import FilesResult

    files = {item.name: item for item in call.cluster.files(file or "")}
    if file is not None and file not in files:
        raise ConfigError(f"there is no file {file!r}", next_step=f"choose one of {', '.join(files)}")
    shown = tuple(files.values()) if file is None else (files[file],)
    if call.json:
        call.show(FilesResult.model_validate({"files": shown}))
    elif file is not None:
        call.output.write(files[file].content)
    else:
        for item in shown:
            call.output.write(f"==> {item.path}\n{item.content}\n")


@command()
def push(call: CommandCall) -> None:
    """Write these files to the running driver."""
    from pio_tf.cli.results.software import PushResult

    call.show(PushResult.model_validate({"files": call.cluster.push_config()}))


@command(name="list")
def list_mirror(call: CommandCall, base: BaseOption = "") -> None:
    """List what the machines install, with sizes and checksums.

    Downloads nothing.
    """
    from pio_tf.cli.results.software import MirrorListResult
    from pio_tf.config.software import APACHE

    call.show(MirrorListResult.of(call.cluster.mirror_list(base=base or APACHE)))


@command()
def fetch(
    call: CommandCall,
    directory: DirectoryArgument,
    base: BaseOption = "",
) -> None:
    """Download the software of pio-tf.hcl, checked by SHA-512.

    Archives that are there already stay as they are.
    """
    from pio_tf.cli.results.software import FetchResult
    from pio_tf.config.software import APACHE

    call.show(FetchResult.of(call.cluster.mirror_fetch(directory, base=base or APACHE)))


@command(name="push")
def push_mirror(
    call: CommandCall,
    directory: Annotated[
        str,
        typer.Argument(metavar="DIR", help="The mirror's directory.", show_default="fetched first, into the cache"),
    ] = "",
    url: Annotated[
        str,
        typer.Argument(
            metavar="s3://BUCKET/PREFIX", help="Where to copy it.", show_default="the first in software.mirrors"
        ),
    ] = "",
    base: BaseOption = "",
) -> None:
    """Copy a mirror's directory to a bucket.

    Without a directory, pio-tf fetches first what is missing in the user's cache. Archives that are there already stay
    as they are.
    """
    from pio_tf.cli.results.software import MirrorPushResult
    from pio_tf.config.software import APACHE
    from pio_tf.mirror import place_in_s3

    if directory.startswith("s3://") and not url:
        directory, url = "", directory
    to = place_in_s3(call.cluster.config, url)
    pushed = call.cluster.mirror_push(Path(directory) if directory else None, to, base=base or APACHE)
    call.show(MirrorPushResult.of(to, pushed, is_named=to in call.cluster.config.software.mirrors))
