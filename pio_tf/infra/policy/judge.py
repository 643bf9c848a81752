"""The rules and the cost of a plan together, and plans that are read from files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.errors import ConfigError
from pio_tf.infra.cost import Cost, plan_cost
from pio_tf.infra.policy.evaluate import evaluate
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.infra.policy.finding import Finding

PLAN_JSON = "plan.json"
"""In the directory that `pio-tf plan --out` writes."""


@dataclass(frozen=True)
class Judgement:
    """What the guard makes of a plan."""

    findings: tuple[Finding, ...]
    before: Cost
    after: Cost

    @property
    def refused(self) -> tuple[Finding, ...]:
        """What is not waived: with any of it, the plan is not applied."""
        return tuple(finding for finding in self.findings if not finding.waived)


def judge(config: Config, plan_json: Mapping[str, Any]) -> Judgement:
    """Evaluate the rules on a plan, and estimate its cost. ``plan_json`` is as Terraform wrote it."""
    before, after = plan_cost(config, plan_json)
    return Judgement(evaluate(config, plan_json), before, after)


def judge_file(config: Config, path: Path) -> Judgement:
    """As :func:`judge`, for a plan that is kept.

    Args:
        path: a file of ``terraform show -json``, or the directory that ``pio-tf plan --out`` wrote.

    Raises:
        ConfigError: it cannot be read, is no plan, or is one of another cluster or region.
    """
    file = path / PLAN_JSON if path.is_dir() else path
    plan_json = _read(file)
    _refuse_another(config, plan_json, file)
    try:
        return judge(config, plan_json)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise _no_plan(file, f"something in it is not as Terraform writes it: {error!r}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        document = parse_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}",
            cause=str(error.strerror),
            next_step="`pio-tf plan --out DIR` writes a plan; without one, `pio-tf guard` plans by itself",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _no_plan(file, f"it is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("resource_changes", []), list):
        raise _no_plan(file, "it is other JSON")
    if str(document.get("format_version", "")).partition(".")[0] != "1":
        raise _no_plan(file, f"its format_version is {document.get('format_version')!r}, and 1.x can be read")
    return document


def _refuse_another(config: Config, plan_json: Mapping[str, Any], file: Path) -> None:
    """The limits of one cluster say nothing about another."""
    try:
        found = {name: plan_json["variables"][name]["value"] for name in ("cluster", "region")}
    except (KeyError, TypeError) as error:
        raise _no_plan(file, "it does not say for which cluster and region") from error
    wanted = {"cluster": config.cluster.name, "region": config.aws.region}
    differ = [f"its {name} is {found[name]}, and {wanted[name]} here" for name in wanted if found[name] != wanted[name]]
    if differ:
        raise ConfigError(
            f"{file} is a plan for something else than {config.path.name}",
            cause="; ".join(differ),
            next_step="name the configuration that it was made from with --config",
        )


def _no_plan(file: Path, cause: str) -> ConfigError:
    return ConfigError(
        f"{file} is not a plan",
        cause=cause,
        next_step="give the directory of `pio-tf plan --out DIR`, or what `terraform show -json PLANFILE` writes",
    )
