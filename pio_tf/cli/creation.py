"""What a creation makes and costs, as `pio-tf up` shows it before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pio_tf.cli.wrap import wrap_words
from pio_tf.config.roles import ROLES, role_of
from pio_tf.infra.cost import HOURS_PER_MONTH, plan_cost, price_note
from pio_tf.model import count

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.infra.plan import Plan

_WIDTH = 79


def creation_lines(config: Config, plan: Plan) -> list[str]:
    """Return the lines about a plan that creates machines: machines by role and type, and the cost per hour."""
    new = plan.new_machines
    changes = {one["address"]: one["change"] for one in plan.json.get("resource_changes") or ()}
    kinds = Counter((role_of(name), str(changes[address]["after"]["instance_type"])) for name, address in new.items())
    others = plan.counts["create"] - len(new)
    lines = [f"pio-tf creates {count(new)} in {config.aws.region}, and {others} other resources:"]
    for (role, kind), number in sorted(kinds.items(), key=lambda item: ROLES.index(item[0][0])):
        lines.append(f"  {role if number == 1 else f'{number} {role}s':12} {kind}")
    cost = plan_cost(config, plan.json)[1]
    if cost.running_hourly_usd is None or cost.stopped_monthly_usd is None:
        return [*lines, f"the cost is unknown: no price is known for {', '.join(cost.unknown)}"]
    stopped = cost.stopped_monthly_usd / HOURS_PER_MONTH
    running = cost.running_hourly_usd + stopped
    lines.append(f"the cluster costs {running:.2f} USD an hour running, and {stopped:.3f} USD an hour stopped")
    return [*lines, *wrap_words(f"({price_note(config)})", _WIDTH).split("\n")]
