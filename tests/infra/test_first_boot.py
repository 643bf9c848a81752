"""A plan that adds a machine with another Spark than the cluster has warns before it is applied."""

from __future__ import annotations

import gzip
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.infra.bootstrap import cluster_settings, render_script
from pio_tf.infra.first_boot import find_other_spark
from tests.support.builders import make_config

if TYPE_CHECKING:
    from pio_tf.model import Role


def user_data(spark: str, role: Role = "worker") -> str:
    config = make_config(spark={"version": spark})
    return b64encode(gzip.compress(render_script(cluster_settings(config, role=role, hosts={})).encode())).decode()


def plan(before: str | None, *, new: bool = True) -> dict[str, Any]:
    def machine(name: str, action: str, before: dict[str, Any] | None) -> dict[str, Any]:
        after = {"tags": {"pio-tf:machine": name}}
        return {
            "address": f"module.{name}.aws_instance.this",
            "type": "aws_instance",
            "change": {"actions": [action], "before": before, "after": after},
        }

    there = machine("worker-1", "no-op", {"user_data_base64": before})
    other = {"address": "aws_eip.this", "type": "aws_eip", "change": {"actions": ["create"], "before": None}}
    return {"resource_changes": [there, other, *([machine("worker-2", "create", None)] if new else [])]}


@pytest.mark.parametrize("role", ["driver", "master", "worker"])
def test_a_new_worker_with_another_spark_than_the_machines_have_is_a_warning(role: Role) -> None:
    warning = find_other_spark(plan(user_data("2.4.8", role)), wanted="2.1.3")
    assert warning.startswith(
        "worker-2 would get Spark 2.1.3, but machines of this cluster were created with 2.4.8: they do not work "
    )
    assert "Set spark.version in pio-tf.hcl" in warning


@pytest.mark.parametrize(
    "shown",
    [
        plan(user_data("2.1.3")),
        plan(user_data("2.1.1")),  # of the same line
        plan(user_data("2.4.8"), new=False),
        plan(None),
        plan("not base64!"),
        plan(b64encode(b"#!/bin/bash\nspark\t2.4.8\t").decode()),
        plan(b64encode(gzip.compress(b"#!/bin/bash\n")).decode()),
        plan(b64encode(gzip.compress(b"#!/bin/bash\n")[:12]).decode()),
        {},
    ],
)
def test_no_other_plan_is(shown: dict[str, Any]) -> None:
    assert find_other_spark(shown, wanted="2.1.3") == ""
