"""PTF010 to PTF012: what the ``guard`` block of pio-tf.hcl limits."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pio_tf.infra.cost import plan_cost
from pio_tf.infra.policy.found import Found
from pio_tf.infra.policy.planned import planned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config


def check_workers(config: Config, plan_json: Mapping[str, Any]) -> Iterator[Found]:
    """More workers than are allowed."""
    most = config.guard.max_workers
    workers = [one for one in planned(plan_json, "aws_instance") if one.machine.startswith("worker-")]
    if most is not None and len(workers) > most:
        message = f"there would be {len(workers)} workers, and at most {most} may be"
        yield Found("PTF010", workers[-1].address, message, "spark.workers")


def check_instance_types(config: Config, plan_json: Mapping[str, Any]) -> Iterator[Found]:
    """Machines of other types than are allowed."""
    allowed = config.guard.instance_types
    for machine in planned(plan_json, "aws_instance") if allowed else ():
        kind = str(machine.values.get("instance_type") or "unknown")
        if not any(fnmatchcase(kind, pattern) for pattern in allowed):
            message = f"{machine.label} would be of type {kind}, and {', '.join(allowed)} are allowed"
            yield Found("PTF011", machine.address, message, _place(config, machine.machine))


def check_cost(config: Config, plan_json: Mapping[str, Any]) -> Iterator[Found]:
    """A higher estimate for a month than is allowed; or none, because a price is missing."""
    most = config.guard.max_monthly_cost_usd
    if most is None:
        return
    _, after = plan_cost(config, plan_json)
    hours = config.guard.training_hours_per_month
    monthly = after.monthly_usd(hours)
    if monthly is None:
        message = f"the cost of a month is not known: no price for {', '.join(after.unknown)}"
        yield Found("PTF012", "", message, "guard.max_monthly_cost_usd")
    elif monthly > most:
        message = f"a month with {hours:g} hours of training would cost {monthly:.2f} USD, and {most:.2f} may be spent"
        yield Found("PTF012", "", message, "guard.max_monthly_cost_usd")


def _place(config: Config, machine: str) -> str:
    if machine == "driver":
        return "driver.instance_type"
    if machine == "master" and config.spark.master_instance_type is not None:
        return "spark.master_instance_type"
    return "spark.instance_type"
