"""The guard's rules against removals, on the JSON of plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pio_tf.config.load import parse_config
from pio_tf.errors import GuardRefused
from pio_tf.infra.guard import GUARDED, find_restarts
from pio_tf.infra.policy import evaluate, refuse
from tests.support.config_samples import text_with

CONFIG = parse_config(text_with(), path=Path("/project/pio-tf.hcl"), environ={})


def refuse_removals(plan_json: dict[str, Any]) -> None:
    """Refuse by the rules against removals alone: these plans say too little for the others."""
    refuse([finding for finding in evaluate(CONFIG, plan_json) if finding.removal])


def change(
    kind: str,
    *actions: str,
    address: str = "",
    machine: str = "",
    mode: str = "managed",
    reason: str = "",
    replace_paths: list[list[str | int]] | None = None,
) -> dict[str, Any]:
    tags = {"pio-tf:machine": machine} if machine else {}
    details: dict[str, Any] = {"actions": list(actions), "before": {"tags": tags}, "after": {"tags": tags}}
    if replace_paths:
        details["replace_paths"] = replace_paths
    return {
        "address": address or f"{kind}.this",
        "type": kind,
        "mode": mode,
        "change": details,
        "action_reason": reason,
    }


def plan(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"resource_changes": list(changes)}


@pytest.mark.parametrize("kind", sorted(GUARDED))
@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete"), ("forget",)])
def test_removing_or_replacing_what_must_survive_is_refused(kind: str, actions: tuple[str, ...]) -> None:
    with pytest.raises(GuardRefused):
        refuse_removals(plan(change(kind, *actions)))


@pytest.mark.parametrize(
    "harmless",
    [
        change("aws_instance", "create"),
        change("aws_instance", "update"),
        change("aws_instance", "no-op"),
        change("aws_security_group_rule", "delete", "create"),
        change("aws_key_pair", "delete"),
        change("aws_ami", "read", mode="data"),
    ],
    ids=lambda item: f"{item['type']}-{item['change']['actions']}",
)
def test_everything_else_passes(harmless: dict[str, Any]) -> None:
    refuse_removals(plan(harmless))


def test_an_empty_plan_passes() -> None:
    refuse_removals({})


def test_each_resource_is_named_with_the_arguments_that_force_it_and_what_to_do() -> None:
    with pytest.raises(GuardRefused) as caught:
        refuse_removals(
            plan(
                change(
                    "aws_instance",
                    "delete",
                    "create",
                    address="module.driver.module.machine.aws_instance.this",
                    machine="driver",
                    replace_paths=[["private_ip"], ["root_block_device", 0, "encrypted"]],
                ),
                change(
                    "aws_instance",
                    "delete",
                    address='module.spark_cluster.module.worker["worker-2"].aws_instance.this',
                    machine="worker-2",
                    reason="delete_because_no_module",
                ),
                change("aws_eip", "delete", address="module.driver.aws_eip.this[0]"),
            )
        )
    error = caught.value
    assert error.exit_code == 3
    assert error.what == (
        "the plan would replace 1 machine and delete 1 machine and delete 1 other resource: "
        "refused, nothing was changed"
    )
    assert error.cause.splitlines() == [
        (
            "module.driver.module.machine.aws_instance.this (driver) would be replaced: private_ip, "
            "root_block_device[0].encrypted cannot change on an existing resource"
        ),
        (
            'module.spark_cluster.module.worker["worker-2"].aws_instance.this (worker-2) would be deleted: '
            "its module is no longer in the configuration"
        ),
        "module.driver.aws_eip.this[0] would be deleted",
    ]
    assert "put spark.workers back" in error.next_step
    assert "pio-tf destroy" in error.next_step
    assert error.details["resources"] == [
        {
            "address": "module.driver.module.machine.aws_instance.this",
            "type": "aws_instance",
            "machine": "driver",
            "action": "replace",
            "arguments": ["private_ip", "root_block_device[0].encrypted"],
        },
        {
            "address": 'module.spark_cluster.module.worker["worker-2"].aws_instance.this',
            "type": "aws_instance",
            "machine": "worker-2",
            "action": "delete",
            "arguments": [],
        },
        {
            "address": "module.driver.aws_eip.this[0]",
            "type": "aws_eip",
            "machine": None,
            "action": "delete",
            "arguments": [],
        },
    ]


def test_a_change_that_stops_and_starts_a_machine_is_told_and_one_that_does_not_is_not() -> None:
    typed = change("aws_instance", "update", machine="master")
    typed["change"]["before"]["instance_type"] = "r3.xlarge"
    typed["change"]["after"]["instance_type"] = "r3.2xlarge"
    tagged = change("aws_instance", "update", machine="driver")
    tagged["change"]["after"]["tags"] = {"pio-tf:machine": "driver", "team": "x"}

    warnings = find_restarts(plan(typed, tagged))

    assert [line.partition(": AWS changes this")[0] for line in warnings] == [
        "master: instance_type r3.xlarge -> r3.2xlarge"
    ]
