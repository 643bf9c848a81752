"""The JSON of the guard: its rules, what breaks them, and costs."""

from __future__ import annotations

from typing import Annotated, TypedDict

from pio_tf.cli.schemas.common import Version


class RuleData(TypedDict):
    """A rule of the guard."""

    id: str
    name: str
    severity: str
    title: str
    why: str
    what_to_do: str
    waivable: bool
    waived: Annotated[str | None, "the reason; null: it is not waived"]


class RulesResult(TypedDict):
    """The guard's rules."""

    version: Version
    rules: list[RuleData]


class FindingData(TypedDict):
    """What breaks a rule."""

    rule: str
    name: str
    severity: str
    address: str
    message: str
    file: str
    line: int | None
    waived: Annotated[str | None, "the reason; null: the plan is refused for it"]


class WaiverData(TypedDict):
    """A rule that pio-tf.hcl waives."""

    rule: str
    reason: str
    line: int | None


class CostData(TypedDict):
    """What a cluster costs; null: not known."""

    running_hourly_usd: float | None
    stopped_monthly_usd: float | None
    monthly_usd: float | None
    unknown: Annotated[list[str], "what no price is known of"]


class CostChangeData(TypedDict):
    """Costs before and after the plan."""

    before: CostData
    after: CostData
    training_hours_per_month: float
    note: str


class GuardResult(TypedDict):
    """What the guard makes of a plan."""

    version: Version
    refused: bool
    findings: list[FindingData]
    waivers: list[WaiverData]
    cost: CostChangeData
