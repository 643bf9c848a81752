"""Commands of the AWS CLI in errors: each names its region and endpoint."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pio_tf.aws.cli_hints import AwsCliHints

SOURCES = sorted((Path(__file__).parents[1] / "pio_tf").rglob("*.py"))
REGIONAL = re.compile(r"\baws (ec2|s3api|scheduler|cloudwatch|ssm|secretsmanager) [a-z-]+")


def texts(tree: ast.Module) -> list[str]:
    """Return the texts of a module with their replacement fields, each whole; without docstrings."""
    nodes = list(ast.walk(tree))
    docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node) if part != node}
    wanted = (node for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in docs | parts)
    return [ast.unparse(node) for node in wanted]


def test_a_command_of_the_aws_cli_in_a_message_names_its_region() -> None:
    found = [text for path in SOURCES for text in texts(ast.parse(path.read_text())) if REGIONAL.search(text)]
    assert len(found) >= 8
    assert [text for text in found if not re.search("place|where|--region", text)] == []


def test_a_hint_for_a_sandbox_does_not_lead_to_aws() -> None:
    hints = AwsCliHints("eu-west-1", "http://127.0.0.1:5000")
    place = "--region eu-west-1 --endpoint-url http://127.0.0.1:5000"
    assert hints.terminate(["i-1", "i-2"]) == f"aws ec2 terminate-instances {place} --instance-ids i-1 i-2"
    assert hints.tag(["vol-1"], "k", "v") == f"aws ec2 create-tags {place} --resources vol-1 --tags Key=k,Value=v"
