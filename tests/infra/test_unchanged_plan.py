"""Plans without changes, read from their files. test_deployment_life.py compares them with what Terraform shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.unchanged_plan import show_unchanged
from tests.support.plan_files import plan_file
from tests.support.plan_json import machine

if TYPE_CHECKING:
    from typing import Any


def state(**instance: Any) -> str:  # noqa: ANN401 - JSON
    """Return a state with a worker, an instance of a module that is made for each name."""
    worker = {"index_key": 0, "attributes": machine("worker-1"), **instance}
    resource = {
        "module": 'module.spark_cluster.module.worker["worker-1"]',
        "mode": "managed",
        "type": "aws_instance",
        "name": "this",
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [worker],
    }
    outputs = {"cluster": {"value": "demo", "type": "string"}}
    return json.dumps({"version": 4, "serial": 1, "lineage": "a", "outputs": outputs, "resources": [resource]})


def test_every_resource_output_and_variable_is_shown_as_it_is() -> None:
    shown = show_unchanged(plan_file({}, {"cluster": "demo"}, state=state()))
    (worker,) = shown["resource_changes"]
    assert worker["address"] == 'module.spark_cluster.module.worker["worker-1"].aws_instance.this[0]'
    assert worker["provider_name"] == "registry.terraform.io/hashicorp/aws"
    assert worker["change"]["actions"] == ["no-op"]
    assert worker["change"]["before"] == worker["change"]["after"] == machine("worker-1")
    assert shown["variables"] == {"cluster": {"value": "demo"}}
    assert shown["output_changes"]["cluster"]["after"] == "demo"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"encrypted_data": "x"}', "it is encrypted"),
        (plan_file({}, {}, state=""), "Expecting value"),
        (plan_file({}, {}), "something in its state is not as Terraform writes it"),
        (plan_file({}, {}, state='{"version": 3, "resources": []}'), "its state has the format version 3"),
        (plan_file({}, {}, state=state(status="tainted")), "a aws_instance that the plan would replace or delete"),
        (plan_file({}, {}, state=state(deposed="00000000")), "a aws_instance that the plan would replace or delete"),
    ],
)
def test_what_is_not_a_plan_without_changes_is_left_to_terraform(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        show_unchanged(content)
