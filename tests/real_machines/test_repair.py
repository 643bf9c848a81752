"""First boots that fail: their errors, and how the machines become what they should be.

All of them boot at once, each with a fault of its own, as drivers: with the driver's user data, at other addresses.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from tests.real_machines.software import VERSIONS, spark_files, write_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real_machines.machine import Launch, Machine
    from tests.real_machines.mirror import Mirror
    from tests.real_machines.software import Archive
    from tests.real_machines.world import World


ADDRESSES = {"corrupt": "10.77.0.20", "unreachable": "10.77.0.21", "full": "10.77.0.22", "wrong": "10.77.0.23"}
FULL_MIB = 90
"""Less than Spark's archive."""
PATIENCE = 180.0
"""Seconds: a machine tries every address several times, with pauses."""


@pytest.fixture(scope="module")
def wrong_spark(mirror: Mirror, archives: dict[str, Archive]) -> Archive:
    """Put an archive with the wrong contents at Spark's place in another mirror."""
    files = spark_files("2.3.0")
    few = {name: files[name] for name in ("RELEASE", "bin/spark-class")}
    return write_archive(mirror.directory / "wrong", archives["spark"].path, few)


@pytest.fixture(scope="module")
def failed(
    world: World, launches: dict[str, Launch], mirror: Mirror, archives: dict[str, Archive], wrong_spark: Archive
) -> Iterator[dict[str, Machine]]:
    """Return machines by their fault, after their first boot."""
    spark = archives["spark"]
    mirror.corrupt.add((ADDRESSES["corrupt"], spark.path))
    mirror.down.add(ADDRESSES["unreachable"])
    driver = launches["driver"]
    script = gzip.decompress(driver.user_data).decode()
    # As from a pio-tf.hcl that names a mirror with something else, and the checksum of that.
    wrong = script.replace(spark.sha512, wrong_spark.sha512).replace(
        f"{mirror.url}/{spark.path}", f"{mirror.url}/wrong/{spark.path}"
    )
    machines = {}
    for number, (fault, address) in enumerate(ADDRESSES.items()):
        launch = replace(driver, name=fault, instance_id=f"i-{number:017x}", address=IPv4Address(address))
        if fault == "wrong":
            launch = replace(launch, user_data=gzip.compress(wrong.encode()))
        machines[fault] = world.launch(launch, world.driver_hardware(), root_mib=FULL_MIB if fault == "full" else None)
        machines[fault].power_on()
    for machine in machines.values():
        machine.wait_for_cloud_init(timeout=PATIENCE)
    yield machines
    for machine in machines.values():
        world.terminate(machine)


EXPECTED = {
    "corrupt": ("downloads", "does not have the SHA-512"),
    "unreachable": ("downloads", "Empty reply from server"),
    "full": ("downloads", "the disk is full"),
    "wrong": ("spark", f'what was fetched is "Spark 2.3.0 built for Hadoop 2.7.3", not Spark {VERSIONS["spark"]}'),
}


@pytest.mark.parametrize("fault", ADDRESSES)
def test_a_failed_step_is_said_with_its_reason(failed: dict[str, Machine], fault: str) -> None:
    machine = failed[fault]
    step, reason = EXPECTED[fault]
    told: dict[str, Any] = json.loads(machine.run("cat /var/lib/pio-tf/failed.json || cat /run/pio-tf/failed.json"))
    assert told["step"] == step
    assert reason in told["reason"]
    assert f"pio-tf: step {step} failed: {told['reason']}" in machine.console()
    assert machine.try_to_run("cat /var/lib/pio-tf/ready.json")[0] != 0


@pytest.mark.parametrize("fault", ADDRESSES)
def test_a_failed_step_is_a_failed_cloud_init(failed: dict[str, Machine], fault: str) -> None:
    assert failed[fault].wait_for_cloud_init() == "error"


@pytest.mark.parametrize("fault", ["corrupt", "unreachable", "full"])
def test_nothing_wrong_is_left_in_its_place(failed: dict[str, Machine], fault: str) -> None:
    assert failed[fault].try_to_run("ls /usr/local/spark /opt/spark")[0] != 0


def test_a_corrupt_download_is_fetched_again_by_the_next_run(
    failed: dict[str, Machine], mirror: Mirror, archives: dict[str, Archive]
) -> None:
    mirror.corrupt.clear()
    repair(failed["corrupt"])


def test_a_download_that_breaks_off_goes_on_where_it_was(
    failed: dict[str, Machine], mirror: Mirror, archives: dict[str, Archive]
) -> None:
    machine, path = failed["unreachable"], archives["spark"].path
    mirror.down.clear()
    mirror.cut[machine.address, path] = 20 << 20
    repair(machine)
    firsts = [first for address, asked, first in mirror.requests if (address, asked) == (machine.address, path)]
    assert firsts[-1] == 20 << 20


def test_a_machine_whose_disk_has_grown_goes_on_at_its_next_start(failed: dict[str, Machine]) -> None:
    machine = failed["full"]
    machine.power_off()
    machine.grow_disk(1024)
    machine.power_on()
    machine.wait_for_login()
    machine.wait_for("readiness", lambda: is_ready(machine), timeout=PATIENCE)


def test_the_right_script_repairs_what_a_wrong_one_has_begun(
    failed: dict[str, Machine], launches: dict[str, Launch]
) -> None:
    """Run the script as `pio-tf provision` does, after a correction in pio-tf.hcl."""
    repair(failed["wrong"], script=gzip.decompress(launches["driver"].user_data).decode())


def repair(machine: Machine, *, script: str | None = None) -> None:
    """Run the machine's own script again, or another one."""
    if script is None:
        machine.sudo("/usr/local/sbin/pio-tf-bootstrap run", timeout=PATIENCE)
    else:
        machine.write("script", script)
        machine.sudo("bash ~ubuntu/script run", timeout=PATIENCE)
    assert is_ready(machine)


def is_ready(machine: Machine) -> bool:
    """Tell if the machine says that it is ready, and is."""
    status, text = machine.try_to_run("cat /var/lib/pio-tf/ready.json && test ! -e /var/lib/pio-tf/failed.json")
    if status != 0:
        return False
    assert machine.run("readlink /usr/local/spark").strip() == f"/opt/spark/{VERSIONS['spark']}"
    versions: dict[str, str] = json.loads(text)["versions"]
    return versions.items() >= VERSIONS.items()
