"""Machines through stops and starts: their parts that stay, and those that come back by themselves."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.real_machines.conftest import KEPT, R3_MIB
from tests.real_machines.machine import CARD, Hardware, wait_until

if TYPE_CHECKING:
    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.conftest import Disks
    from tests.real_machines.figures import Figures
    from tests.real_machines.machine import Machine


SCRATCH = "/var/lib/pio-tf/scratch"
R6I_MIB = 16384
"""Memory of the worker that was an r3."""


@dataclass(frozen=True)
class Kept:
    """The properties of a machine that a stop must not change."""

    card: str
    host_keys: str
    links: str
    engine: str
    passwd: str
    script: str


@dataclass(frozen=True)
class Left:
    """Notes from before a stop."""

    kept: Kept
    boot_id: str
    """Another one at every boot."""
    scratch: str
    """UUID of the file system there, if it has one of its own."""


def kept(machine: Machine) -> Kept:
    card = json.loads(machine.run(f"ip -j address show {CARD}"))[0]
    return Kept(
        card=f"{card['address']} {card['addr_info'][0]['local']}",
        host_keys=machine.run("cat /etc/ssh/ssh_host_*_key.pub"),
        links=machine.run("find /usr/local -maxdepth 1 -type l -printf '%f %l\\n' | sort"),
        engine=machine.run("cat engine/engine.json"),
        passwd=machine.run("cat /etc/passwd /etc/hosts"),
        script=machine.sudo("sha512sum /usr/local/sbin/pio-tf-bootstrap"),
    )


def boot_id(machine: Machine) -> str:
    return machine.run("cat /proc/sys/kernel/random/boot_id")


def scratch(machine: Machine) -> str:
    """Return the UUID of the file system there; none on the root disk."""
    return machine.sudo(f"findmnt -no SOURCE {SCRATCH} | xargs --no-run-if-empty blkid -s UUID -o value").strip()


@pytest.fixture(scope="module")
def left(cluster: Cluster, client: Client, disks: Disks, figures: Figures) -> dict[str, Left]:
    """Stop and start all machines with pio-tf.

    The NVMe disks of the second worker and of the driver have changed names, as they may.
    """
    notes = {}
    for name, machine in cluster.machines.items():
        machine.run('mkdir engine && echo \'{"id": "default"}\' >engine/engine.json')
        machine.sudo(f"touch {SCRATCH}/work/from-before")
        notes[name] = Left(kept(machine), boot_id(machine), scratch(machine))
    client.run("down")
    assert not any(machine.is_on for machine in cluster.machines.values())
    cluster["worker-2"].change_hardware(Hardware(disks={"nvme1n1": disks.volume, "nvme2n1": disks.nvme}))
    cluster["driver"].change_hardware(Hardware(disks={"nvme3n1": disks.scratch}))
    with ThreadPoolExecutor() as executor:
        up = executor.submit(client.run, "up")
        wait_until(lambda: up.done() or all(machine.is_on for machine in cluster.machines.values()))
        if not up.done():
            figures.add("later boot of 4 machines", cluster.wait_until_ready())
        took, _ = up.result()
    figures.add_command("pio-tf up", took)
    return notes


def test_user_data_does_not_run_again(cluster: Cluster, left: dict[str, Left]) -> None:
    for name, machine in cluster.machines.items():
        assert machine.wait_for_cloud_init() == "done"
        assert boot_id(machine) != left[name].boot_id
        assert machine.run("grep -c 'preparing this machine' /var/log/pio-tf.log").strip() == "1"
        assert machine.run("systemctl show --value -p ConditionResult pio-tf-bootstrap").strip() == "no"


def test_files_addresses_and_host_keys_are_as_they_were(cluster: Cluster, left: dict[str, Left]) -> None:
    for name, machine in cluster.machines.items():
        assert kept(machine) == left[name].kept


def test_workers_are_with_their_master_again_without_help(cluster: Cluster, left: dict[str, Left]) -> None:
    assert cluster.alive() == {worker.address for worker in cluster.workers}
    for machine in (cluster["master"], *cluster.workers):
        assert machine.run("systemctl is-active pio-tf-spark").strip() == "active"


def test_the_driver_still_runs_no_service(cluster: Cluster, left: dict[str, Left]) -> None:
    assert cluster["driver"].try_to_run("pgrep -a java") == (1, "")


def test_instance_store_is_formatted_anew_and_mounted(cluster: Cluster, left: dict[str, Left], disks: Disks) -> None:
    for name, device in {"worker-1": "/dev/xvdb", "worker-2": "/dev/nvme2n1"}.items():
        worker = cluster[name]
        assert worker.run(f"findmnt -no SOURCE {SCRATCH}").strip() == device
        assert scratch(worker) != left[name].scratch != ""
        assert "from-before" not in worker.sudo(f"ls {SCRATCH}/work")
    assert disks.volume.read(len(KEPT)) == KEPT, "a volume that has got another name was formatted"


def test_what_is_on_the_root_disk_stays_there(cluster: Cluster, left: dict[str, Left]) -> None:
    assert scratch(cluster["master"]) == left["master"].scratch == ""
    assert "from-before" in cluster["master"].sudo(f"ls {SCRATCH}/work")


def test_a_volume_for_scratch_files_keeps_them_whatever_its_device_is_called(
    cluster: Cluster, left: dict[str, Left]
) -> None:
    assert cluster["driver"].run(f"findmnt -no SOURCE {SCRATCH}").strip() == "/dev/nvme3n1"
    assert scratch(cluster["driver"]) == left["driver"].scratch != ""
    assert "from-before" in cluster["driver"].sudo(f"ls {SCRATCH}/work")


def test_a_machine_says_again_that_it_is_ready(cluster: Cluster, left: dict[str, Left]) -> None:
    for machine in cluster.machines.values():
        ready = json.loads(machine.run("cat /var/lib/pio-tf/ready.json"))
        assert ready["boot_id"] == boot_id(machine).strip()


@pytest.fixture(scope="module")
def returned(cluster: Cluster, left: dict[str, Left]) -> dict[str, dict[str, Any]]:
    """Stop a worker and change its type; fail the other's host. Return the master's report on both, by their names.

    The first worker is an r6i now: no instance store, and more memory. The host of the second one has failed under it.
    The master has kept running.
    """
    first, second = cluster.workers
    before = {worker["id"]: worker["memory"] for worker in cluster.registered()}
    assert R3_MIB - 1024 in before.values()
    second.crash()
    first.power_off()
    first.change_hardware(Hardware(memory_mib=R6I_MIB))
    cluster.power_on()

    def again() -> dict[str, dict[str, Any]]:
        return {worker["host"]: worker for worker in cluster.registered() if worker["id"] not in before}

    first.wait_for("two workers at the master", lambda: again().keys() == {first.address, second.address})
    return {worker.name: again()[worker.address] for worker in cluster.workers}


def test_another_instance_type_needs_no_edit(
    cluster: Cluster, left: dict[str, Left], returned: dict[str, dict[str, Any]]
) -> None:
    worker = cluster["worker-1"]
    assert returned["worker-1"]["memory"] == R6I_MIB - 1024
    assert worker.run(f"findmnt -no TARGET -T {SCRATCH}").strip() == "/"
    assert kept(worker) == left["worker-1"].kept


def test_a_worker_whose_host_has_failed_comes_back(
    cluster: Cluster, left: dict[str, Left], returned: dict[str, dict[str, Any]]
) -> None:
    worker = cluster["worker-2"]
    assert returned["worker-2"]["state"] == "ALIVE"
    assert worker.wait_for_cloud_init() == "done"
    assert kept(worker) == left["worker-2"].kept
