"""An image baked as Packer would bake it, and machines that begin with it."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions

from pio_tf.config.load import load_config
from pio_tf.infra.bootstrap import render_image
from tests.real_machines.machine import Launch
from tests.real_machines.software import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real_machines.machine import Machine
    from tests.real_machines.mirror import Mirror
    from tests.real_machines.world import World
    from tests.support.site import Site


BAKER = Launch("baker", "i-0000000000000ba4e", IPv4Address("10.77.0.40"), b"#cloud-config\n{}\n")
ADDRESSES = {"driver": "10.77.0.41", "master": "10.77.0.42"}
PATIENCE = 180.0


def provisioners(template: str) -> Iterator[str]:
    """Yield the commands that Packer runs, in their order."""
    parsed: dict[str, Any] = hcl2.loads(template, serialization_options=SerializationOptions(strip_string_quotes=True))
    (build,) = parsed["build"]
    for one in build["provisioner"]:
        shell = one["shell"]
        if "script" in shell:
            yield shell["execute_command"].replace("{{ .Path }}", shell["script"].replace("${path.root}/", ""))
        else:
            yield from shell["inline"]


@pytest.fixture(scope="module")
def baked(world: World, launches: dict[str, Launch], site: Site) -> Iterator[Machine]:
    """Bake the image on a machine; yield that machine, off.

    ``launches``: its pio-tf.hcl is that of the cluster.
    """
    files = render_image(load_config(site.directory / "pio-tf.hcl", environ={}))
    machine = world.launch(BAKER)
    machine.power_on()
    machine.wait_for_login()
    machine.write("bootstrap.sh", files["bootstrap.sh"])
    for command in provisioners(files["pio-tf.pkr.hcl"]):
        machine.run(command, timeout=PATIENCE)
    machine.power_off()
    yield machine
    world.terminate(machine)


@pytest.fixture(scope="module")
def begun(world: World, baked: Machine, launches: dict[str, Launch], mirror: Mirror) -> Iterator[dict[str, Machine]]:
    """Boot machines of the image for the first time, with the user data of the cluster's; no mirror answers them."""
    mirror.down.update(ADDRESSES.values())
    machines = {}
    for number, (role, address) in enumerate(ADDRESSES.items()):
        launch = replace(
            launches[role], name=f"baked-{role}", instance_id=f"i-{number:016x}b", address=IPv4Address(address)
        )
        machines[role] = world.launch(launch, world.driver_hardware() if role == "driver" else None)
        machines[role].begin_as(baked)
        machines[role].power_on()
    yield machines
    mirror.down.difference_update(ADDRESSES.values())
    for machine in machines.values():
        world.terminate(machine)


@pytest.mark.parametrize("role", ADDRESSES)
def test_a_machine_of_the_image_is_ready_without_any_mirror(
    begun: dict[str, Machine], mirror: Mirror, role: str
) -> None:
    machine = begun[role]
    assert machine.wait_for_cloud_init(timeout=PATIENCE) == "done"
    ready = json.loads(machine.run("cat /var/lib/pio-tf/ready.json"))
    assert ready["role"] == role
    assert ready["versions"]["spark"] == VERSIONS["spark"]
    assert "step downloads: 0 downloaded" in machine.run("cat /var/log/pio-tf.log")
    assert ADDRESSES[role] not in {address for address, _, _ in mirror.requests}


def test_a_master_of_the_image_runs_spark_and_a_driver_runs_nothing(begun: dict[str, Machine]) -> None:
    for machine in begun.values():
        machine.wait_for_cloud_init(timeout=PATIENCE)
    master, driver = begun["master"], begun["driver"]
    master.wait_for("Spark", lambda: master.try_to_run("pgrep -f deploy.master.Master")[0] == 0)
    assert driver.try_to_run("systemctl cat pio-tf-spark")[0] != 0
    assert driver.try_to_run("pgrep java")[0] == 1


def test_its_log_begins_with_itself(begun: dict[str, Machine]) -> None:
    for role, machine in begun.items():
        machine.wait_for_cloud_init(timeout=PATIENCE)
        assert machine.run("head -n 1 /var/log/pio-tf.log").endswith(f"preparing this machine as {role}\n")
        assert "image" not in machine.run("cat /var/log/pio-tf.log")


def test_machines_of_one_image_are_not_taken_for_each_other(begun: dict[str, Machine]) -> None:
    for path in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"):
        found = [machine.run(f"cat {path}").strip() for machine in begun.values()]
        assert len(set(found)) == len(found), path
        assert all(found), path


def test_nothing_in_the_image_makes_a_machine_something_before_its_user_data(baked: Machine) -> None:
    for path in (
        "/usr/local/sbin/pio-tf-bootstrap",
        "/etc/systemd/system/pio-tf-boot.service",
        "/var/lib/pio-tf/ready.json",
        "/var/lib/pio-tf/bootstrapped",
        "/var/log/pio-tf.log",
    ):
        assert not baked.file(path).exists(), path
    assert baked.file(f"/opt/spark/{VERSIONS['spark']}/bin/spark-class").exists()
    assert list(baked.file("/etc/ssh").glob("ssh_host_*.pub")) == []
