"""Machines after their first boot."""

from __future__ import annotations

import json
import re
import resource
from functools import partial
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.machines.console import host_keys_from_console
from pio_tf.remote.host_keys import ConsoleTrust
from tests.real_machines.cluster import SECRET
from tests.real_machines.conftest import KEPT, R3_MIB
from tests.real_machines.software import SHORT_LIVED, VERSIONS
from tests.support.shell import ec2

if TYPE_CHECKING:
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.conftest import Disks
    from tests.real_machines.mirror import Mirror
    from tests.support.site import Site


NAMES = ("driver", "master", "worker-1", "worker-2")
SYSTEM = {"dbus", "ssh", "systemd-journald", "systemd-logind"}
"""Services of the image itself, which every machine runs."""
JOB = """
import socket, time
from pyspark import SparkContext
sc = SparkContext(appName="where")
def host(_):
    time.sleep(0.5)
    return socket.gethostname()
print("HOSTS", *sorted(set(sc.parallelize(range(16), 16).map(host).collect())))
"""


@pytest.mark.parametrize("name", NAMES)
def test_cloud_init_ends_well(cluster: Cluster, name: str) -> None:
    assert cluster[name].wait_for_cloud_init() == "done"
    assert cluster[name].run("systemctl is-system-running --wait").strip() == "running"


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_says_what_it_has_become(cluster: Cluster, name: str) -> None:
    ready = json.loads(cluster[name].run("cat /var/lib/pio-tf/ready.json"))
    everywhere = {"spark": VERSIONS["spark"]}
    more = {part: VERSIONS[part] for part in ("hadoop", "hbase", "elasticsearch", "pio")} if name == "driver" else {}
    assert ready["role"] == name.partition("-")[0]
    java = ready["versions"].pop("java")
    assert java.startswith("17.")
    assert ready["versions"] == everywhere | more
    assert ready["boot_id"] == cluster[name].run("cat /proc/sys/kernel/random/boot_id").strip()


@pytest.mark.parametrize("name", NAMES)
def test_every_step_has_one_line_in_the_log_and_on_the_console(cluster: Cluster, name: str) -> None:
    log = cluster[name].run("cat /var/log/pio-tf.log")
    steps = re.findall(r"^(\S+Z pio-tf: step (\S+): .* \(\d+ s\))$", log, re.MULTILINE)
    assert len(steps) == len({step for _, step in steps}) > 8, log
    assert log.splitlines()[-1].endswith(f"this machine is ready as {name.partition('-')[0]}")
    for line, _ in steps:
        assert line in cluster[name].console()


async def test_the_keys_on_the_console_are_those_that_machines_are_trusted_by(cluster: Cluster, site: Site) -> None:
    ids = {name: machine.launch.instance_id for name, machine in cluster.machines.items()}
    trust = ConsoleTrust(partial(host_keys_from_console, ec2(site.url)), first_use=False)
    seen = set()
    for name, instance_id in ids.items():
        key = await asyncssh.get_server_host_key(cluster[name].address)
        assert key is not None
        decided = await trust.read_console(instance_id)
        assert (decided.learned, decided.keys) == ("console", (key,))
        assert key.get_fingerprint() in cluster[name].console()
        seen.add(key.get_fingerprint())
    assert len(seen) == len(NAMES)


def test_keys_are_on_the_console_before_anything_is_fetched(cluster: Cluster) -> None:
    """A first boot may take minutes, and a user wants to log in and look meanwhile."""
    for machine in cluster.machines.values():
        console = machine.console()
        assert console.index("END SSH HOST KEY KEYS") < console.index("pio-tf: step downloads:")


def test_software_is_beside_other_versions_with_a_link_to_the_one_in_use(cluster: Cluster) -> None:
    for name, home in {"spark": "spark", "hadoop": "hadoop", "hbase": "hbase", "pio": "pio"}.items():
        assert cluster["driver"].run(f"readlink /usr/local/{home}").strip() == f"/opt/{name}/{VERSIONS[name]}"
    config = cluster["driver"].run("cat /usr/local/elasticsearch/config/elasticsearch.yml")
    assert "cluster.name: " in config
    for worker in cluster.workers:
        assert worker.run("ls /opt").split() == ["spark"]


def test_a_mirror_that_is_down_is_left_for_the_next(cluster: Cluster, mirror: Mirror) -> None:
    """The first one in pio-tf.hcl is."""
    fetched = {address for address, path, _ in mirror.requests if "spark" in path}
    assert {machine.address for machine in cluster.machines.values()} <= fetched


def test_every_machine_knows_the_names_of_all(cluster: Cluster) -> None:
    names = {"driver": "driver", "spark-master": "master", "spark-worker-1": "worker-1", "spark-worker-2": "worker-2"}
    for machine in cluster.machines.values():
        for name, meant in names.items():
            assert machine.run(f"getent hosts {name}").split()[0] == cluster[meant].address


