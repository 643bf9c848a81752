"""Findings as SARIF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.config.load import parse_config
from pio_tf.infra.policy import RULES, evaluate, to_sarif
from tests.support.config_samples import text_with
from tests.support.plan_json import change, machine, plan, rule
from tests.support.sarif import SCHEMA, Run, Sarif

if TYPE_CHECKING:
    import pytest

BLOCKS = {
    "network": 'network {\n  cidr = "10.20.0.0/24"\n  ssh_cidrs = ["0.0.0.0/0"]\n}\n',
    "guard": 'guard {\n  max_monthly_cost_usd = 1\n  waive "PTF006" {\n    reason = "a \\"honeypot\\""\n  }\n}\n',
}
PLAN = plan(
    change("aws_security_group_rule", 'aws_security_group_rule.ssh["0.0.0.0/0"]', after=rule("0.0.0.0/0")),
    change("aws_instance", "module.driver.aws_instance.this", before=machine("driver"), after=None),
    change("aws_ebs_volume", after={"type": "gp3", "size": 500}),
)


def run_of(text: str) -> Run:
    sarif = Sarif.model_validate_json(text)
    assert str(sarif.schema_url) == SCHEMA
    (run,) = sarif.runs
    return run


def written(*, findings: bool = True) -> Run:
    config = parse_config(text_with(**BLOCKS), path=Path("/project/pio-tf.hcl"), environ={})
    return run_of(json.dumps(to_sarif(evaluate(config, PLAN if findings else plan()))))


def test_every_rule_is_described_and_every_result_points_to_its_own() -> None:
    run = written()
    rules = run.tool.driver.rules
    assert [one.id for one in rules] == [one.id for one in RULES]
    assert [result.ruleId for result in run.results] == ["PTF001", "PTF006", "PTF008", "PTF012"]
    assert all(rules[result.ruleIndex].id == result.ruleId for result in run.results)


def test_a_result_points_to_the_line_of_pio_tf_hcl_and_to_the_resource() -> None:
    result = next(one for one in written().results if one.ruleId == "PTF006")
    (location,) = result.locations
    assert location.physicalLocation.artifactLocation.uri == "pio-tf.hcl"
    assert location.physicalLocation.region is not None
    assert location.physicalLocation.region.startLine == 3
    assert [one.fullyQualifiedName for one in location.logicalLocations] == ['aws_security_group_rule.ssh["0.0.0.0/0"]']


def test_a_result_without_a_line_or_a_resource_has_none() -> None:
    results = {one.ruleId: one for one in written().results}
    assert results["PTF008"].locations[0].physicalLocation.region is None
    assert results["PTF012"].locations[0].logicalLocations == []


def test_a_waived_result_is_suppressed_with_its_reason_and_no_other_is() -> None:
    suppressed = {one.ruleId: [s.justification for s in one.suppressions] for one in written().results}
    assert suppressed == {"PTF001": [], "PTF006": ['a "honeypot"'], "PTF008": [], "PTF012": []}


def test_a_plan_without_findings_is_a_run_without_results() -> None:
    assert written(findings=False).results == []


def test_the_name_of_the_file_is_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = parse_config(text_with(**BLOCKS), path=tmp_path / "my cluster" / "pio-tf.hcl", environ={})
    run = run_of(json.dumps(to_sarif(evaluate(config, PLAN))))
    assert run.results[0].locations[0].physicalLocation.artifactLocation.uri == "my%20cluster/pio-tf.hcl"
