"""Secrets do not reach plan.json."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.infra.redaction import HIDDEN, plain_secrets, redact_plan

if TYPE_CHECKING:
    from tests.support.site import Site


def plan(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"format_version": "1.2", **more}


def changed(change: dict[str, Any]) -> dict[str, Any]:
    return plan(resource_changes=[{"address": "a.b", "type": "a", "mode": "managed", "change": change}])


def test_what_terraform_calls_sensitive_is_hidden_where_it_stands_and_nothing_else() -> None:
    change = {
        "actions": ["update"],
        "before": {"name": "one", "inner": [{"key": "old", "size": 3}, {"key": "other"}]},
        "after": {"name": "two", "inner": [{"key": "new", "size": 4}, {"key": None}]},
        "before_sensitive": {"inner": [{"key": True}, {}]},
        "after_sensitive": {"inner": [{"key": True}, {"key": True}]},
    }
    after = redact_plan(changed(change))["resource_changes"][0]["change"]
    assert after["before"] == {"name": "one", "inner": [{"key": HIDDEN, "size": 3}, {"key": "other"}]}
    assert after["after"] == {"name": "two", "inner": [{"key": HIDDEN, "size": 4}, {"key": None}]}
    assert after["actions"] == ["update"]


def test_whole_values_outputs_states_and_variables_too() -> None:
    resource = {"values": {"id": "i-1", "password_data": "x"}, "sensitive_values": {"password_data": True}}
    redacted = redact_plan(
        plan(
            output_changes={"o": {"actions": ["create"], "before": None, "after": "s", "after_sensitive": True}},
            prior_state={"values": {"root_module": {"child_modules": [{"resources": [resource]}]}}},
            planned_values={
                "outputs": {"o": {"sensitive": True, "value": "s"}, "p": {"sensitive": False, "value": "t"}}
            },
            variables={"hidden": {"value": {"a": 1}}, "shown": {"value": "v"}},
            configuration={"root_module": {"variables": {"hidden": {"sensitive": True}, "shown": {}}}},
        )
    )
    assert redacted["output_changes"]["o"]["after"] == HIDDEN
    (module,) = redacted["prior_state"]["values"]["root_module"]["child_modules"]
    assert module["resources"][0]["values"] == {"id": "i-1", "password_data": HIDDEN}
    assert redacted["planned_values"]["outputs"]["o"]["value"] == HIDDEN
    assert redacted["planned_values"]["outputs"]["p"]["value"] == "t"
    assert redacted["variables"] == {"hidden": {"value": HIDDEN}, "shown": {"value": "v"}}


def test_what_is_named_like_a_secret_is_hidden() -> None:
    after = {
        "db_password": "x",
        "tags": {"api_token": "y"},
        "secret_key": {"constant_value": "z"},
        "http_tokens": "required",
    }
    redacted = redact_plan(changed({"actions": ["create"], "before": None, "after": after}))
    assert redacted["resource_changes"][0]["change"]["after"] == {
        "db_password": HIDDEN,
        "tags": {"api_token": HIDDEN},
        "secret_key": {"constant_value": HIDDEN},
        "http_tokens": "required",
    }


DATABASE = """
source "PGSQL" {
  type       = "jdbc"
  url        = "jdbc:postgresql://db/pio"
  user       = "pio"
  password   = "correct-horse"
  driver_jar = "/opt/postgresql.jar"
}
"""


def test_passwords_of_pio_tf_hcl_are_hidden_wherever_they_stand(site: Site) -> None:
    assert plain_secrets(site.write(more=DATABASE)) == ("correct-horse",)
    redacted = redact_plan(
        changed({"actions": ["create"], "before": None, "after": {"tags": {"note": "it is correct-horse, ok"}}}),
        secrets=["correct-horse", "s"],
    )
    assert redacted["resource_changes"][0]["change"]["after"]["tags"]["note"] == f"it is {HIDDEN}, ok"


SECRET = 'p"\u00e4ss/<w>&+ \u00f6'


@pytest.mark.parametrize("written", [json.dumps(SECRET)[1:-1], base64.b64encode(f"x{SECRET}y".encode()).decode()])
def test_a_password_is_hidden_however_it_is_written(written: str) -> None:
    after = {"user_data": f"a {written} b"}
    redacted = redact_plan(changed({"actions": ["create"], "before": None, "after": after}), secrets=[SECRET])
    shown = redacted["resource_changes"][0]["change"]["after"]["user_data"]
    assert HIDDEN in shown
    assert len(shown) <= len(f"a {HIDDEN} b") + 8  # of base64, what is around the secret


def test_a_short_password_is_hidden_where_it_stands_alone_in_a_value() -> None:
    after = {"note": "pw, master:pw@db, spark-master", "name": "pwd masters"}
    address = 'aws_instance.machine["master"]'
    plan_json = changed({"actions": ["create"], "before": None, "after": after}) | {"prior": {"address": address}}
    redacted = redact_plan(plan_json, secrets=["pw", "master"])
    assert redacted["resource_changes"][0]["change"]["after"] == {
        "note": f"{HIDDEN}, {HIDDEN}:{HIDDEN}@db, spark-{HIDDEN}",
        "name": "pwd masters",
    }
    assert redacted["prior"]["address"] == address
