"""``pio-tf init`` and ``pio-tf config show|push``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

config_app = typer.Typer(help="The files that PredictionIO and Spark read on the driver.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the cluster.")] = "pio-train",
    region: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="AWS region.", show_default="us-east-1"),
    ] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="For the running sandbox instead of AWS.")] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Where to write pio-tf.hcl.")] = Path(),
    json: JsonOption = False,
) -> None:
    """Write a commented pio-tf.hcl that works."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables import init_rows

    with Terminal(json=json) as terminal:
        if sandbox:
            from pio_tf.sandbox.control import default_directory, running_sandbox
            from pio_tf.sandbox.template import prepare_project

            path = prepare_project(directory, running_sandbox(default_directory()), cluster=name)
        else:
            from pio_tf.config.template import render_template, write_new

            path = write_new(directory, render_template(cluster=name, region=region or "us-east-1"))
        terminal.done(f"wrote {path}")
        terminal.say("next: " + ("pio-tf up" if sandbox else f"edit {path}, then pio-tf plan"))
        terminal.result(init_rows(path, name))


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
    from pio_tf.cli.tables import file_rows
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
    from pio_tf.cli.tables import put_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(put_rows(Cluster.load(config, reporter=terminal.reporter).push_config()))
