"""``pio-tf guard``: the rules for plans, and what they make of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from pio_tf.cli.output import Rows
    from pio_tf.config.schema import Config
    from pio_tf.infra.cost import Cost
    from pio_tf.infra.policy import Judgement


@app.command()
def guard(
    plan: Annotated[
        Optional[Path],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(
            metavar="[PLAN]",
            help="Directory of `pio-tf plan --out`, or file of `terraform show -json`. Without it, a new plan is made.",
            show_default=False,
        ),
    ] = None,
    list_rules: Annotated[bool, typer.Option("--list", help="Show the rules, and plan nothing.")] = False,
    sarif: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--sarif", metavar="FILE", help="Also write the findings as SARIF 2.1.0.", show_default=False),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what breaks a rule in a plan, and what it costs. Ends with 3 where the plan would be refused."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster
    from pio_tf.errors import ConfigError, GuardRefused

    if list_rules and (plan or sarif):
        raise ConfigError("--list shows the rules, and judges no plan", next_step="leave PLAN and --sarif out")
    with Terminal(json=json) as terminal:
        if list_rules:
            terminal.result(rule_rows(_config_if_any(config)))
            return
        cluster = Cluster.load(config, reporter=terminal.reporter)
        judgement = cluster.guard(plan)
        if sarif:
            _write_sarif(sarif, judgement)
        terminal.result(judgement_rows(cluster.config, judgement))
    if judgement.refused:
        raise typer.Exit(GuardRefused.exit_code)


def rule_rows(config: Config | None) -> Rows:
    """One row a rule; without a configuration nothing is waived."""
    from pio_tf.cli.output import Rows
    from pio_tf.infra.policy import RULES

    waived = {name: waiver.reason for name, waiver in config.guard.waive.items()} if config else {}
    return Rows(
        columns=("RULE", "NAME", "SEVERITY", "SAYS", "WAIVED"),
        rows=tuple(
            (
                rule.id,
                rule.name,
                rule.severity,
                rule.title,
                waived.get(rule.id, "no") if rule.waivable else "never",
            )
            for rule in RULES
        ),
        data={
            "version": 1,
            "rules": [
                {
                    "id": rule.id,
                    "name": rule.name,
                    "severity": rule.severity,
                    "title": rule.title,
                    "why": rule.why,
                    "what_to_do": rule.what_to_do,
                    "waivable": rule.waivable,
                    "waived": waived.get(rule.id),
                }
                for rule in RULES
            ],
        },
    )


def judgement_rows(config: Config, judgement: Judgement) -> Rows:
    """One row a finding; below, the verdict, the waivers and the cost."""
    from pio_tf.cli.output import Rows
    from pio_tf.infra.cost import price_note

    hours = config.guard.training_hours_per_month
    return Rows(
        columns=("RULE", "NAME", "RESULT", "WHERE", "FOUND"),
        rows=tuple(
            (one.rule.id, one.rule.name, "waived" if one.waived else "refused", one.place, one.message)
            for one in judgement.findings
        ),
        data={
            "version": 1,
            "refused": bool(judgement.refused),
            "findings": [one.data for one in judgement.findings],
            "waivers": [
                {"rule": name, "reason": waiver.reason, "line": config.line(f"guard.waive.{name}")}
                for name, waiver in config.guard.waive.items()
            ],
            "cost": {
                "before": _cost_data(judgement.before, hours),
                "after": _cost_data(judgement.after, hours),
                "training_hours_per_month": hours,
                "note": price_note(config),
            },
        },
        closing="\n".join(_closing(config, judgement)),
        outputs={"refused": bool(judgement.refused)},
    )


def _closing(config: Config, judgement: Judgement) -> list[str]:
    from pio_tf.infra.cost import price_note

    rules = {one.rule.id: one.rule for one in judgement.refused}
    lines = [f"the plan is refused: {', '.join(rules)}" if rules else "the plan passes the guard"]
    lines += [f"  {rule.id}: {rule.what_to_do}" for rule in rules.values()]
    for name, waiver in config.guard.waive.items():
        lines.append(f"waived in {config.where(f'guard.waive.{name}')}: {name}: {waiver.reason}")
    hours = config.guard.training_hours_per_month
    before, after = judgement.before, judgement.after
    figures = (
        ("an hour of running machines", before.running_hourly_usd, after.running_hourly_usd),
        ("a month of stopped machines", before.stopped_monthly_usd, after.stopped_monthly_usd),
        (f"a month with {hours:g} hours of training", before.monthly_usd(hours), after.monthly_usd(hours)),
    )
    lines += [f"{what} costs {_change(old, new)}" for what, old, new in figures]
    if after.unknown:
        lines.append(f"no price is known of {', '.join(after.unknown)}")
    return [*lines, f"({price_note(config)})"]


def _change(old: float | None, new: float | None) -> str:
    shown = _usd(new)
    return shown if _usd(old) == shown else f"{shown}, before {_usd(old)}"


def _usd(amount: float | None) -> str:
    return "an unknown amount" if amount is None else f"{amount:.2f} USD"


def _cost_data(cost: Cost, hours: float) -> dict[str, Any]:
    def rounded(amount: float | None) -> float | None:
        return None if amount is None else round(amount, 4)

    return {
        "running_hourly_usd": rounded(cost.running_hourly_usd),
        "stopped_monthly_usd": rounded(cost.stopped_monthly_usd),
        "monthly_usd": rounded(cost.monthly_usd(hours)),
        "unknown": list(cost.unknown),
    }


def _config_if_any(path: Path | None) -> Config | None:
    """The rules can be read before there is a pio-tf.hcl."""
    import os

    from pio_tf.config.load import find_config, load_config

    if path is None and not find_config(environ=os.environ).exists():
        return None
    return load_config(path)


def _write_sarif(file: Path, judgement: Judgement) -> None:
    import json

    from pio_tf.errors import ConfigError
    from pio_tf.infra.policy import to_sarif

    try:
        file.write_text(json.dumps(to_sarif(judgement.findings), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write {file}", cause=str(error.strerror), next_step="name another file with --sarif"
        ) from error
