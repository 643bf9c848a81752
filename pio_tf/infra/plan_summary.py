"""plan.md, the summary of a plan for a comment on a pull request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pio_tf.infra.guard import find_restarts
from pio_tf.infra.markdown import code, fence, folded, plain, table
from pio_tf.infra.saved_plan import MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pio_tf.infra.cost import Cost
    from pio_tf.infra.plan import Plan, ResourceChange
    from pio_tf.infra.policy import Finding

_MOST_ROWS = 60
_MOST_IN_DETAIL = 30_000
"""Characters. GitHub accepts 65,536 in a comment."""
_LONGEST_VALUE = 160
_TITLES = {
    "delete": "Deleted",
    "replace": "Replaced",
    "update": "Changed",
    "import": "Imported",
    "create": "Created",
}
_SIGNS = {"import": "=", "create": "+", "update": "~", "replace": "±", "delete": "-"}
_SHOWN_OF_NEW = ("instance_type", "private_ip", "cidr_block")
"""The most useful arguments of a new resource."""
_TAGS_COPY = "tags_all"
"""The provider's copy of ``tags``."""
_UNKNOWN = "(known after apply)"


def render_summary(
    plan: Plan,
    plan_json: Mapping[str, Any],
    *,
    cluster: str,
    facts: Mapping[str, str],
    cost: tuple[Cost, Cost],
    cost_note: str,
    refused: str = "",
) -> str:
    """Return the summary in GitHub's Markdown, which GitLab shows too. A cluster's plans share their first line.

    Args:
        plan: its changes and findings.
        plan_json: ``terraform show -json`` of the plan, without secrets.
        cluster: name of the cluster.
        facts: what the plan is for, and the versions that made it.
        cost: the cost before and after.
        cost_note: the note about the cost.
        refused: why pio-tf cannot apply the plan; empty: it can.
    """
    verdict = "refused" if refused else "changes" if plan.has_changes else "no changes"
    parts = [f"{MARKER} {cluster} -->\n### pio-tf plan for {code(cluster)}: {verdict}"]
    if refused:
        parts.append("**pio-tf refused this plan and does not apply it.**\n\n" + fence(refused, "text"))
    parts.append(_in_short(plan))
    parts.append("\n".join(table(("", ""), [*_cost_rows(cost, cost_note), *_guard_rows(plan.findings)])))
    if waived := [finding for finding in plan.findings if finding.waived]:
        parts.append("\n".join(["**Waived rules**", "", *(_waiver(finding) for finding in waived)]))
    resources = {change["address"]: change["change"] for change in plan_json.get("resource_changes") or ()}
    parts += _changes(plan.changes, resources)
    if restarts := find_restarts(plan_json):
        parts.append(
            "\n".join(["**Stopped and started for the change**", "", *(f"- {plain(line)}" for line in restarts)])
        )
    if plan.changes:
        parts.append(folded("Every argument", _in_detail(plan.changes, resources)))
    parts.append(folded("What this plan is for", "\n".join(table(("", ""), _fact_rows(facts)))))
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_short(plan: Plan) -> str:
    if not plan.has_changes and not plan.error:
        return "AWS matches pio-tf.hcl."
    counts = plan.counts
    said = [f"{number} to {word}" for word, number in counts.items() if number] or ["only outputs change"]
    if not counts["replace"] and not counts["delete"]:
        said.append("nothing is removed or replaced")
    return f"**{', '.join(said)}.**"


def _cost_rows(cost: tuple[Cost, Cost], note: str) -> Iterator[tuple[str, str]]:
    before, after = cost
    yield (
        "An hour of running machines",
        _change_of(before.running_hourly_usd, after.running_hourly_usd, places=3),
    )
    yield (
        "A month of stopped machines",
        _change_of(before.stopped_monthly_usd, after.stopped_monthly_usd, places=2),
    )
    unknown = f"; no price is known for {', '.join(after.unknown)}" if after.unknown else ""
    yield "", plain(note + unknown)


def _change_of(before: float | None, after: float | None, *, places: int) -> str:
    old, new = (f"{value:.{places}f} USD" if value is not None else "unknown" for value in (before, after))
    if before is None or after is None or old == new:
        return new if old == new else f"{old} → {new}"
    return f"{old} → **{new}** ({after - before:+.{places}f})"


def _guard_rows(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    refusing = [finding for finding in findings if not finding.waived]
    waived = len(findings) - len(refusing)
    more = f", {waived} waived" if waived else ""
    if refusing:
        yield (
            "Guard",
            "**refused**: " + ", ".join(sorted({f"{one.rule.id} {one.rule.name}" for one in refusing})) + more,
        )
    else:
        yield "Guard", "passed" + more


def _waiver(finding: Finding) -> str:
    rule = finding.rule
    return f"- {rule.id} {rule.name}, {plain(finding.message)}. Reason: {plain(finding.waived)} ({code(finding.place)})"


def _changes(changes: Sequence[ResourceChange], resources: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for verb, title in _TITLES.items():
        group = [change for change in changes if change.verb == verb]
        if not group:
            continue
        rows = [(_resource(change), _why(change, resources[change.address])) for change in group[:_MOST_ROWS]]
        lines = [f"**{title}**", "", *table(("resource", "what" if verb == "create" else "why"), rows)]
        if len(group) > _MOST_ROWS:
            lines += ["", f"… and {len(group) - _MOST_ROWS} more; plan.json has all."]
        yield "\n".join(lines)


def _resource(change: ResourceChange) -> str:
    return code(change.address) + (f" ({plain(change.machine)})" if change.machine else "")


def _why(change: ResourceChange, raw: Mapping[str, Any]) -> str:
    if change.verb == "create":
        after = raw.get("after") or {}
        return ", ".join(code(str(after[name])) for name in _SHOWN_OF_NEW if after.get(name))
    if change.verb == "delete":
        return ""
    forced = {str(path[0]) for path in raw.get("replace_paths") or () if path}
    names = [name for name in change.reasons if (not forced or name in forced) and name != _TAGS_COPY]
    return ", ".join(
        f"{code(name)}: {code(_side(raw, 'before', name))} → {code(_side(raw, 'after', name))}" for name in names
    )


def _in_detail(changes: Sequence[ResourceChange], resources: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    size = 0
    for number, change in enumerate(changes):
        block = list(_arguments(change, resources[change.address]))
        size += sum(len(line) + 1 for line in block)
        if size > _MOST_IN_DETAIL:
            lines.append(f"… and {len(changes) - number} more resources; plan.json has all")
            break
        lines += block
    return fence("\n".join(lines), "diff")


def _arguments(change: ResourceChange, raw: Mapping[str, Any]) -> Iterator[str]:
    yield f"{_SIGNS.get(change.verb, '~')} {change.address}" + (f" ({change.machine})" if change.machine else "")
    if change.verb == "create":
        for name, value in sorted((raw.get("after") or {}).items()):
            if value not in (None, "", [], {}) and name != _TAGS_COPY:
                yield f"+     {name} = {_side(raw, 'after', name)}"
    else:
        for name in change.reasons:
            if name == _TAGS_COPY:
                continue
            yield f"-     {name} = {_side(raw, 'before', name)}"
            yield f"+     {name} = {_side(raw, 'after', name)}"


def _side(raw: Mapping[str, Any], side: str, name: str) -> str:
    """Return the value of an argument on one line."""
    value = (raw.get(side) or {}).get(name)
    if side == "after" and value is None and (raw.get("after_unknown") or {}).get(name):
        return _UNKNOWN
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} … ({len(text)} characters)"


def _fact_rows(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(plain(name), code(value)) for name, value in facts.items() if value]
