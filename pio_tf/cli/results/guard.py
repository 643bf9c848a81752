"""The guard: its rules, the findings in a plan, and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import asdict
from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, Number, Outputs, ResultData, TextOrNone
from pio_tf.infra.cost import price_note

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.infra.cost import Cost
    from pio_tf.infra.policy import Judgement, Rule


class RuleData(ResultData):
    """A rule of the guard."""

    id: str
    name: str
    severity: str
    title: str
    why: str
    what_to_do: str
    waivable: bool
    waived: str | None = Field(description="the reason; null: it is not waived")


class RulesResult(CommandResult):
    """The guard's rules."""

    ROWS = "rules"
    COLUMNS: ClassVar[Columns] = {
        "RULE": "id",
        "NAME": "name",
        "SEVERITY": "severity",
        "SAYS": "title",
        "WAIVED": lambda rule: (rule.waived or "no") if rule.waivable else "never",
    }

    rules: list[RuleData]

    @classmethod
    def of(cls, rules: Sequence[Rule], waived: Mapping[str, str]) -> RulesResult:
        """Return the result of ``guard --list``.

        Args:
            waived: the reason of each waiver, by the rule's id.
        """
        data = [{**asdict(rule), "waivable": rule.waivable, "waived": waived.get(rule.id)} for rule in rules]
        return cls.model_validate({"rules": data})


class FindingData(ResultData):
    """A part of a plan that breaks a rule."""

    rule: str
    name: str
    severity: str
    address: str
    message: str
    file: str
    line: int | None
    waived: TextOrNone = Field(description="the reason; null: the plan is refused for it")
    what_to_do: str = Field(exclude=True)

    @property
    def place(self) -> str:
        """``pio-tf.hcl:12``."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class WaiverData(ResultData):
    """A rule that pio-tf.hcl waives."""

    rule: str
    reason: str
    line: int | None
    place: str = Field(exclude=True)


class CostData(ResultData):
    """The cost of a cluster; null: unknown."""

    running_hourly_usd: Number | None
    stopped_monthly_usd: Number | None
    monthly_usd: Number | None
    unknown: list[str] = Field(description="everything without a known price")

    @classmethod
    def of(cls, cost: Cost, hours: float) -> CostData:
        """Return the cost with so many hours of training in a month."""
        figures = {name: getattr(cost, name) for name in ("running_hourly_usd", "stopped_monthly_usd")}
        figures["monthly_usd"] = cost.monthly_usd(hours)
        rounded = {name: None if one is None else round(one, 4) for name, one in figures.items()}
        return cls.model_validate({**rounded, "unknown": cost.unknown})


class CostChangeData(ResultData):
    """Costs before and after the plan."""

    before: CostData
    after: CostData
    training_hours_per_month: Number
    note: str

    def lines(self) -> Iterator[str]:
        """Return the costs in words."""
        hours = self.training_hours_per_month
        for what, name in (
            ("an hour of running machines", "running_hourly_usd"),
            ("a month of stopped machines", "stopped_monthly_usd"),
            (f"a month with {hours:g} hours of training", "monthly_usd"),
        ):
            old, new = _usd(getattr(self.before, name)), _usd(getattr(self.after, name))
            yield f"{what} costs {new}" + (f", before {old}" if old != new else "")
        if self.after.unknown:
            yield f"no price is known for {', '.join(self.after.unknown)}"
        yield f"({self.note})"


class GuardResult(CommandResult):
    """The guard's verdict on a plan."""

    ROWS = "findings"
    WRAPS = True
    COLUMNS: ClassVar[Columns] = {
        "RULE": "rule",
        "NAME": "name",
        "RESULT": lambda one: "waived" if one.waived else "refused",
        "WHERE": "place",
        "FOUND": "message",
    }
    OUTPUTS: ClassVar[Outputs] = {"refused": ("refused", "`true` or `false`")}

    refused: bool
    findings: list[FindingData]
    waivers: list[WaiverData]
    cost: CostChangeData

    @classmethod
    def of(cls, config: Config, judgement: Judgement) -> GuardResult:
        """Return the result of ``guard``."""
        hours = config.guard.training_hours_per_month
        waivers = [
            {"rule": name, "reason": waiver.reason, "line": config.line(option), "place": config.where(option)}
            for name, waiver in config.guard.waive.items()
            for option in [f"guard.waive.{name}"]
        ]
        cost = {
            "before": CostData.of(judgement.before, hours),
            "after": CostData.of(judgement.after, hours),
            "training_hours_per_month": hours,
            "note": price_note(config),
        }
        findings = [{**one.data, "what_to_do": one.rule.what_to_do} for one in judgement.findings]
        return cls.model_validate(
            {"refused": bool(judgement.refused), "findings": findings, "waivers": waivers, "cost": cost}
        )

    def closing(self) -> str:
        broken = {one.rule: one.what_to_do for one in self.findings if not one.waived}
        lines = [f"the plan is refused: {', '.join(broken)}" if broken else "the plan passes the guard"]
        lines += [f"  {rule}: {what_to_do}" for rule, what_to_do in broken.items()]
        lines += [f"waived in {one.place}: {one.rule}: {one.reason}" for one in self.waivers]
        return "\n".join([*lines, *self.cost.lines()])


def _usd(amount: float | None) -> str:
    return "an unknown amount" if amount is None else f"{amount:.2f} USD"
