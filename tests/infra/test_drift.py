"""Drift, found in plans as Terraform writes them."""

from __future__ import annotations

from typing import Any

from pio_tf.infra.drift import Difference, find_drift

GROUP = {"id": "sg-1", "ingress": [], "egress": []}


def drifted(kind: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    actions = ["delete"] if after is None else ["update"]
    return {
        "address": f"module.x.{kind}.this",
        "type": kind,
        "mode": "managed",
        "change": {"actions": actions, "before": before, "after": after},
    }


def refreshed(*resources: dict[str, Any], rules: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    known = [{"type": "aws_security_group_rule", "values": {"security_group_id": "sg-1", **rule}} for rule in rules]
    module = {"child_modules": [{"child_modules": [{"resources": known}]}]}
    return {"resource_drift": list(resources), "prior_state": {"values": {"root_module": module}}}


def rule(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"protocol": "tcp", "from_port": 22, "to_port": 22, **more}


def test_no_drift_is_none() -> None:
    assert find_drift({}) == ()
    assert find_drift(refreshed()) == ()


def test_what_goes_with_power_is_no_drift() -> None:
    running = {
        "instance_state": "running",
        "public_ip": "198.51.100.7",
        "public_dns": "ec2",
        "instance_type": "r5.large",
    }
    stopped = {"instance_state": "stopped", "public_ip": "", "public_dns": "", "instance_type": "r5.large"}
    with_address = {**running, "associate_public_ip_address": True}
    without = {**stopped, "associate_public_ip_address": False}
    assert find_drift(refreshed(drifted("aws_instance", with_address, without))) == ()
    assert find_drift(refreshed(drifted("aws_instance", without, with_address))) == ()


def test_a_changed_argument_is_reported_with_both_values_and_the_machine() -> None:
    tags = {"pio-tf:machine": "worker-2"}
    before = {"instance_state": "running", "instance_type": "r5.large", "tags": tags}
    after = {"instance_state": "stopped", "instance_type": "r5.4xlarge", "tags": tags}
    (found,) = find_drift(refreshed(drifted("aws_instance", before, after)))
    assert (found.machine, found.change) == ("worker-2", "changed")
    assert found.differences == (Difference("instance_type", "r5.large", "r5.4xlarge"),)


def test_a_volume_of_the_stack_that_its_machine_lists_is_no_drift_but_any_other_is() -> None:
    ours, foreign = {"volume_id": "vol-1"}, {"volume_id": "vol-2"}
    before: dict[str, Any] = {"ebs_block_device": []}
    plan = refreshed(drifted("aws_instance", before, {"ebs_block_device": [ours]}))
    volume = {"type": "aws_ebs_volume", "values": {"id": "vol-1"}}
    plan["prior_state"]["values"]["root_module"]["resources"] = [volume]
    assert find_drift(plan) == ()
    plan["resource_drift"] = [drifted("aws_instance", before, {"ebs_block_device": [ours, foreign]})]
    (found,) = find_drift(plan)
    assert found.differences == (Difference("ebs_block_device", [], [foreign]),)


def test_a_type_that_pio_tf_may_have_set_is_no_drift_but_all_else_of_the_machine_is() -> None:
    tags = {"pio-tf:machine": "worker-2"}
    before = {"instance_type": "r3.xlarge", "ebs_optimized": False, "cpu_core_count": 2, "tags": tags}
    after = {"instance_type": "r5.xlarge", "ebs_optimized": True, "cpu_core_count": 4, "tags": tags}

    def may_be(machine: str, kind: str) -> bool:
        return (machine, kind) == ("worker-2", "r5.xlarge")

    assert find_drift(refreshed(drifted("aws_instance", before, after)), may_be=may_be) == ()
    (found,) = find_drift(
        refreshed(drifted("aws_instance", before, {**after, "tags": {**tags, "a": "b"}})), may_be=may_be
    )
    assert [one.name for one in found.differences] == ["tags"]
    (found,) = find_drift(
        refreshed(drifted("aws_instance", before, {**after, "instance_type": "x1.large"})), may_be=may_be
    )
    assert "instance_type" in [one.name for one in found.differences]


def test_a_machine_that_is_gone_is_drift() -> None:
    (found,) = find_drift(refreshed(drifted("aws_instance", {"tags": {"pio-tf:machine": "driver"}}, None)))
    assert (found.machine, found.change, found.differences) == ("driver", "gone", ())


def test_what_terraform_learns_later_is_no_drift() -> None:
    before = {"a": None, "b": None, "c": "", "d": 1}
    assert find_drift(refreshed(drifted("aws_eip", before, {"a": [], "b": "eu-west-1", "c": None, "d": 1}))) == ()


def test_rules_of_the_stack_are_no_drift_of_their_group_however_aws_puts_them_together() -> None:
    after = {
        **GROUP,
        "ingress": [rule(cidr_blocks=["192.0.2.0/24", "203.0.113.0/24"]), rule(from_port=0, to_port=0, self=True)],
        "egress": [rule(protocol="-1", from_port=0, to_port=0, cidr_blocks=["0.0.0.0/0"])],
    }
    rules = (
        rule(type="ingress", cidr_blocks=["192.0.2.0/24"]),
        rule(type="ingress", cidr_blocks=["203.0.113.0/24"]),
        rule(type="ingress", from_port=0, to_port=0, self=True, source_security_group_id="sg-1"),
        rule(type="egress", protocol="-1", from_port=0, to_port=0, cidr_blocks=["0.0.0.0/0"]),
    )
    assert find_drift(refreshed(drifted("aws_security_group", GROUP, after), rules=rules)) == ()


def test_an_added_rule_is_drift() -> None:
    allowed = rule(type="ingress", cidr_blocks=["192.0.2.0/24"])
    after = {**GROUP, "ingress": [rule(cidr_blocks=["192.0.2.0/24", "0.0.0.0/0"])]}
    (found,) = find_drift(refreshed(drifted("aws_security_group", GROUP, after), rules=(allowed,)))
    assert [one.name for one in found.differences] == ["ingress"]


def test_a_role_s_own_policy_is_no_drift_of_the_role_and_any_other_is() -> None:
    without, ours = [{"name": "", "policy": ""}], [{"name": "stop-machines", "policy": "{}"}]
    more = [*ours, {"name": "more", "policy": "{}"}]
    assert find_drift(refreshed(drifted("aws_iam_role", {"inline_policy": without}, {"inline_policy": ours}))) == ()
    (wider,) = find_drift(refreshed(drifted("aws_iam_role", {"inline_policy": ours}, {"inline_policy": more})))
    assert wider.differences == (Difference("inline_policy", ours, more),)
    (gone,) = find_drift(refreshed(drifted("aws_iam_role", {"inline_policy": ours}, {"inline_policy": without})))
    assert gone.differences == (Difference("inline_policy", ours, without),)
