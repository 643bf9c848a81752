"""The guard's findings as SARIF 2.1.0, which code hosts show beside the line of pio-tf.hcl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pio_tf.infra.policy.rules import RULES
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.infra.policy.rules import Finding, Rule

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.0"}
"""GitHub's ``security-severity``: it shows a number in these ranges as the word."""


def to_sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the document. It lists a waived finding as suppressed, with the waiver's reason."""
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pio-tf guard",
                        "semanticVersion": __version__,
                        "rules": [_rule(rule) for rule in RULES],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding) for finding in findings],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.title}: {rule.why}."},
        "help": {"text": f"What to do: {rule.what_to_do}."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security"], "security-severity": _SCORES[rule.severity]},
    }


def _result(finding: Finding) -> dict[str, Any]:
    artifact = {"artifactLocation": {"uri": quote(finding.file)}}
    region = {"region": {"startLine": finding.line}} if finding.line is not None else {}
    location: dict[str, Any] = {"physicalLocation": {**artifact, **region}}
    if finding.address:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.address, "kind": "resource"}]
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.index(finding.rule),
        "level": "error",
        "message": {"text": finding.message},
        "locations": [location],
        "partialFingerprints": {"pioTfFinding/v1": f"{finding.rule.id}:{finding.address}"},
        "suppressions": [{"kind": "inSource", "status": "accepted", "justification": finding.waived}]
        if finding.waived
        else [],
    }
