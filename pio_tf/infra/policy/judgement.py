"""The guard's verdict on a plan: what breaks a rule, what the plan costs, and the refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.infra.cost import Cost, plan_cost
from pio_tf.infra.expected_plan import ExpectedPlan
from pio_tf.infra.guard import refusal
from pio_tf.infra.my_address import address_of_plan
from pio_tf.infra.policy.checks import evaluate
from pio_tf.infra.saved_plan import MANIFEST, PLAN, PLAN_JSON, read_saved_plan
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.infra.policy.rules import Finding


class Judgement(Struct, frozen=True):
    """The guard's verdict on a plan, with the cost before and after it."""

    findings: tuple[Finding, ...]
    before: Cost
    after: Cost

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Return the findings that no waiver covers. pio-tf applies no plan that has any."""
        return tuple(finding for finding in self.findings if not finding.waived)


def judge(config: Config, plan_json: Mapping[str, Any]) -> Judgement:
    """Evaluate the rules on a plan, and estimate its cost. ``plan_json`` is as Terraform wrote it."""
    return Judgement(evaluate(config, plan_json), *plan_cost(config, plan_json))


def judge_file(config: Config, path: Path) -> Judgement:
    """Judge a saved plan, as :func:`judge` does.

    Args:
        path: a file of ``terraform show -json``, or a directory of ``pio-tf plan --out``.

    Raises:
        ConfigError: pio-tf cannot read the file, it is no plan, or it is a plan for another cluster or region.
        GuardRefused: the directory's plan file was not made from this pio-tf.hcl, or a file of it was changed.
    """
    file = path / PLAN_JSON if path.is_dir() else path
    plan_json = _read(file)
    _refuse_another_cluster(config, plan_json, file)
    if path.is_dir() and ((path / PLAN).exists() or (path / MANIFEST).exists()):  # a refused plan has neither
        saved = read_saved_plan(path)
        ExpectedPlan(address_of_plan(config, saved.plan)).refuse_other(path, saved.plan, saved.plan_json)
    try:
        return judge(config, plan_json)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise _not_a_plan(file, f"something in it is not as Terraform writes it: {error!r}") from error


def refuse(findings: Sequence[Finding]) -> None:
    """Raise an error if a finding is not waived.

    Raises:
        GuardRefused: the error names each finding, and what to do.
    """
    refused = [finding for finding in findings if not finding.waived]
    if not refused:
        return
    removals = [finding.removal for finding in refused if finding.removal]
    others = [finding for finding in refused if not finding.removal]
    error = refusal(removals) if removals else GuardRefused("the plan would: refused, nothing was changed")
    details: dict[str, object] = {**error.details, "findings": [one.data for one in refused]}
    causes, steps, what = [error.cause], [error.next_step], error.what
    if others:
        rules = sorted({finding.rule.id: finding.rule for finding in others}.values(), key=lambda rule: rule.id)
        breaks = f"break {', '.join(f'{rule.id} {rule.name}' for rule in rules)}"
        what = what.replace(": refused,", f"{' and' if removals else ''} {breaks}: refused,")
        causes += [f"{one.place}: {one.message}" for one in others]
        steps += [rule.what_to_do for rule in rules]
        if waivable := [rule.id for rule in rules if rule.waivable]:
            waiver = f'guard {{ waive "{waivable[0]}" {{ reason = "…" }} }}'
            steps.append(f"or, if this is intended, waive the rule in pio-tf.hcl: {waiver}")
    raise GuardRefused(
        what, cause="\n".join(filter(None, causes)), next_step="; ".join(filter(None, steps)), details=details
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        document = parse_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}",
            cause=str(error.strerror),
            next_step="`pio-tf plan --out DIR` saves a plan; without PLAN, `pio-tf guard` makes one",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _not_a_plan(file, f"it is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("resource_changes", []), list):
        raise _not_a_plan(file, "it is other JSON")
    if str(document.get("format_version", "")).partition(".")[0] != "1":
        raise _not_a_plan(file, f"its format_version is {document.get('format_version')!r}; pio-tf reads 1.x")
    return document


def _refuse_another_cluster(config: Config, plan_json: Mapping[str, Any], file: Path) -> None:
    """Refuse a plan for another cluster or region: the limits in pio-tf.hcl are not for that one."""
    try:
        found = {name: plan_json["variables"][name]["value"] for name in ("cluster", "region")}
    except (KeyError, TypeError) as error:
        raise _not_a_plan(file, "it does not name its cluster and region") from error
    wanted = {"cluster": config.cluster.name, "region": config.aws.region}
    differ = [
        f"its {name} is {found[name]}, but {config.path.name} says {wanted[name]}"
        for name in wanted
        if found[name] != wanted[name]
    ]
    if differ:
        raise ConfigError(
            f"{file} is not a plan for {config.path.name}",
            cause="; ".join(differ),
            next_step="name the configuration that the plan was made from with --config",
        )


def _not_a_plan(file: Path, cause: str) -> ConfigError:
    return ConfigError(
        f"{file} is not a plan",
        cause=cause,
        next_step="give the directory of `pio-tf plan --out DIR`, or the output of `terraform show -json PLANFILE`",
    )
