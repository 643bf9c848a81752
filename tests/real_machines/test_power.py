"""Machines through stops and starts: their parts that stay, and those that come back by themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.real_machines.conftest import KEPT, R3_MIB
from tests.real_machines.kept import SCRATCH, boot_id, kept, scratch
from tests.real_machines.machine import Hardware

if TYPE_CHECKING:
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.conftest import Disks
    from tests.real_machines.kept import Left


R6I_MIB = 16384
"""Memory of the worker that was an r3."""


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
