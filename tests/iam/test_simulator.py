"""The simulator of IAM, held against AWS's documentation of how policies are evaluated.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html, and beside it
reference_policies_elements_condition_operators.html and
reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

from __future__ import annotations

import pytest

from tests.support.iam_policies import Request, Resource, allowed, holds, used

S3 = "arn:aws:s3:::bucket/key"
ROLE = "arn:aws:iam::123456789012:role/a"


def statement(effect: str = "Allow", **more: object) -> dict[str, object]:
    return {"Sid": effect, "Effect": effect, "Action": ["s3:GetObject"], "Resource": [S3], **more}


def policy(*statements: dict[str, object]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def get(*arns: str) -> Request:
    return Request("s3:GetObject", tuple(Resource(arn) for arn in arns or (S3,)))


def test_what_no_statement_allows_is_denied() -> None:
    assert used(policy(), get()) is None
    assert used(policy(statement()), Request("s3:PutObject", (Resource(S3),))) is None
    assert used(policy(statement()), get("arn:aws:s3:::bucket/other")) is None
    assert used(policy(statement()), get()) == {("Allow", "s3:GetObject")}


def test_a_denial_counts_more_than_any_allowance() -> None:
    assert used(policy(statement(), statement("Deny")), get()) is None
    assert used(policy(statement("Deny", Resource=["arn:aws:s3:::bucket/other"]), statement()), get()) is not None


def test_every_resource_of_a_request_must_be_allowed() -> None:
    assert used(policy(statement()), get(S3, "arn:aws:s3:::bucket/other")) is None
    assert used(policy(statement(Resource=["arn:aws:s3:::bucket/*"])), get(S3, "arn:aws:s3:::bucket/other"))


def test_a_boundary_allows_nothing_and_limits_everything() -> None:
    assert allowed(get(), policy(statement()), policy(statement()))
    assert not allowed(get(), policy(statement()), policy())
    assert not allowed(get(), policy(), policy(statement()))


def test_actions_know_no_case_and_wildcards_stand_for_any_text() -> None:
    for action in ("S3:getobject", "s3:Get*", "s3:*", "*", "s3:GetObjec?"):
        assert used(policy(statement(Action=[action])), get()), action
    assert used(policy(statement(Action=["s3:GetObjectAcl*"])), get()) is None


def test_conditions_and_keys_must_all_hold_and_one_value_of_a_key_is_enough() -> None:
    request = Request("s3:GetObject", (Resource(S3),), {"a": "1", "b": "2"})
    for condition, answer in (
        ({"StringEquals": {"a": ["0", "1"]}}, True),
        ({"StringEquals": {"a": "1", "b": "3"}}, False),
        ({"StringEquals": {"a": "1"}, "StringLike": {"b": "3*"}}, False),
        ({"StringEquals": {"a": "1"}, "StringLike": {"b": "2*"}}, True),
    ):
        assert (used(policy(statement(Condition=condition)), request) is not None) == answer


@pytest.mark.parametrize(
    ("operator", "found", "wanted", "answer"),
    [
        ("StringEquals", "a", ["a", "b"], True),
        ("StringEquals", "A", "a", False),
        ("StringEquals", None, "a", False),
        ("StringNotEquals", "a", ["a", "b"], False),
        ("StringNotEquals", "c", ["a", "b"], True),
        ("StringNotEquals", None, "a", True),
        ("StringLike", "eni-1", "eni-*", True),
        ("StringLike", None, "*", False),
        ("StringNotLike", "eni-1", "eni-*", False),
        ("StringNotLike", None, "eni-*", True),
        ("StringEqualsIfExists", None, "a", True),
        ("StringEqualsIfExists", "b", "a", False),
        ("StringEqualsIfExists", "a", "a", True),
        ("Bool", "true", "True", True),
        ("Bool", "false", "true", False),
        ("Bool", None, "true", False),
        ("Null", None, "true", True),
        ("Null", "a", "true", False),
        ("Null", "a", "false", True),
        ("Null", None, "false", False),
        ("ArnLike", ROLE, "arn:aws:iam::*:role/*", True),
        ("ArnLike", ROLE, "arn:aws:*", False),
        ("ArnLike", "arn:aws:ec2:us-east-1:1:subnet/a", "arn:aws:ec2:*:subnet/a", False),
        ("ArnLike", None, "arn:aws:iam::*:role/*", False),
        ("ForAllValues:StringEquals", ("a", "b"), ["a", "b", "c"], True),
        ("ForAllValues:StringEquals", ("a", "d"), ["a", "b", "c"], False),
        ("ForAllValues:StringEquals", None, ["a"], True),
        ("ForAllValues:StringNotEquals", ("a", "b"), ["c"], True),
        ("ForAllValues:StringNotEquals", ("a", "c"), ["c"], False),
        ("ForAnyValue:StringEquals", ("a", "d"), ["a"], True),
        ("ForAnyValue:StringEquals", ("d",), ["a"], False),
        ("ForAnyValue:StringEquals", None, ["a"], False),
    ],
)
def test_an_operator_compares_as_it_is_documented(
    operator: str, found: str | tuple[str, ...] | None, wanted: str | list[str], answer: bool
) -> None:
    assert holds(operator, found, wanted) is answer


def test_what_it_does_not_know_is_an_error_and_not_a_yes() -> None:
    with pytest.raises(KeyError):
        holds("NumericLessThan", "1", "2")
    with pytest.raises(AssertionError):
        holds("StringEquals", ("a", "b"), "a")
    with pytest.raises(AssertionError):
        used(policy(statement("Permit")), get())