def test_spark_runs_as_the_service_user_with_all_memory_but_one_gib(cluster: Cluster) -> None:
    assert cluster.alive() == {worker.address for worker in cluster.workers}
    for machine in (cluster["master"], *cluster.workers):
        assert machine.run("systemctl show --value -p User pio-tf-spark").strip() == "aml"
        assert machine.run("ps -o user= -C java").split() == ["aml"]
    memory = {worker["host"]: worker["memory"] for worker in cluster.master_status()["workers"]}
    assert memory[cluster["worker-1"].address] == R3_MIB - 1024


def test_spark_asks_for_its_secret_which_only_root_and_its_user_read(cluster: Cluster) -> None:
    for machine in (cluster["master"], *cluster.workers):
        files = machine.sudo(
            "stat -c '%U %a %n' /etc/pio-tf/spark-secret /var/lib/pio-tf/spark/spark.conf"
        ).splitlines()
        assert files == ["root 600 /etc/pio-tf/spark-secret", "aml 600 /var/lib/pio-tf/spark/spark.conf"]
        assert SECRET not in machine.sudo("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /var/log/pio-tf.log")
    listening = cluster["master"].sudo("ss -Hltn")
    assert ":7077" in listening
    assert ":6066" not in listening, "Spark's REST server takes submissions without the secret"


def test_a_job_from_the_driver_runs_on_both_workers(cluster: Cluster) -> None:
    driver, master = cluster["driver"], cluster["master"]
    driver.write("job.py", JOB)
    said = driver.run(
        f"/usr/local/spark/bin/spark-submit --master spark://{master.address}:7077 --driver-memory 512m "
        f"--executor-memory 512m --conf spark.driver.host={driver.address} "
        f"--conf spark.authenticate=true --conf spark.authenticate.secret={SECRET} "
        "--conf spark.network.crypto.enabled=true "
        f"--conf 'spark.executor.extraJavaOptions={SHORT_LIVED}' --driver-java-options '{SHORT_LIVED}' job.py",
        timeout=180,
    )
    hosts = next(line for line in said.splitlines() if line.startswith("HOSTS")).split()[1:]
    assert hosts == sorted(f"ip-{worker.address.replace('.', '-')}" for worker in cluster.workers)


def test_the_driver_runs_no_service_but_the_systems_own(cluster: Cluster) -> None:
    running = cluster["driver"].run("systemctl list-units --type=service --state=running --no-legend --plain")
    assert {line.split()[0].removesuffix(".service") for line in running.splitlines()} == SYSTEM
    listening = cluster["driver"].sudo("ss -Hltnp").splitlines()
    assert [line for line in listening if '"sshd"' not in line] == []


def test_instance_store_is_found_as_xen_and_as_nvme_have_it(cluster: Cluster, disks: Disks) -> None:
    for name, device in {"worker-1": "/dev/xvdb", "worker-2": "/dev/nvme1n1"}.items():
        worker = cluster[name]
        assert worker.run("findmnt -no SOURCE /var/lib/pio-tf/scratch").strip() == device
        assert worker.sudo("ls /var/lib/pio-tf/scratch/work /var/lib/pio-tf/scratch/local")
    assert disks.volume.read(len(KEPT)) == KEPT, "a foreign volume was taken for instance store"


def test_without_instance_store_the_same_directories_are_on_the_root_disk(cluster: Cluster) -> None:
    assert cluster["master"].run("findmnt -no TARGET -T /var/lib/pio-tf/scratch").strip() == "/"
    assert cluster["master"].run("ls /var/lib/pio-tf/scratch").split() == ["local", "work"]


def test_the_volume_for_scratch_files_is_found_formatted_and_mounted(cluster: Cluster) -> None:
    assert cluster["driver"].run("findmnt -no SOURCE,FSTYPE /var/lib/pio-tf/scratch").split() == [
        "/dev/nvme1n1",
        "ext4",
    ]
    assert "scratch is on the volume /dev/nvme1n1" in cluster["driver"].run("cat /var/log/pio-tf.log")


def test_limits_are_those_of_spark(cluster: Cluster) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # as many as a container may have
    for worker in cluster.workers:
        unit = worker.run("systemctl show -p LimitNOFILE -p LimitNPROC -p MainPID pio-tf-spark").splitlines()
        shown = dict(line.split("=") for line in unit)
        assert (shown["LimitNOFILE"], shown["LimitNPROC"]) == ("65536", "32768")
        limits = worker.sudo(f"cat /proc/{shown['MainPID']}/limits")
        (files,) = re.findall(r"Max open files +\d+ +(\d+)", limits)
        assert int(files) in (65536, most)
        assert re.search(r"Max processes +32768 +32768", limits), limits
