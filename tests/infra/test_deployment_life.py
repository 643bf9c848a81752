"""Whole lives of clusters: half-created and finished, interrupted, with an Elastic IP, destroyed."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError, TerraformError
from tests.support.background import wait_until
from tests.support.deployments import ENVIRON, deployment, existing_network, stop_all
from tests.support.fork_server import Program
from tests.support.shell import ec2
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pio_tf.infra.terraform import Terraform
    from pio_tf.sandbox.aws import LocalAws


MISSING_IMAGE = 'ami = "ami-0000000000000dead"'


def guarded(plan_json: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the guard reads of a plan without changes."""
    keys = ("address", "mode", "type", "name", "index", "provider_name")
    values = ("actions", "before", "after", "after_unknown")
    return {
        "variables": plan_json["variables"],
        "resources": {
            one["address"]: ({key: one.get(key) for key in keys}, {key: one["change"][key] for key in values})
            for one in plan_json["resource_changes"]
        },
        "outputs": {
            name: one["after"] for name, one in plan_json["output_changes"].items() if one["after"] is not None
        },
        "data": dict(_data_sources(plan_json["prior_state"]["values"]["root_module"])),
    }


def _data_sources(module: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((one["address"], one["values"]) for one in module.get("resources", ()) if one["mode"] == "data")
    for child in module.get("child_modules", ()):
        yield from _data_sources(child)


def named(site: Site, name: str) -> Site:
    return Site(directory=site.directory, name=name, url=site.url, mirror=site.mirror)


def test_a_half_created_cluster_is_finished_by_the_next_apply_and_removed_by_destroy(site: Site) -> None:
    site = named(site, "half")
    client = ec2(site.url)
    vpcs = {vpc["VpcId"] for vpc in client.describe_vpcs()["Vpcs"]}
    network = 'cidr = "127.77.30.0/24"\ndriver_eip = true\nssh_cidrs = ["192.0.2.0/24"]'
    broken = deployment(site.write(network=network, spark=f"workers = 1\n{MISSING_IMAGE}"))

    with pytest.raises(TerraformError) as caught:
        broken.apply(broken.plan())
    assert "InvalidAMIID" in caught.value.cause
    assert "module.spark_cluster.module.master.aws_instance.this (modules/machine/main.tf:" in caught.value.cause
    assert "check ami, ami_parameter or ami_filter" in caught.value.next_step
    assert broken.outputs() is None
    (driver,) = site.instances().values()

    fixed = deployment(site.write(network=network, spark="workers = 1"))
    outputs = fixed.apply(fixed.plan())
    assert outputs.driver.instance_id == driver["InstanceId"]
    assert outputs.driver.eip == client.describe_addresses()["Addresses"][0]["PublicIp"]
    plan = fixed.plan()
    assert plan.has_changes is False
    assert guarded(plan.json) == guarded(fixed.stack.terraform.show(plan.path))

    stop_all(site)
    assert fixed.plan().changes == ()
    assert client.describe_addresses()["Addresses"][0]["PublicIp"] == outputs.driver.eip

    fixed.destroy()
    assert site.instances() == {}
    assert client.describe_addresses()["Addresses"] == []
    assert {vpc["VpcId"] for vpc in client.describe_vpcs()["Vpcs"]} == vpcs
    assert client.describe_key_pairs()["KeyPairs"] == []
    stack = site.directory / ".pio-tf" / "half" / "stack"
    assert "prevent_destroy = true" in (stack / "modules/machine/main.tf").read_text()
    assert fixed.outputs() is None
    fixed.destroy()  # again: nothing is left to do


INTERRUPTED = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from pio_tf.config.load import load_config
    from pio_tf.infra.deployment import Deployment

    def report(event):
        if getattr(event, "status", "") == "running" and "aws_instance" in event.address:
            Path("creating").touch()

    cluster = Deployment(load_config("pio-tf.hcl", environ={}), reporter=report, environ={"PATH": os.environ["PATH"]})
    try:
        cluster.apply(cluster.plan())
    except KeyboardInterrupt:
        raise SystemExit(130)
    """
)


def test_ctrl_c_in_an_apply_loses_nothing_and_the_next_apply_goes_on(site: Site) -> None:
    site = named(site, "stopped")
    config = site.write(network=existing_network(site.url, "127.77.31.0/24"), spark="workers = 1")
    client = Program([sys.executable, "-c", INTERRUPTED], cwd=site.directory, start_new_session=True)
    assert wait_until(lambda: bool(site.instances()), within=300)
    os.killpg(client.pid, signal.SIGINT)
    assert client.wait(300) == 130

    assert not (config.stack_dir / ".terraform.tfstate.lock.info").exists()
    made = {name: instance["InstanceId"] for name, instance in site.instances().items()}
    assert "worker-1" not in made  # addresses are AWS's choice here: the workers come after their master
    state = (config.stack_dir / "terraform.tfstate").read_text()
    assert all(instance_id in state for instance_id in made.values())

    cluster = deployment(config)
    outputs = cluster.apply(cluster.plan())

    assert {machine.name: machine.instance_id for machine in outputs.machines}.items() >= made.items()
    assert len(site.instances()) == 3
    assert cluster.plan().changes == ()


def test_a_subnet_of_another_vpc_is_reported_with_both(site: Site, aws: LocalAws) -> None:
    one, other = existing_network(aws.url, "127.77.32.0/24"), existing_network(aws.url, "127.77.33.0/24")
    network = one.splitlines()[0] + "\n" + other.splitlines()[1]
    with pytest.raises(TerraformError) as caught:
        deployment(site.write(network=network)).plan()
    assert "is in vpc-" in caught.value.cause
    assert "network.vpc_id and network.subnet_id" in caught.value.next_step


def test_a_provider_that_cannot_be_had_is_reported_with_the_way_to_a_mirror(site: Site) -> None:
    empty = site.directory / "empty"
    empty.mkdir()
    site.directory.joinpath("offline").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{empty}"\n  }}\n}}\n'
    )
    config = site.write()
    offline = config.terraform.model_copy(update={"cli_config_file": site.directory / "offline"})
    with pytest.raises(TerraformError) as caught:
        deployment(config.model_copy(update={"terraform": offline})).plan()
    assert caught.value.what == "terraform init failed"
    assert "terraform.cli_config_file" in caught.value.next_step


def test_arguments_are_built_by_python_terraform_and_nothing_else_becomes_a_command(site: Site) -> None:
    terraform: Terraform = deployment(site.write()).stack.terraform
    command = terraform.command_line("plan", "x", input=False, lock_timeout="5s", target=["a", "b"])
    assert command == [
        *terraform.binary.command,
        "plan",
        "-input=false",
        "-lock-timeout=5s",
        "-target=a",
        "-target=b",
        "x",
    ]
    with pytest.raises(AttributeError):
        terraform.force_unlock  # type: ignore[attr-defined]  # noqa: B018


def test_a_missing_public_key_stops_everything_before_terraform(site: Site) -> None:
    config = site.write()
    (site.directory / "id.pub").unlink()
    with pytest.raises(ConfigError):
        deployment(config).plan()
    assert not config.stack_dir.exists()


def test_parallelism_follows_the_number_of_machines(site: Site) -> None:
    few, many = site.write(spark="workers = 1"), site.write(spark="workers = 48")
    assert deployment(few).stack.parallelism == 11
    assert deployment(many).stack.parallelism == 58
    fixed = many.terraform.model_copy(update={"parallelism": 3})
    assert deployment(many.model_copy(update={"terraform": fixed})).stack.parallelism == 3
    assert ENVIRON.keys() == {"PATH"}
