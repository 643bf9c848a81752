"""Whatever Terraform prints: it is taken, or refused in words; and it never makes a machine ours that is not."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pio_tf.events import silent
from pio_tf.infra.deployment import Deployment
from pio_tf.infra.policy import judge_file
from pio_tf.infra.terraform_messages import EventReader, diagnostics_in_text
from pio_tf.model import Outputs
from tests.fuzz.documents import ANY, changed, texts
from tests.fuzz.settings import answers, examples
from tests.support.plan_json import change, machine, plan, rule
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator


def _output(value: object) -> dict[str, object]:
    return {"value": value, "type": "string", "sensitive": False}


def _machine(name: str, number: int) -> dict[str, object]:
    return {
        "role": name.partition("-")[0],
        "id": f"i-0{number}",
        "private_ip": f"10.20.0.{number}",
        "eip": "1.2.3.4" if name == "driver" else None,
    }


OUTPUTS = {
    "cluster": _output("trainer"),
    "region": _output("eu-west-1"),
    "machines": _output(
        {name: _machine(name, number) for number, name in enumerate(("driver", "master", "worker-1", "worker-2"), 10)}
    ),
}
PLANS = (
    plan(),
    plan(
        change("aws_instance", after=machine("worker-2")),
        change("aws_instance", before=machine("driver"), after=machine("driver", type="r5.2xlarge")),
        change("aws_instance", before=machine("worker-1")),
        change("aws_security_group_rule", after=rule("10.0.0.0/8")),
        change("aws_security_group", after={"ingress": [rule("0.0.0.0/0")], "id": "sg-1"}, unknown={"ingress": [{}]}),
        change("aws_eip", after={"domain": "vpc"}),
        change("aws_key_pair", before={"public_key": "ssh-ed25519 AAAA x"}, after={"public_key": "ssh-ed25519 BB"}),
        change("aws_ebs_volume", before={"id": "vol-1", "size": 5}, after={"id": "vol-1", "size": 9}),
        change("aws_subnet", before={"cidr_block": "10.20.0.0/24"}, after={"cidr_block": "10.21.0.0/24"}),
        data=({"type": "aws_subnet", "address": "data.aws_subnet.this", "values": {"map_public_ip_on_launch": True}},),
        cluster="trainer",
    )
    | {
        "resource_drift": [
            change("aws_instance", before=machine("driver"), after=machine("driver", type="m5.large")),
            change("aws_security_group", before={"ingress": []}, after={"id": "sg-1", "ingress": [rule("1.2.3.4/32")]}),
        ],
        "output_changes": {"machines": {"actions": ["create"], "before": None, "after": {}}},
        "variables": {
            "cluster": {"value": "trainer"},
            "region": {"value": "eu-west-1"},
            "ssh": {"value": {"public_key": "ssh-ed25519 CC"}},
        },
    },
)
EVENTS = (
    {"@level": "info", "type": "version", "terraform": "1.9.0"},
    {
        "type": "diagnostic",
        "diagnostic": {
            "severity": "error",
            "summary": "Instance cannot be destroyed",
            "detail": "Resource module.driver.aws_instance.this has lifecycle.prevent_destroy set, but",
            "address": "module.driver",
            "range": {"filename": "main.tf", "start": {"line": 3, "column": 1}},
        },
    },
    {"type": "diagnostic", "diagnostic": {"severity": "warning", "summary": "old", "detail": ""}},
    {"type": "apply_progress", "hook": {"resource": {"addr": "aws_eip.x"}, "action": "create", "elapsed_seconds": 10}},
    {"type": "refresh_start", "hook": {"resource": {"addr": "aws_eip.x"}}},
    {"type": "log", "@message": "Acquiring state lock. This may take a few moments..."},
)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[TerraformStandIn]:
    with tempfile.TemporaryDirectory() as directory:
        yield TerraformStandIn(Path(directory))


def deployment(stand_in: TerraformStandIn) -> Deployment:
    return Deployment(stand_in.config, environ={"PATH": "/usr/bin:/bin"})


@examples(150)
@given(st.one_of(changed([OUTPUTS]), ANY))
def test_outputs_are_machines_or_refused_in_words(raw: Any) -> None:  # noqa: ANN401 - JSON may be anything
    if isinstance(raw, dict):
        with answers():
            outputs = Outputs.from_terraform(raw)
            if outputs is not None:
                assert outputs.driver
                assert outputs.master
                for one in outputs.machines:
                    assert all(isinstance(text, str) and text for text in (one.name, one.instance_id, one.private_ip))
                assert len({one.instance_id for one in outputs.machines}) == len(outputs.machines)


@examples(40)
@given(data=texts(OUTPUTS))
def test_whatever_terraform_output_prints_is_refused_in_words(stand_in: TerraformStandIn, data: bytes) -> None:
    stand_in.prints(output=data)
    with answers():
        deployment(stand_in).outputs()


@examples(25)
@given(show=texts(*PLANS), output=st.one_of(st.just(json.dumps(OUTPUTS).encode()), texts(OUTPUTS)))
def test_whatever_a_plan_shows_is_judged_or_refused_in_words(
    stand_in: TerraformStandIn, show: bytes, output: bytes
) -> None:
    stand_in.prints(show=show, output=output)
    with answers():
        one = deployment(stand_in)
        found = one.draft()
        one.judge(found)
        assert found.counts
        assert found.new_machines is not None
    with answers():
        deployment(stand_in).drift()


@examples(20)
@given(
    lines=st.lists(texts(*EVENTS), max_size=5),
    status=st.sampled_from([0, 1, 2, 3, 11, 127]),
    show=st.sampled_from([b"", json.dumps(PLANS[0]).encode(), json.dumps(PLANS[1]).encode()]),
)
def test_whatever_terraform_says_while_it_plans_is_told_or_refused_in_words(
    stand_in: TerraformStandIn, lines: list[bytes], status: int, show: bytes
) -> None:
    stand_in.prints(plan=b"\n".join(lines), show=show, status=status)
    with answers():
        deployment(stand_in).plan()


@examples(150)
@given(st.lists(texts(*EVENTS), max_size=4))
def test_any_event_of_terraform_is_read(lines: list[bytes]) -> None:
    reader = EventReader(silent)
    with answers():
        for line in lines:
            reader.read(line.decode("utf-8", "replace"))
            diagnostics_in_text(line.decode("utf-8", "replace"))
        for diagnostic in reader.diagnostics:
            assert str(diagnostic) is not None


@examples(200)
@given(data=texts(*PLANS))
def test_a_kept_plan_is_judged_or_refused_in_words(stand_in: TerraformStandIn, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "plan.json")
        file.write_bytes(data)
        with answers():
            judge_file(stand_in.config, file)
