"""Instances that exist already, named in the machines block: what is required then, and what contradicts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pio_tf.config.adopted import AdoptedCluster, render_adopted
from pio_tf.config.load import parse_config
from pio_tf.errors import ConfigError

MACHINES = 'machines {\n  driver  = "i-0d"\n  master  = "i-0a"\n  workers = ["i-01", "i-02", "i-03"]\n}\n'
ROLE = "arn:aws:iam::123456789012:role/x"
REST = """
cluster { name = "ur" }
aws { region = "eu-west-1" }
ssh { key = "~/.ssh/id" }
pio {
  engine_dir = "~/ur"
  keep_files = true
}
"""


def load(text: str) -> object:
    return parse_config(text, path=Path("/project/pio-tf.hcl"), environ={})


def mistakes(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value)


def test_the_ids_need_no_network_and_count_the_workers() -> None:
    config = parse_config(MACHINES + REST, path=Path("/project/pio-tf.hcl"), environ={})
    ids = {"driver": "i-0d", "master": "i-0a", "worker-1": "i-01", "worker-2": "i-02", "worker-3": "i-03"}
    assert config.machines.ids == ids
    assert config.machine_names == tuple(ids)
    assert (config.power_only, config.self_stops, config.has_spare_types) == (True, False, False)


def test_without_ids_a_network_is_required() -> None:
    assert "network: this block is required" in mistakes(REST)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('  master  = "i-0a"\n', "", "machines.master: is required beside driver"),
        ('"i-0a"', '"i-0d"', "machines: names i-0d twice: a machine has one role"),
        ('"i-02"', '"worker-2"', 'machines.workers[1]: must be an instance id, like "i-0a1b2c3d"'),
        (
            "}",
            "  make_instance_profile = true\n}",
            "machines.make_instance_profile: is for machines that Terraform makes",
        ),
        ("machines {", 'network { cidr = "10.0.0.0/24" }\nmachines {', "network: is where Terraform makes machines"),
        ("machines {", "schedule {}\nmachines {", "schedule: needs Terraform: set machines.terraform = true"),
        ("machines {", 'machines {\n  terraform = true\n  kms_key_id = "alias/x"', "machines.kms_key_id: is for"),
        (MACHINES, "machines {\n  terraform = true\n}\n", "machines.terraform: is for instances that exist already"),
        ("machines {", "spark { workers = 2 }\nmachines {", "spark.workers: is 2, but machines.workers names 3"),
        ("machines {", "machines = {", 'machines: is a block: write "machines { … }"'),
    ],
)
def test_what_contradicts_the_ids_is_a_mistake_with_its_line(old: str, new: str, message: str) -> None:
    said = mistakes(MACHINES.replace(old, new, 1) + REST)
    assert message in said
    assert "pio-tf.hcl:" in said


def test_kept_files_need_no_storage_and_allow_no_setting_that_would_be_written() -> None:
    assert "elasticsearch" in mistakes(MACHINES + REST.replace("  keep_files = true\n", ""))
    setting = 'spark {\n  conf = { "spark.ui.port" = "4050" }\n}\n'
    assert "spark.conf: is written to spark-defaults.conf" in mistakes(MACHINES + REST + setting)


def test_a_rendered_file_loads_with_what_it_was_made_of() -> None:
    cluster = AdoptedCluster(
        name="ur",
        aws={"region": "eu-west-1"},
        ids={"driver": "i-0d", "master": "i-0a", "worker-1": "i-01"},
        about={"driver": "spark-driver; r5.xlarge"},
        ssh={"user": "aml", "key": "~/.ssh/id"},
        engine_dir='/home/aml/"ur"',
        start_command="/usr/local/spark/sbin/start-all.sh",
        small_driver=True,
    )
    config = parse_config(render_adopted(cluster), path=Path("/project/pio-tf.hcl"), environ={})
    assert config.machines.ids == cluster.ids
    assert (config.pio.engine_dir, config.pio.keep_files) == ('/home/aml/"ur"', True)
    assert config.spark.start_command == cluster.start_command
    assert (config.failsafe.role, config.driver.allow_small_memory) == (False, True)
    assert config.power_only


@pytest.mark.parametrize(
    ("cluster", "role"), [({}, (True, None)), ({"role": False}, (False, None)), ({"role_arn": ROLE}, (True, ROLE))]
)
def test_a_rendered_file_with_terraform_leaves_the_role_to_it_unless_it_names_one(
    cluster: dict[str, Any], role: tuple[bool, str | None]
) -> None:
    ids = {"driver": "i-0d", "master": "i-0a", "worker-1": "i-01"}
    common: dict[str, Any] = {"aws": {"region": "eu-west-1"}, "ssh": {"key": "~/.ssh/id"}, "engine_dir": "~/ur"}
    text = render_adopted(AdoptedCluster("ur", ids=ids, terraform={"binary": "tofu"}, **common, **cluster))
    config = parse_config(text, path=Path("/project/pio-tf.hcl"), environ={})
    assert (config.adopted, config.power_only, config.terraform.binary) == (True, False, "tofu")
    assert (config.failsafe.role, config.failsafe.role_arn) == role


def test_a_schedule_needs_machines_that_start_spark_and_stop_without_a_client() -> None:
    text = MACHINES.replace("}", "  terraform = true\n}") + REST + "schedule {}\n"
    assert "needs failsafe.self_stop = true" in mistakes(text)
    text += "failsafe {\n  self_stop = true\n}\n"
    assert "only a client runs spark.start_command" in mistakes(text + 'spark {\n  start_command = "go"\n}\n')
    config = parse_config(text, path=Path("/project/pio-tf.hcl"), environ={})
    assert config.schedule is not None
