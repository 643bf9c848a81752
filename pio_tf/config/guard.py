"""The ``guard`` block: what a plan may lead to, and which rules are waived."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from pio_tf.config.block import Block
from pio_tf.config.kinds import InstanceType, Kind, Words, matching

UNWAIVABLE = ("PTF001", "PTF002", "PTF003", "PTF004", "PTF005")
"""Rules that hold always: nothing that must survive is ever removed by a plan. `destroy` is the only way round."""
WAIVABLE = ("PTF006", "PTF007", "PTF008", "PTF009", "PTF010", "PTF011", "PTF012")
"""The other rules. What each says stands in :data:`pio_tf.infra.policy.RULES`."""


def _rule_id(value: str) -> str:
    if value in UNWAIVABLE:
        raise ValueError("cannot be waived: no plan removes what must survive; only `pio-tf destroy` does")
    if value not in WAIVABLE:
        raise ValueError(f"is no rule that can be waived; these can: {', '.join(WAIVABLE)} (`pio-tf guard --list`)")
    return value


def _no_truth(value: object) -> object:
    if isinstance(value, bool):  # pydantic would take it as 1 or 0
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueError
    return value


RuleId = Annotated[str, AfterValidator(_rule_id), Kind("rule")]
Amount = Annotated[float, BeforeValidator(_no_truth), Field(ge=0, allow_inf_nan=False), Kind("number")]
InstanceTypes = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9-]*\.(\*|[a-z0-9-]+)",
        'an EC2 instance type or all sizes of one, like "r5.xlarge" or "r5.*"',
        kind="instance type",
    ),
]


class Waiver(Block):
    """A rule that is not to refuse a plan. What breaks it is shown all the same, with the reason."""

    reason: Words = Field(description="Why. It is shown wherever the rule would have refused.")


class GuardBlock(Block):
    """What a plan may lead to. The rules of the guard hold without this block too: see [guard.md](guard.md)."""

    max_workers: int | None = Field(default=None, ge=1, description="The most workers. Default: no limit.")
    instance_types: list[InstanceTypes] = Field(
        default_factory=list,
        description='Instance types that machines may have; `"r5.*"` is all sizes of r5. Empty: any.',
    )
    max_monthly_cost_usd: Amount | None = Field(
        default=None, description="The most that the cluster may cost in a month, as estimated. Default: no limit."
    )
    training_hours_per_month: Amount = Field(
        default=20, le=744, description="Hours that the machines run in a month, for that estimate."
    )
    hourly_prices: dict[InstanceType, Amount] = Field(
        default_factory=dict,
        description="On-demand prices of instance types, USD an hour. They go before pio-tf's own, which are those of "
        "us-east-1.",
    )
    waive: dict[RuleId, Waiver] = Field(default_factory=dict, description="Blocks: waived rules, by label.")
