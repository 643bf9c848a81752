"""The notify block: which webhooks and topics it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.config_samples import BLOCKS, load_text, mistakes

if TYPE_CHECKING:
    from pathlib import Path

REST = "".join(BLOCKS.values())


def block(option: str, value: str) -> str:
    return f"{REST}notify {{\n  {option} = {value}\n}}\n"


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.slack.com/services/T0/B0/x",
        "https://chat.example.org:8443/hooks/x?y=z",
        "http://127.0.0.1:5000/x",
        "http://localhost/x",
    ],
)
def test_a_webhook_is_https_or_on_this_computer(tmp_path: Path, address: str) -> None:
    webhook = load_text(tmp_path, block("webhook", 'env("HOOK")'), {"HOOK": address}).notify.webhook
    assert webhook is not None
    assert address not in repr(webhook)


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example.org/s3cret",
        "https://s3cret",
        "ftp://s3cret/x",
        "s3cret",
        "https:///s3cret",
        "https://a b/c",
    ],
)
def test_another_webhook_is_refused_without_showing_it(tmp_path: Path, address: str) -> None:
    (mistake,) = mistakes(tmp_path, block("webhook", 'env("HOOK")'), {"HOOK": address})
    assert "notify.webhook: must be an https address" in mistake
    assert "s3cret" not in mistake


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("trainings", "must be the ARN of a standard SNS topic"),
        ("arn:aws:sns:us-east-1:123456789012:trainings.fifo", "must be the ARN of a standard SNS topic"),
        ("arn:aws:sns:ap-south-1:123456789012:trainings", "must be a topic in"),
        ("arn:aws-cn:sns:us-east-1:123456789012:trainings", "must begin with arn:aws:"),
    ],
)
def test_a_topic_is_one_of_the_region(tmp_path: Path, topic: str, said: str) -> None:
    (mistake,) = mistakes(tmp_path, block("sns_topic", f'"{topic}"'))
    assert f"notify.sns_topic: {said}" in mistake


def test_a_result_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, block("on", '["broken"]'))
    assert "notify.on" in mistake
    assert "succeeded" in mistake
