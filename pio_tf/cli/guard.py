"""``pio-tf guard``: the rules for plans, and their verdict on one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.command import CommandCall, command
from pio_tf.errors import ConfigError, GuardRefused

if TYPE_CHECKING:
    from pio_tf.infra.policy import Judgement


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
