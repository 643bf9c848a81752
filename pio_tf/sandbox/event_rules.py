"""EventBridge rules that send messages to SNS topics. moto keeps the rules, and sends to no topic.

This module plays CloudTrail, which hands each call of a schedule to EventBridge, and the rules of pio-tf: patterns of
values and ``anything-but``, and templates with the values of paths.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

from moto.events.models import events_backends
from moto.sns.models import sns_backends

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger("pio_tf.sandbox")

SERVICE = "events.amazonaws.com"


def tell_stop(account: str, region: str, *, role: str, states: Mapping[str, str], error: str = "") -> None:
    """Send the messages about a StopInstances call.

    Args:
        role: the role that made it.
        states: state before the call by instance id.
        error: AWS's code, if the call failed.
    """
    items = [{"instanceId": instance_id} for instance_id in states]
    before = [{**one, "previousState": {"name": states[one["instanceId"]]}} for one in items]
    detail: dict[str, Any] = {
        "eventSource": "ec2.amazonaws.com",
        "eventName": "StopInstances",
        "userIdentity": {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"type": "Role", "arn": role}}},
        "requestParameters": {"instancesSet": {"items": items}},
        "responseElements": None if error else {"instancesSet": {"items": before}},
        **({"errorCode": error} if error else {}),
    }
    event = {"source": "aws.ec2", "detail-type": "AWS API Call via CloudTrail", "region": region, "detail": detail}
    for rule in list(events_backends[account][region].event_buses["default"].rules.values()):
        if rule.state == "ENABLED" and matches(rule.event_pattern.get_pattern(), event):
            for target in rule.targets:
                _send(account, region, rule.arn, target, event)


def matches(pattern: Any, value: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether a part of an event fits a part of a pattern: of a list, one item has to."""
    if isinstance(value, list):
        return any(matches(pattern, item) for item in value)
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(matches(wanted, value.get(key)) for key, wanted in pattern.items())
    for wanted in pattern:
        if isinstance(wanted, dict):
            if set(wanted) == {"anything-but"} and value is not None and value not in wanted["anything-but"]:
                return True
        elif value == wanted:
            return True
    return False


def render(template: str, paths: Mapping[str, str], event: Mapping[str, Any]) -> str:
    """Return what a template of a rule's target makes of an event. Inside quotes, a value loses its own."""
    for name, path in paths.items():
        found = _look_up(event, re.split(r"\.|(?=\[)", path.removeprefix("$.")))
        text = found if isinstance(found, str) else json.dumps(found, separators=(",", ":")).replace('"', "")
        template = template.replace(f"<{name}>", text)
    return template


def _look_up(value: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    if not path:
        return value
    if path[0] == "[*]":
        return [_look_up(item, path[1:]) for item in value]
    return _look_up((value or {}).get(path[0]), path[1:])


def _send(account: str, region: str, rule: str, target: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    topic = sns_backends[account][region].topics.get(target["Arn"])
    if topic is None or not may_publish(json.loads(topic.policy), target["Arn"]):
        logger.warning("%s may not send messages to %s: its policy does not let %s", rule, target["Arn"], SERVICE)
        return
    transformer = target.get("InputTransformer") or {}
    topic.publish(render(transformer.get("InputTemplate", ""), transformer.get("InputPathsMap", {}), event))


def may_publish(policy: Mapping[str, Any], topic: str) -> bool:
    """Return whether a topic's policy lets EventBridge send messages to it."""
    return any(
        statement.get("Effect") == "Allow"
        and SERVICE in as_list((statement.get("Principal") or {}).get("Service"))
        and {"sns:publish", "sns:*"} & {action.lower() for action in as_list(statement.get("Action"))}
        and topic in as_list(statement.get("Resource"))
        for statement in policy.get("Statement", ())
        if isinstance(statement.get("Principal"), dict)
    )


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 - JSON has one value or a list
    """Return the values of a field of a policy or an event."""
    return [] if value is None else value if isinstance(value, list) else [value]
