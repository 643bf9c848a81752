"""``pio-tf generate | plan | apply | drift | output | destroy``: the work of Terraform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pio_tf.cli.ci_output import can_ask
from pio_tf.cli.command import CommandCall, command
from pio_tf.cli.options import CHANGES, DETAILED, DetailedCommand
from pio_tf.errors import ConfigError


@command()
def generate(
    call: CommandCall,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Directory to write to.", show_default=".pio-tf/<cluster>/stack, or …/image"),
    ] = None,
    image: Annotated[
        bool,
        typer.Option("--image", help="Write a Packer template instead, for an image with the machines' software."),
    ] = False,
) -> None:
    """Write the Terraform stack, or a Packer template.

    The stack is self-contained: Terraform applies it without pio-tf.
    """
    from pio_tf.cli.results.stack import GenerateResult

    directory = call.cluster.generate_image(out) if image else call.cluster.generate(out)
    call.output.done(f"wrote {directory}")
    call.show(GenerateResult(directory=directory))


@command(kind=DetailedCommand)
def plan(
    call: CommandCall,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Save the plan there, for review and `pio-tf apply DIR`."),
    ] = None,
    detailed_exitcode: Annotated[
        bool,
        typer.Option(DETAILED, help="Exit with 2 if there are changes, as Terraform does. Wrong usage is 1."),
    ] = False,
) -> None:
    """Show what Terraform would create or change.

    Changes nothing.
    """
    from pio_tf.cli.results.stack import PlanResult

    found = call.cluster.plan(out)
    call.show(PlanResult.of(found, out))
    if detailed_exitcode and found.has_changes:
        raise typer.Exit(CHANGES)


@command()
def apply(
    call: CommandCall,
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Apply the plan that `pio-tf plan --out` saved there, and no other."),
    ] = None,
) -> None:
    """Create or change what pio-tf.hcl asks for.

    Never removes or replaces a machine, and never asks.
    """
    from pio_tf.cli.results.stack import OutputResult

    call.show(OutputResult.model_validate(call.cluster.apply(directory)))


@command(kind=DetailedCommand)
def drift(call: CommandCall) -> None:
    """Show what was changed in AWS outside Terraform.

    Exits with 2 if anything was. Started and stopped machines are no drift. Changes nothing, neither in AWS nor in the
    state.
    """
    from pio_tf.cli.results.stack import DriftResult

    found = call.cluster.drift()
    call.show(DriftResult.of(found))
    if found:
        raise typer.Exit(CHANGES)


@command()
def output(call: CommandCall) -> None:
    """Show Terraform's outputs: machines, ids and addresses."""
    from pio_tf.cli.results.stack import OutputResult

    call.show(OutputResult.model_validate(call.cluster.outputs()))


@command()
def destroy(
    call: CommandCall,
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", metavar="CLUSTER", help="The cluster's name, so that pio-tf does not ask for it."),
    ] = None,
) -> None:
    """Remove all machines, disks and addresses for good.

    Asks for the cluster's name.
    """
    from pio_tf.cli.results.stack import DestroyResult

    name = call.cluster.config.cluster.name
    if confirm is None and can_ask():
        call.output.pause()
        question = f"This removes every machine, disk and address of {name}. Type its name to go on"
        confirm = typer.prompt(question, err=True)
    if confirm != name:
        raise ConfigError(
            f"{name} was not destroyed",
            cause="the cluster's name was not confirmed" if confirm is None else f"{confirm!r} is not its name",
            next_step=f"pio-tf destroy --confirm {name}",
        )
    call.cluster.destroy()
    call.show(DestroyResult(cluster=name))
