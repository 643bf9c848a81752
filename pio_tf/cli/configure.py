"""``pio-tf init`` and ``pio-tf config show|push``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from pio_tf.cli.output import Terminal

config_app = typer.Typer(help="The files that PredictionIO and Spark read on the driver.", no_args_is_help=True)
app.add_typer(config_app, name="config")
_NAME = "pio-train"


@app.command()
def init(
    name: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(help="Name of the cluster.", show_default=_NAME),
    ] = None,
    region: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="AWS region.", show_default="us-east-1"),
    ] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="For the running sandbox instead of AWS.")] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Where to write pio-tf.hcl.")] = Path(),
    backend: Annotated[
        bool,
        typer.Option(
            "--backend",
            help="Make the S3 bucket for the state, unless it is there, and name it in pio-tf.hcl. A pio-tf.hcl that "
            "is there already is not changed: what to add to it is shown.",
        ),
    ] = False,
    bucket: Annotated[
        Optional[str],  # noqa: UP045 - as above
        typer.Option(
            metavar="s3://BUCKET",
            help="That bucket, with --backend.",
            show_default="pio-tf-state-<account>-<region>",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a commented pio-tf.hcl that works."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.stack import init_rows

    with Terminal(json=json) as terminal:
        if not backend and not bucket:
            path = _write(name or _NAME, region, directory, sandbox=sandbox)
            terminal.done(f"wrote {path}")
            terminal.say("next: " + ("pio-tf up" if sandbox else f"edit {path}, then pio-tf plan"))
            terminal.result(init_rows(path, name or _NAME))
            return
        path, cluster, found = _write_with_backend(terminal, name, region, bucket, directory, sandbox=sandbox)
        terminal.result(init_rows(path, cluster, found))


def _write(name: str, region: str | None, directory: Path, *, sandbox: bool) -> Path:
    if sandbox:
        from pio_tf.sandbox.control import default_directory, running_sandbox
        from pio_tf.sandbox.project import prepare_project

        return prepare_project(directory, running_sandbox(default_directory()), cluster=name)
    from pio_tf.config.template import render_template, write_new

    return write_new(directory, render_template(cluster=name, region=region or "us-east-1"))


def _write_with_backend(
    terminal: Terminal, name: str | None, region: str | None, bucket: str | None, directory: Path, *, sandbox: bool
) -> tuple[Path, str, str]:
    """Path of pio-tf.hcl, name of its cluster, name of the bucket."""
    from pio_tf.config.load import CONFIG_NAME, load_config
    from pio_tf.config.template import with_backend
    from pio_tf.infra.backend.state_bucket import prepare_bucket

    path = directory / CONFIG_NAME
    is_new = name is not None or sandbox or not path.exists()
    if is_new:
        path = _write(name or _NAME, region, directory, sandbox=sandbox)
        terminal.done(f"wrote {path}")
    config = load_config(path)
    found = prepare_bucket(config, bucket, reporter=terminal.reporter)
    block = found.block(config)
    if is_new:
        path.write_text(with_backend(path.read_text(encoding="utf-8"), block), encoding="utf-8")
        terminal.say("next: " + ("pio-tf up" if sandbox else f"edit {path}, then pio-tf plan"))
    elif config.terraform.backend is None:
        terminal.say(
            f"next: add this to the terraform block of {path}; the next command moves the state there\n\n{block}"
        )
    return path, config.cluster.name, found.name


@config_app.command("show")
def show(
    file: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(help="Only this file, and nothing else: pio-env.sh, core-site.xml, …", show_default="all"),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the files that pio-tf writes to the driver."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.files import file_rows
    from pio_tf.cluster import Cluster
    from pio_tf.errors import ConfigError

    with Terminal(json=json) as terminal:
        files = {item.name: item for item in Cluster.load(config, reporter=terminal.reporter).files()}
        if file is not None and file not in files:
            raise ConfigError(f"there is no file {file!r}", next_step=f"choose one of {', '.join(files)}")
        shown = tuple(files.values()) if file is None else (files[file],)
        if json:
            terminal.result(file_rows(shown))
        elif file is not None:
            terminal.write(files[file].content)
        else:
            for item in shown:
                terminal.write(f"==> {item.path}\n{item.content}\n")


@config_app.command("push")
def push(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Write those files to the running driver."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.files import put_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(put_rows(Cluster.load(config, reporter=terminal.reporter).push_config()))
