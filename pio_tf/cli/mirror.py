"""``pio-tf mirror fetch|push``: what machines install, for machines without internet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.cli.output import Rows
    from pio_tf.cli.schemas.software import FetchResult, MirrorPushResult
    from pio_tf.mirror.fetch import Fetched
    from pio_tf.mirror.push import Pushed

mirror_app = typer.Typer(help="A copy of what machines install, for machines without internet.", no_args_is_help=True)
app.add_typer(mirror_app, name="mirror")

DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The mirror's directory.")]


@mirror_app.command("fetch")
def fetch(
    directory: DirectoryArgument,
    base: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL",
            help="Base address of another mirror of Apache's archive. Checksums come from Apache all the same.",
            show_default="Apache's archive",
        ),
    ] = "",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Fetch all that the machines of pio-tf.hcl install, checked by SHA-512. What is there is left alone."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster
    from pio_tf.config.software import APACHE

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        terminal.result(fetched_rows(cluster.mirror_fetch(directory, base=base or APACHE)))


@mirror_app.command("push")
def push(
    directory: DirectoryArgument,
    url: Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="Where to.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Copy such a directory to a bucket, for `software.mirrors`. What is there is left alone."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        terminal.result(pushed_rows(url, cluster.mirror_push(directory, url)))


def fetched_rows(files: Sequence[Fetched]) -> Rows:
    """One row an archive; below, what pio-tf.hcl should say."""
    from pio_tf.cli.output import Rows

    data: FetchResult = {
        "version": 1,
        "files": [
            {
                "name": one.component.name,
                "version": one.component.version,
                "path": str(one.path),
                "sha512": one.sha512,
                "fetched": one.status == "fetched",
                "pin": one.option or None,
            }
            for one in files
        ],
    }
    pins = [f'{one.option} = "{one.sha512}"' for one in files if one.option]
    return Rows(
        columns=("NAME", "VERSION", "IS", "PATH"),
        rows=tuple((one.component.name, one.component.version, one.status, str(one.path)) for one in files),
        data=data,
        closing="\n".join(["pin what Apache has published, so that machines need not ask it:", *pins]) if pins else "",
    )


def pushed_rows(url: str, files: Sequence[Pushed]) -> Rows:
    """One row an archive."""
    from pio_tf.cli.output import Rows

    data: MirrorPushResult = {
        "version": 1,
        "files": [
            {
                "name": one.component.name,
                "version": one.component.version,
                "url": one.url,
                "pushed": one.status == "pushed",
            }
            for one in files
        ],
    }
    return Rows(
        columns=("NAME", "VERSION", "IS", "URL"),
        rows=tuple((one.component.name, one.component.version, one.status, one.url) for one in files),
        data=data,
        closing=f'in pio-tf.hcl: software {{ mirrors = ["{url.rstrip("/")}"] }}',
    )
