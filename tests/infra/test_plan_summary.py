"""plan.md: what it says, and that nothing in a plan can break out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pio_tf.infra.cost import Cost
from pio_tf.infra.markdown import code, fence, plain
from pio_tf.infra.plan import Plan, changes_anything, find_changes
from pio_tf.infra.plan_summary import render_summary
from pio_tf.infra.policy import RULE, Finding
from tests.support.plan_json import change, machine, plan

FREE = Cost(0.0, 0.0, ())
COST = (FREE, Cost(1.25, 30.0, ()))


def summary(
    raw: dict[str, Any],
    *,
    findings: tuple[Finding, ...] = (),
    cost: tuple[Cost, Cost] = COST,
    refused: str = "",
) -> str:
    found = Plan(Path("plan"), find_changes(raw), changes_anything(raw), json=raw, findings=findings)
    facts = {"AWS account": "123456789012"}
    return render_summary(found, raw, cluster="demo", facts=facts, cost=cost, cost_note="an estimate", refused=refused)


def finding(*, waived: str = "") -> Finding:
    return Finding(RULE["PTF006"], "aws_security_group_rule.ssh", "SSH is open to 0.0.0.0/0", "pio-tf.hcl", 7, waived)


def test_the_first_line_is_the_same_for_every_plan_of_a_cluster() -> None:
    texts = [summary(plan()), summary(plan(change("aws_instance", after=machine()))), summary(plan(), refused="no")]
    assert {text.splitlines()[0] for text in texts} == {"<!-- pio-tf plan demo -->"}


def test_no_changes_are_told_as_such() -> None:
    text = summary(plan())
    assert "### pio-tf plan for `demo`: no changes" in text
    assert "AWS matches pio-tf.hcl." in text


def test_what_is_created_and_changed_is_reported_with_the_reason_and_that_nothing_is_removed() -> None:
    text = summary(
        plan(
            change("aws_instance", "new", after=machine("worker-2", type="r5.xlarge")),
            change("aws_instance", "old", before=machine("worker-1"), after=machine("worker-1", type="r5.large")),
        )
    )
    assert "**1 to create, 1 to update, nothing is removed or replaced.**" in text
    assert "| `new` (worker-2) | `r5.xlarge` |" in text
    assert '| `old` (worker-1) | `instance_type`: `"r5.xlarge"` → `"r5.large"` |' in text
    assert "worker-1: instance\\_type r5.xlarge -\\> r5.large: AWS changes this only on a stopped machine" in text
    assert '-     instance_type = "r5.xlarge"\n+     instance_type = "r5.large"' in text


def test_what_it_costs_is_told_as_a_change() -> None:
    text = summary(plan())
    assert "| An hour of running machines | 0.000 USD → **1.250 USD** (+1.250) |" in text
    assert "| A month of stopped machines | 0.00 USD → **30.00 USD** (+30.00) |" in text
    unknown = summary(plan(), cost=(FREE, Cost(None, 30.0, ("instance type x9.large",))))
    assert "| An hour of running machines | 0.000 USD → unknown |" in unknown
    assert "no price is known for instance type x9.large" in unknown


def test_a_waiver_is_shown_with_its_reason_and_its_place() -> None:
    text = summary(plan(), findings=(finding(waived="the office has no fixed address"),))
    assert "| Guard | passed, 1 waived |" in text
    assert "PTF006 open-ssh, SSH is open to 0.0.0.0/0. Reason: the office has no fixed address (`pio-tf.hcl:7`)" in text


def test_a_refusal_is_shown_first() -> None:
    text = summary(plan(), findings=(finding(),), refused="the plan would break PTF006\nnext:  close it")
    assert text.splitlines()[1] == "### pio-tf plan for `demo`: refused"
    assert "```text\nthe plan would break PTF006\nnext:  close it\n```" in text
    assert "| Guard | **refused**: PTF006 open-ssh |" in text


def test_a_large_plan_still_fits_into_a_comment() -> None:
    raw = plan(
        *(change("aws_instance", f"worker[{n}]", after=machine(f"worker-{n}", more="x" * 400)) for n in range(500))
    )
    text = summary(raw)
    assert len(text) < 65_000
    assert "… and 440 more; plan.json has all." in text
    assert "more resources; plan.json has all" in text


def test_nothing_in_a_plan_breaks_out() -> None:
    evil = "`` | x </details> @octocat <img src=x> ```\n# heading"
    text = summary(plan(change("aws_vpc", "vpc", after={"cidr_block": evil, "tags": {"note": evil}})))
    (row,) = [line for line in text.splitlines() if line.startswith("| `vpc`")]
    assert row == "| `vpc` | ````` `` \\| x </details> @octocat <img src=x> ``` # heading ````` |".replace(
        "`````", "````"
    )
    assert text.count("\n````\n") == 1  # the end of a block that is longer than any run of backticks inside
    assert "\n# heading" not in text


def test_text_that_is_not_ours_is_quoted() -> None:
    assert code("a|b") == "`a\\|b`"
    assert code("`x`") == "`` `x` ``"
    assert plain("<b> @all *x* [y](z)") == "\\<b\\> &#64;all \\*x\\* \\[y\\](z)"
    assert fence("```\nx\n```") == "````\n```\nx\n```\n````"
