"""``pio-tf generate | plan | apply | drift | output | destroy``: what Terraform does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.detailed import CHANGES, DetailedCommand, usage_is_one
from pio_tf.cli.options import ConfigOption, JsonOption


@app.command()
def generate(
    out: Annotated[
        Optional[Path],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option("--out", help="Directory to write to.", show_default=".pio-tf/<cluster>/stack, or …/image"),
    ] = None,
    image: Annotated[
        bool,
        typer.Option(
            "--image", help="Write a Packer template instead, which bakes an image with all that machines install."
        ),
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write the Terraform stack, complete in itself; or what bakes an image for its machines."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.stack import generate_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        directory = cluster.generate_image(out) if image else cluster.generate(out)
        terminal.done(f"wrote {directory}")
        terminal.result(generate_rows(directory))


@app.command(cls=DetailedCommand)
def plan(
    out: Annotated[
        Optional[Path],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option("--out", metavar="DIR", help="Keep the plan there, for review and `pio-tf apply DIR`."),
    ] = None,
    detailed_exitcode: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode",
            help="Exit with 2 when there is something to change, as Terraform. Wrong usage is 1 then.",
        ),
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what Terraform would create or change. Changes nothing."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.stack import plan_rows
    from pio_tf.cluster import Cluster

    with usage_is_one(on=detailed_exitcode), Terminal(json=json) as terminal:
        result = Cluster.load(config, reporter=terminal.reporter).plan(out)
        terminal.result(plan_rows(result, out))
    if detailed_exitcode and result.has_changes:
        raise typer.Exit(CHANGES)


@app.command()
def apply(
    directory: Annotated[
        Optional[Path],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(metavar="[DIR]", help="Apply the plan that `pio-tf plan --out` kept there, and no other."),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Create or change what pio-tf.hcl asks for. Never removes or replaces a machine, and never asks."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.stack import output_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(output_rows(Cluster.load(config, reporter=terminal.reporter).apply(directory)))


@app.command(cls=DetailedCommand)
def drift(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show what was changed in AWS behind Terraform's back. Exits with 2 where anything was.

    Machines that were started or stopped are no drift. Changes nothing, neither in AWS nor in the state.
    """
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.stack import drift_rows
    from pio_tf.cluster import Cluster

    with usage_is_one(), Terminal(json=json) as terminal:
        found = Cluster.load(config, reporter=terminal.reporter).drift()
        terminal.result(drift_rows(found))
    if found:
        raise typer.Exit(CHANGES)


@app.command()
def output(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show Terraform's outputs: machines, ids and addresses."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.stack import output_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(output_rows(Cluster.load(config, reporter=terminal.reporter).outputs()))


@app.command()
def destroy(
    confirm: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option("--confirm", metavar="CLUSTER", help="The cluster's name, instead of typing it when asked."),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Remove the cluster for good: machines, disks and addresses. Asks for the cluster's name."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.surroundings import can_ask
    from pio_tf.cli.tables.stack import destroy_rows
    from pio_tf.cluster import Cluster
    from pio_tf.errors import ConfigError

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        name = cluster.config.cluster.name
        if confirm is None and can_ask():
            confirm = typer.prompt(
                f"This removes every machine, disk and address of {name}. Type its name to go on", err=True
            )
        if confirm != name:
            raise ConfigError(
                f"{name} was not destroyed",
                cause="the cluster's name was not confirmed" if confirm is None else f"{confirm!r} is not its name",
                next_step=f"pio-tf destroy --confirm {name}",
            )
        cluster.destroy()
        terminal.result(destroy_rows(name))
