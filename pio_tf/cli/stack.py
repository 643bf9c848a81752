"""``pio-tf validate | generate | plan | apply | drift | output | guard | destroy``: the work of Terraform."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.ci_output import can_ask
from pio_tf.cli.command import CommandCall, command
from pio_tf.cli.options import CHANGES, DETAILED, DetailedCommand
from pio_tf.errors import ConfigError, GuardRefused

if TYPE_CHECKING:
    from pio_tf.infra.policy import Judgement


@command()
def validate(call: CommandCall) -> None:
    """Check pio-tf.hcl, without AWS and Terraform.

    If it has mistakes, pio-tf shows all of them with their lines, and exits with 2.
    """
    from pio_tf.cli.results.stack import ValidateResult

    config = call.cluster.config
    warnings = call.cluster.validate()
    names = [*config.machine_names]
    call.show(ValidateResult(file=config.path, cluster=config.cluster.name, machines=names, warnings=list(warnings)))


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
    lock: Annotated[
        bool,
        typer.Option("--lock", help="Also write .terraform.lock.hcl beside pio-tf.hcl: the AWS provider's checksums."),
    ] = False,
) -> None:
    """Write the Terraform stack, or a Packer template.

    The stack is self-contained: Terraform applies it without pio-tf.
    """
    from pio_tf.cli.results.stack import GenerateResult

    directory = call.cluster.generate_image(out) if image else call.cluster.generate(out)
    call.output.done(f"wrote {directory}")
    if lock:
        call.output.done(f"wrote {call.cluster.lock_providers()}")
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

    Never removes or replaces a machine, and never asks. Changes none while a run is, or may be, active (exit code 4),
    and lets none begin meanwhile.
    """
    from pio_tf.cli.results.outputs import OutputResult

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
    from pio_tf.cli.results.outputs import OutputResult

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

    Asks for the cluster's name. Machines that existed before (`pio-tf adopt`) stay: pio-tf removes its tags, roles and
    alarms.
    """
    from pio_tf.cli.results.stack import DestroyResult

    name = call.cluster.config.cluster.name
    if confirm is None and can_ask():
        call.output.pause()
        removed = "the tags, roles and alarms" if call.cluster.config.adopted else "every machine, disk and address"
        question = f"This removes {removed} of {name}. Type its name to continue"
        confirm = typer.prompt(question, err=True)
    if confirm != name:
        raise ConfigError(
            f"{name} was not destroyed",
            cause="the cluster's name was not confirmed" if confirm is None else f"{confirm!r} is not its name",
            next_step=f"pio-tf destroy --confirm {name}",
        )
    call.cluster.destroy()
    call.show(DestroyResult(cluster=name))


@command()
def guard(
    call: CommandCall,
    plan: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PLAN]",
            help="Directory of `pio-tf plan --out`, or file of `terraform show -json`. Without it, pio-tf makes a new "
            "plan.",
            show_default=False,
        ),
    ] = None,
    list_rules: Annotated[bool, typer.Option("--list", help="Show the rules, and plan nothing.")] = False,
    sarif: Annotated[
        Path | None,
        typer.Option("--sarif", metavar="FILE", help="Also write the findings as SARIF 2.1.0.", show_default=False),
    ] = None,
) -> None:
    """Show which rules a plan breaks, and what it costs.

    Exits with 3 if the plan would be refused.
    """
    from pio_tf.cli.results.guard import GuardResult

    if list_rules:
        if plan or sarif:
            raise ConfigError("--list shows the rules, and judges no plan", next_step="leave PLAN and --sarif out")
        _list_rules(call)
        return
    judgement = call.cluster.guard(plan)
    if sarif:
        _write_sarif(sarif, judgement)
    call.show(GuardResult.of(call.cluster.config, judgement))
    if judgement.refused:
        raise typer.Exit(GuardRefused.exit_code)


def _list_rules(call: CommandCall) -> None:
    """Show the rules, also before there is a pio-tf.hcl."""
    from pio_tf.cli.results.guard import RulesResult
    from pio_tf.config.load import find_config, load_config
    from pio_tf.infra.policy import RULES

    waived = {}
    if call.config is not None or find_config(environ=os.environ).exists():
        waived = {name: waiver.reason for name, waiver in load_config(call.config).guard.waive.items()}
    call.show(RulesResult.of(RULES, waived))


def _write_sarif(file: Path, judgement: Judgement) -> None:
    import json

    from pio_tf.infra.policy import to_sarif

    try:
        file.write_text(json.dumps(to_sarif(judgement.findings), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write {file}", cause=str(error.strerror), next_step="name another file with --sarif"
        ) from error
