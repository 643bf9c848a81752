"""Evaluates the rules on a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pio_tf.infra.policy.ceilings import check_cost, check_instance_types, check_workers
from pio_tf.infra.policy.disks import check_disks
from pio_tf.infra.policy.exposure import check_addresses, check_openings
from pio_tf.infra.policy.finding import Finding
from pio_tf.infra.policy.removals import check_removals
from pio_tf.infra.policy.rules import RULE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config

_CHECKS = (
    check_removals,
    check_openings,
    check_disks,
    check_addresses,
    check_workers,
    check_instance_types,
    check_cost,
)


def evaluate(config: Config, plan_json: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Everything in a plan that breaks a rule, waived or not, in the order of the rules.

    Args:
        config: the cluster, for what it asks for, allows and waives.
        plan_json: ``terraform show -json`` of the plan file.
    """
    file = _from_here(config.path)
    found = [one for check in _CHECKS for one in check(config, plan_json)]
    return tuple(
        Finding(
            rule=RULE[one.rule],
            address=one.address,
            message=one.message,
            file=file,
            line=config.line(one.place),
            waived=config.guard.waive[one.rule].reason if one.rule in config.guard.waive else "",
            removal=one.removal,
        )
        for one in sorted(found, key=lambda one: one.rule)
    )


def _from_here(path: Path) -> str:
    """As a code host wants it: relative to where the job runs, with forward slashes."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
