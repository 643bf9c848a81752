"""The check that AWS can send messages about the deadline: its rules need a trail, and the topic's permission.

Sources: "AWS service events delivered via AWS CloudTrail" and "Using resource-based policies" (Amazon SNS permissions)
in EventBridge's user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pio_tf.aws.errors import aws_errors
from pio_tf.errors import AwsError
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SERVICE = "events.amazonaws.com"
_WRITES = ("All", "WriteOnly")
_NONE = "AWS sends no messages about the deadline"
_HOW = "(docs/training.md#from-aws)"


def find_obstacles(client: Callable[[str], Any], topic: str) -> Iterator[str]:
    """Yield what keeps AWS from sending messages about the deadline to a topic.

    Args:
        client: returns a client of ``"sns"`` or ``"cloudtrail"``.
    """
    try:
        with aws_errors(topic, service="sns"):
            attributes = client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
        if not _lets_events_publish(attributes.get("Policy", "{}")):
            yield f"{_NONE}: the policy of {topic} does not let {_SERVICE} publish {_HOW}"
        with aws_errors("looking for a trail", service="cloudtrail"):
            if not _has_trail(client("cloudtrail")):
                yield f"{_NONE}: no CloudTrail trail of the account logs management events {_HOW}"
    except AwsError as error:
        yield f"could not check whether AWS can send messages about the deadline: {error.what}"


def _lets_events_publish(policy: str) -> bool:
    try:
        statements = parse_json(policy)["Statement"]
    except (ValueError, LookupError, TypeError):
        return False
    return any(_lets(one) for one in _list(statements) if isinstance(one, dict))


def _lets(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    services = _list(principal.get("Service")) if isinstance(principal, dict) else []
    actions = {str(action).lower() for action in _list(statement.get("Action"))}
    return statement.get("Effect") == "Allow" and _SERVICE in services and bool(actions & {"sns:publish", "sns:*", "*"})


def _has_trail(cloudtrail: Any) -> bool:  # noqa: ANN401 - botocore makes its methods
    for trail in cloudtrail.describe_trails(includeShadowTrails=True)["trailList"]:
        if trail.get("IsOrganizationTrail"):  # may be another account's, which does not show how it is set
            return True
        arn = trail["TrailARN"]
        if cloudtrail.get_trail_status(Name=arn)["IsLogging"] and _logs_writes(
            cloudtrail.get_event_selectors(TrailName=arn)
        ):
            return True
    return False


def _logs_writes(trail: Mapping[str, Any]) -> bool:
    """Return whether a trail logs management events that change something."""
    basic = any(
        one.get("IncludeManagementEvents") and one.get("ReadWriteType") in _WRITES
        for one in trail.get("EventSelectors") or ()
    )
    return basic or any(
        field.get("Field") == "eventCategory" and "Management" in field.get("Equals", ())
        for one in trail.get("AdvancedEventSelectors") or ()
        for field in one.get("FieldSelectors", ())
    )


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - JSON has one value or a list
    return [] if value is None else value if isinstance(value, list) else [value]
