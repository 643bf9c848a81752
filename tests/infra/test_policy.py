"""The guard's rules: for each, a plan that passes and plans that are refused."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.blocks import UNWAIVABLE, WAIVABLE
from pio_tf.config.load import parse_config
from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.infra.guard import GUARDED
from pio_tf.infra.policy import RULES, evaluate, judge_file, refuse
from pio_tf.infra.policy.checks import is_world
from tests.support.config_samples import text_with
from tests.support.plan_json import Json, change, machine, plan, rule

if TYPE_CHECKING:
    from pio_tf.config.schema import Config

SPARK = 'spark {\n  instance_type = "r5.xlarge"\n  workers = 4\n}\n'
NO_CIDR = 'network {\n  vpc_id = "vpc-0a1b2c3d"\n  subnet_id = "subnet-0a1b2c3d"\n}\n'
EIP = change("aws_eip", "module.driver.aws_eip.this[0]", after={})


@functools.cache
def config(**blocks: str) -> Config:
    return parse_config(text_with(**blocks), path=Path("/project/pio-tf.hcl"), environ={})


def guarded(inside: str, **blocks: str) -> Config:
    return config(**blocks, guard=f"guard {{\n{inside}\n}}\n")


def instance(name: str = "worker-1", **values: Any) -> Json:  # noqa: ANN401
    return change("aws_instance", f"module.{name}.aws_instance.this", after=machine(name, **values))


def opening(values: Json, kind: str = "aws_security_group_rule", **more: Any) -> Json:  # noqa: ANN401
    return change(kind, after=values, **more)


def with_block(values: Json, name: str, **block: Any) -> Json:  # noqa: ANN401
    return change("aws_instance", after={**values, name: [block] if block else []})


def in_group(*rules: Json, **more: Any) -> Json:  # noqa: ANN401
    return change("aws_security_group", after={"ingress": list(rules)}, **more)


def grown(before: int, after: int, name: str = "worker-1") -> Json:
    return change("aws_instance", before=machine(name, gib=before), after=machine(name, gib=after))


INGRESS = "aws_vpc_security_group_ingress_rule"
LIMITS = config(guard='guard {\n  max_workers = 2\n  instance_types = ["r5.*", "m5.large"]\n}\n')
MONEY = "max_monthly_cost_usd = 50\ntraining_hours_per_month = 100"

PASSES = {
    "PTF001": [(config(), plan(change("aws_instance", before=machine(), after=machine(type="r5.2xlarge"))))],
    "PTF002": [(config(), plan(change("aws_ebs_volume", after={"encrypted": True})))],
    "PTF003": [(config(network='network {\n  cidr = "10.20.0.0/24"\n  driver_eip = true\n}\n'), plan(EIP))],
    "PTF004": [(config(), plan(change("aws_security_group_rule", before=rule("10.0.0.0/8"), after=None)))],
    "PTF005": [(config(), plan(change("aws_s3_bucket", after={"bucket": "states"})))],
    "PTF006": [
        (config(), plan(opening(rule("192.0.2.0/24", "10.0.0.0/8")))),
        (config(), plan(opening(rule("0.0.0.0/0", type="egress", port=0, protocol="-1")))),
        (config(), plan(opening({"type": "ingress", "protocol": "-1", "from_port": 0, "to_port": 0, "self": True}))),
    ],
    "PTF007": [
        (config(), plan(opening(rule("10.0.0.0/8", port=8080)))),
        (config(), plan(opening(rule("0.0.0.0/0", port=8, last=0, protocol="icmp")))),
        (config(), plan(change("aws_security_group", after={}, unknown={"ingress": True}))),
    ],
    "PTF008": [(config(), plan(instance(), change("aws_ebs_volume", after={"encrypted": True})))],
    "PTF009": [
        (config(network='network {\n  cidr = "10.20.0.0/24"\n  driver_eip = true\n}\n'), plan(EIP)),
        (
            config(network='network {\n  cidr = "10.20.0.0/24"\n  public_ips = true\n}\n'),
            plan(
                change("aws_subnet", after={"map_public_ip_on_launch": True}),
                instance(associate_public_ip_address=True),
            ),
        ),
        (
            config(network='network {\n  cidr = "10.20.0.0/24"\n  driver_eip = true\n}\n'),
            plan(EIP, instance("driver", associate_public_ip_address=True)),
        ),
        (config(network=NO_CIDR), plan(data=({"type": "aws_subnet", "address": "data.aws_subnet.existing[0]"},))),
    ],
    "PTF010": [(LIMITS, plan(*(instance(name) for name in ("driver", "master", "worker-1", "worker-2"))))],
    "PTF011": [(LIMITS, plan(instance(), instance("master", type="m5.large")))],
    "PTF012": [
        (guarded(MONEY), plan(instance())),
        (config(), plan(instance(type="x9.metal"))),
    ],
    "PTF013": [
        (config(), plan(grown(50, 100))),
        (config(), plan(grown(100, 100))),
        (
            config(),
            plan(change("aws_ebs_volume", before={"size": 8}, after={"encrypted": True}, unknown={"size": True})),
        ),
        (config(), plan(change("aws_instance", before=machine(gib=100), after=machine(gib=50), actions=("no-op",)))),
    ],
}

REFUSED = {
    "PTF001": [
        (config(), plan(change("aws_instance", before=machine(), after=machine(), actions=("delete", "create")))),
        (config(), plan(change("aws_instance", before=machine(), after=None))),
        (config(), plan(change("aws_instance", before=machine(), after=None, actions=("forget",)))),
    ],
    "PTF002": [
        (config(), plan(change("aws_ebs_volume", before={}, after=None))),
        (config(), plan(change("aws_volume_attachment", before={}, after={}, actions=("create", "delete")))),
    ],
    "PTF003": [
        (config(), plan(change("aws_eip", before={}, after=None))),
        (config(), plan(change("aws_eip_association", before={}, after=None))),
    ],
    "PTF004": [
        (config(), plan(change(kind, before={}, after=None)))
        for kind in ("aws_vpc", "aws_subnet", "aws_security_group", "aws_network_interface")
    ],
    "PTF005": [
        (config(), plan(change("aws_s3_bucket", before={}, after=None))),
        (config(), plan(change("aws_s3_bucket_versioning", before={}, after=None))),
    ],
    "PTF006": [
        (config(), plan(opening(rule("0.0.0.0/0")))),
        (config(), plan(opening(rule(ipv6_cidr_blocks=["::/0"])))),
        (config(), plan(opening(rule("0.0.0.0/1", "128.0.0.0/1")))),
        (config(), plan(opening(rule("0.0.0.0/0", port=20, last=25)))),
        (config(), plan(opening(rule("0.0.0.0/0", port=0, protocol="-1")))),
        (
            config(),
            plan(opening({"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_ipv4": "0.0.0.0/0"}, INGRESS)),
        ),
        (config(), plan(opening({"ip_protocol": "-1", "cidr_ipv6": "::/0"}, INGRESS))),
        (config(), plan(in_group(rule("0.0.0.0/0")))),
        (config(ssh='ssh {\n  key = "id"\n  port = 2222\n}\n'), plan(opening(rule("0.0.0.0/0", port=2222)))),
        (
            config(),
            plan(
                change("aws_security_group_rule", before=rule("0.0.0.0/0"), after=rule("0.0.0.0/0"), actions=("no-op",))
            ),
        ),
    ],
    "PTF007": [
        (config(), plan(opening(rule("0.0.0.0/0", port=8080)))),
        (config(), plan(opening(rule("::/0", port=22, protocol="udp")))),
        (config(), plan(opening(rule("0.0.0.0/0", port=0, last=65535)))),
        (config(), plan(opening(rule("0.0.0.0/0", port=0, protocol="-1")))),
        (config(), plan(opening({"ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0"}, INGRESS))),
        (config(), plan(opening(rule(), unknown={"cidr_blocks": True}))),
        (config(), plan(opening({"ip_protocol": "tcp"}, INGRESS, unknown={"cidr_ipv4": True, "from_port": True}))),
        (config(), plan(in_group(rule(), unknown={"ingress": [{"cidr_blocks": True}]}))),
        (config(), plan(change("aws_default_security_group", after={"ingress": [rule("0.0.0.0/0", port=80)]}))),
    ],
    "PTF008": [
        (config(), plan(change("aws_ebs_volume", after={"encrypted": False}))),
        (config(), plan(change("aws_ebs_volume", after={}, unknown={"encrypted": True}))),
        (config(), plan(with_block(machine(), "root_block_device", encrypted=False))),
        (config(), plan(with_block(machine(), "root_block_device"))),
        (config(), plan(with_block(machine(), "ebs_block_device", device_name="/dev/sdf"))),
    ],
    "PTF009": [
        (config(), plan(EIP)),
        (config(network='network {\n  cidr = "10.20.0.0/24"\n  driver_eip = true\n}\n'), plan(EIP, EIP)),
        (config(), plan(instance(associate_public_ip_address=True))),
        (config(), plan(instance(ipv6_address_count=1))),
        (config(), plan(instance(ipv6_addresses=["2001:db8::1"]))),
        (config(), plan(change("aws_subnet", after={"map_public_ip_on_launch": True}))),
        (
            config(network=NO_CIDR),
            plan(
                data=(
                    {
                        "type": "aws_subnet",
                        "address": "data.aws_subnet.existing[0]",
                        "values": {"map_public_ip_on_launch": True},
                    },
                )
            ),
        ),
        (
            config(network='network {\n  cidr = "10.20.0.0/24"\n  driver_eip = true\n}\n'),
            plan(EIP, instance("worker-1", associate_public_ip_address=True)),
        ),
    ],
    "PTF010": [(LIMITS, plan(*(instance(f"worker-{number}") for number in (1, 2, 3))))],
    "PTF011": [
        (LIMITS, plan(instance(type="x1.32xlarge"))),
        (LIMITS, plan(instance("master", type="m5.xlarge"))),
        (LIMITS, plan(change("aws_instance", after={**machine(), "instance_type": None}))),
        (
            guarded(
                'instance_types = ["r5.*"]', driver='driver {\n  instance_types = ["r5.xlarge", "x1.32xlarge"]\n}\n'
            ),
            plan(instance("driver")),
        ),
    ],
    "PTF012": [
        (guarded(MONEY), plan(instance(type="r5.24xlarge"))),
        (guarded(MONEY), plan(instance(type="x9.metal"))),
    ],
    "PTF013": [
        (config(), plan(grown(100, 50))),
        (config(), plan(grown(51, 50, "driver"))),
        (config(), plan(change("aws_ebs_volume", before={"size": 8}, after={"size": 7, "encrypted": True}))),
        (
            config(),
            plan(
                change(
                    "aws_instance",
                    before=machine(ebs_block_device=[{"device_name": "/dev/sdf", "volume_size": 9, "encrypted": True}]),
                    after=machine(ebs_block_device=[{"device_name": "/dev/sdf", "volume_size": 8, "encrypted": True}]),
                )
            ),
        ),
    ],
}


def pairs(cases: dict[str, list[tuple[Config, Json]]]) -> list[Any]:
    return [
        pytest.param(rule_id, settings, document, id=f"{rule_id}-{number}")
        for rule_id, some in cases.items()
        for number, (settings, document) in enumerate(some)
    ]


@pytest.mark.parametrize(("rule_id", "settings", "document"), pairs(PASSES))
def test_what_keeps_a_rule_passes(rule_id: str, settings: Config, document: Json) -> None:
    assert rule_id not in [finding.rule.id for finding in evaluate(settings, document)]


@pytest.mark.parametrize(("rule_id", "settings", "document"), pairs(REFUSED))
def test_what_breaks_a_rule_is_refused(rule_id: str, settings: Config, document: Json) -> None:
    findings = [finding for finding in evaluate(settings, document) if finding.rule.id == rule_id]
    assert findings
    with pytest.raises(GuardRefused):
        refuse(findings)


def test_every_rule_has_a_plan_that_passes_and_one_that_is_refused() -> None:
    assert [rule.id for rule in RULES] == list(PASSES) == list(REFUSED) == sorted([*UNWAIVABLE, *WAIVABLE])


def test_names_of_rules_are_unique_and_everything_about_them_is_said() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.title and rule.why and rule.what_to_do for rule in RULES)


@pytest.mark.parametrize("kind", sorted(GUARDED))
def test_every_guarded_type_belongs_to_a_rule_against_removals(kind: str) -> None:
    (finding,) = evaluate(config(), plan(change(kind, before={}, after=None)))
    assert finding.rule.id in UNWAIVABLE


def test_a_plan_without_changes_has_no_findings() -> None:
    assert evaluate(config(), {}) == ()
    refuse(())


def test_a_plan_that_closes_ssh_passes_though_the_group_still_shows_the_opening() -> None:
    closing = plan(
        change("aws_security_group_rule", before=rule("0.0.0.0/0"), after=None),
        in_group(rule("0.0.0.0/0"), before={}, actions=("no-op",)),
    )
    assert evaluate(config(), closing) == ()


def test_what_was_opened_by_hand_is_found_in_the_group_and_once_only() -> None:
    by_hand = plan(
        change("aws_security_group_rule", after=rule("192.0.2.0/24")),
        in_group(rule("192.0.2.0/24"), rule("0.0.0.0/0"), before={}, actions=("no-op",)),
    )
    (finding,) = evaluate(config(), by_hand)
    assert (finding.rule.id, finding.message) == ("PTF006", "aws_security_group.this opens tcp port 22 to 0.0.0.0/0")


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "0.0.0.0/1", "64.0.0.0/7", "::/0", "2000::/3", "no range"])
def test_these_are_the_world(cidr: str) -> None:
    assert is_world(cidr)


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "fd00::/16"])
def test_these_are_not(cidr: str) -> None:
    assert not is_world(cidr)


def lines_of(settings: Config, document: Json) -> list[str]:
    return [finding.place for finding in evaluate(settings, document)]


def test_a_finding_points_to_the_line_of_its_cause() -> None:
    open_network = (
        'network {\n  cidr = "10.20.0.0/24"\n  ssh_cidrs = [\n    "192.0.2.0/24",\n    "0.0.0.0/0",\n  ]\n}\n'
    )
    assert lines_of(config(network=open_network), plan(opening(rule("0.0.0.0/0")))) == ["pio-tf.hcl:5"]
    lost = change("aws_instance", before=machine("worker-5"), after=None)
    assert lines_of(config(spark=SPARK), plan(lost)) == ["pio-tf.hcl:3"]
    dear = guarded('  instance_types = ["m5.large"]', spark=SPARK)
    assert lines_of(dear, plan(instance("worker-1"))) == ["pio-tf.hcl:2"]


def test_a_finding_points_to_the_file_where_it_says_nothing_of_the_cause() -> None:
    assert lines_of(config(), plan(with_block(machine(), "root_block_device", encrypted=False))) == ["pio-tf.hcl"]


def test_a_file_below_the_working_directory_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = parse_config(text_with(), path=tmp_path / "clusters" / "a" / "pio-tf.hcl", environ={})
    (finding,) = evaluate(settings, plan(EIP))
    assert finding.file == "clusters/a/pio-tf.hcl"


WAIVED = 'waive "PTF006" {\n  reason = "a honeypot"\n}'


def test_a_waived_rule_refuses_nothing_and_its_reason_is_in_the_finding() -> None:
    findings = evaluate(guarded(WAIVED), plan(opening(rule("0.0.0.0/0"))))
    assert [finding.waived for finding in findings] == ["a honeypot"]
    refuse(findings)


def test_a_waiver_of_one_rule_leaves_the_others() -> None:
    with pytest.raises(GuardRefused, match="would break PTF007 open-port: refused") as caught:
        refuse(evaluate(guarded(WAIVED), plan(opening(rule("0.0.0.0/0", port=0, protocol="-1")))))
    assert "PTF006" not in str(caught.value)


@pytest.mark.parametrize("rule_id", UNWAIVABLE)
def test_rules_against_removals_cannot_be_waived(rule_id: str) -> None:
    with pytest.raises(ConfigError, match=rf"pio-tf\.hcl:2: guard\.waive\.{rule_id}: cannot be waived"):
        guarded(f'waive "{rule_id}" {{\n  reason = "I know"\n}}')


def test_a_disk_that_would_shrink_is_refused_with_its_sizes_and_without_a_waiver() -> None:
    settings = config(driver='driver {\n  instance_type = "r5.xlarge"\n  root_volume_gib = 50\n}\n')
    with pytest.raises(GuardRefused) as caught:
        refuse(evaluate(settings, plan(grown(100, 50, "driver"))))
    error = caught.value
    assert error.what == "the plan would break PTF013 impossible-change: refused, nothing was changed"
    assert error.cause == "pio-tf.hcl:3: driver: the root disk would shrink from 100 to 50 GiB"
    assert error.next_step.startswith("set root_volume_gib, or the scratch_volume's gib, to the size")
    assert "waive" not in error.next_step


def test_a_scratch_volume_that_would_shrink_is_refused_at_its_option() -> None:
    settings = config(driver="driver {\n  scratch_volume {\n    gib = 50\n  }\n}\n")
    volume = {"type": "gp3", "encrypted": True, "tags": {"pio-tf:machine": "driver"}}
    shrinks = change("aws_ebs_volume", before={**volume, "size": 100}, after={**volume, "size": 50})
    with pytest.raises(GuardRefused) as caught:
        refuse(evaluate(settings, plan(shrinks)))
    assert caught.value.cause == "pio-tf.hcl:3: aws_ebs_volume.this: the volume would shrink from 100 to 50 GiB"


def test_a_refusal_names_what_where_and_what_to_do() -> None:
    settings = config(network='network {\n  cidr = "10.20.0.0/24"\n  ssh_cidrs = ["0.0.0.0/0"]\n}\n')
    with pytest.raises(GuardRefused) as caught:
        refuse(evaluate(settings, plan(opening(rule("0.0.0.0/0")))))
    error = caught.value
    assert error.what == "the plan would break PTF006 open-ssh: refused, nothing was changed"
    assert error.cause == "pio-tf.hcl:3: aws_security_group_rule.this opens tcp port 22 to 0.0.0.0/0"
    assert "network.ssh_cidrs" in error.next_step
    assert 'guard { waive "PTF006" { reason = "…" } }' in error.next_step
    assert error.details["findings"] == [
        {
            "rule": "PTF006",
            "name": "open-ssh",
            "severity": "high",
            "address": "aws_security_group_rule.this",
            "message": "aws_security_group_rule.this opens tcp port 22 to 0.0.0.0/0",
            "file": "pio-tf.hcl",
            "line": 3,
            "waived": None,
        }
    ]


def test_removals_are_refused_in_their_own_words_and_together_with_the_rest() -> None:
    lost = change("aws_instance", before=machine("worker-2"), after=None)
    with pytest.raises(GuardRefused) as alone:
        refuse(evaluate(config(), plan(lost)))
    assert alone.value.what == "the plan would delete 1 machine: refused, nothing was changed"
    assert "waive" not in alone.value.next_step
    with pytest.raises(GuardRefused) as both:
        refuse(evaluate(config(), plan(lost, opening(rule("0.0.0.0/0")))))
    assert both.value.what == "the plan would delete 1 machine and break PTF006 open-ssh: refused, nothing was changed"
    assert "put spark.workers back" in both.value.next_step
    assert [one["rule"] for one in both.value.details["findings"]] == ["PTF001", "PTF006"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "it is not JSON"),
        ("PK\x03\x04", "it is not JSON"),
        ("[]", "it is other JSON"),
        ('{"resource_changes": 7}', "it is other JSON"),
        ("{}", "its format_version is None"),
        ('{"format_version": "2.0"}', "its format_version is '2.0'"),
        ('{"format_version": "1.2"}', "it does not name its cluster"),
        (
            json.dumps({**plan(), "resource_changes": [7]}),
            "not as Terraform writes it",
        ),
    ],
)
def test_a_file_that_is_no_plan_is_a_config_error(tmp_path: Path, text: str, cause: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match="is not a plan") as caught:
        judge_file(config(), file)
    assert cause in caught.value.cause


def test_a_plan_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*plan\.json"):
        judge_file(config(), tmp_path)
