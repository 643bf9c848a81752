"""The bootstrap script on a machine, at its first boot and later, and its errors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pio_tf.config.components import Component
from pio_tf.machines.console import parse_host_keys
from pio_tf.training.boot_watch import READ, BootReport
from tests.infra.first_boot import UNSHARE, Machine, Mirror, archive, serve
from tests.mirror.archive_server import Archives, serve_archives

if TYPE_CHECKING:
    from collections.abc import Iterator

LOSETUP = shutil.which("losetup") or "/sbin/losetup"

pytestmark = pytest.mark.skipif(
    subprocess.run([*UNSHARE, "/bin/true"], capture_output=True, check=False).returncode != 0,
    reason="needs mount namespaces: Linux, as root or with user namespaces",
)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with serve(tmp_path / "www") as url:
        yield Mirror(tmp_path / "www", url)


@pytest.fixture
def machine(tmp_path: Path, mirror: Mirror) -> Machine:
    return Machine(tmp_path, mirror)


def test_a_worker_gets_spark_and_a_unit_that_comes_back(machine: Machine) -> None:
    said = machine.boot("worker", then="cat /etc/systemd/system/pio-tf-spark.service; readlink /usr/local/spark")
    assert "User=aml" in said
    assert "Restart=on-failure" in said
    assert said.endswith("/opt/spark/2.4.8\n")
    assert "enable pio-tf-spark.service" in machine.systemctl


def test_spark_waits_for_its_secret_and_runs_with_its_settings(machine: Machine, mirror: Mirror) -> None:
    script = "/usr/local/sbin/pio-tf-bootstrap"
    program = '#!/bin/sh\necho "$*"\necho "options: $SPARK_LAUNCHER_OPTS; $SPARK_DAEMON_JAVA_OPTS"\n'
    spark = mirror.component("spark", "2.4.8", files={"bin/spark-class": program, "RELEASE": "Spark 2.4.8 x\n"})
    said = machine.boot(
        "master",
        components=(spark,),
        then=f"timeout 2 {script} spark || echo waited $?\n"
        f"printf s3cr3t | {script} authenticate put\n{script} authenticate\n"
        "stat -c '%U %a' /etc/pio-tf/spark-secret /var/lib/pio-tf/spark/spark.conf\n"
        f"cat /var/lib/pio-tf/spark/spark.conf\n{script} spark\n"
        f"echo spark.shuffle.service.enabled=true >>/var/lib/pio-tf/spark/spark.conf\n{script} spark | tail -n 1\n"
        f"{script} authenticate put </dev/null\ncat /var/lib/pio-tf/spark/spark.conf",
    ).splitlines()
    checksum = f"pio-tf secret: {hashlib.sha256(b's3cr3t').hexdigest()}"
    assert said[:5] == ["waited 124", checksum, checksum, "root 600", "aml 600"]
    quick = "-XX:TieredStopAtLevel=1"
    assert [line for line in said if "options" in line] == [f"options: {quick}; {quick}", f"options: {quick}; "]
    assert {*said} >= {
        "spark.master.rest.enabled false",
        "spark.authenticate true",
        "spark.authenticate.secret s3cr3t",
        "spark.network.crypto.enabled true",
        "spark.authenticate.enableSaslEncryption true",
    }
    (command,) = (line for line in said if "deploy.master.Master" in line)
    assert "--properties-file /var/lib/pio-tf/spark/spark.conf" in command
    assert "s3cr3t" not in command
    without = said[said.index(f"pio-tf secret: {hashlib.sha256(b'').hexdigest()}") :]
    assert without[1:] == ["", "spark.master.rest.enabled false"]


def test_the_driver_gets_the_clients_and_predictionio_and_no_service(machine: Machine, mirror: Mirror) -> None:
    wanted = [mirror.component(*one) for one in (("spark", "2.4.8"), ("hadoop", "2.7.7"), ("hbase", "1.2.6"))]
    search = Component("elasticsearch", "5.6.9", "/usr/local/elasticsearch", path="", sha512="-", urls=())
    said = machine.boot(
        "driver",
        components=(*wanted, search, mirror.component("pio", "0.14.0")),
        then="readlink /usr/local/{spark,hadoop,hbase,elasticsearch,pio}; ls /etc/systemd/system; "
        "cat /usr/local/elasticsearch/config/*; cat /var/lib/pio-tf/ready.json",
    )
    for target in ("spark/2.4.8", "hadoop/2.7.7", "hbase/1.2.6", "elasticsearch/5.6.9", "pio/0.14.0"):
        assert f"/opt/{target}\n" in said
    assert "pio-tf-spark" not in said
    assert 'cluster.name: "searches"' in said
    ready = json.loads(said.splitlines()[-1])
    assert ready["role"] == "driver"
    assert ready["versions"]["pio"] == "0.14.0"
    assert ready["versions"]["java"] == "1.8.0_402"


def test_the_ssh_user_may_write_the_configuration_of_clients(machine: Machine, mirror: Mirror) -> None:
    said = machine.boot(
        "driver",
        before="useradd --create-home ubuntu\n",
        components=tuple(
            mirror.component(*one) for one in (("spark", "2.4.8"), ("hadoop", "2.7.7"), ("pio", "0.14.0"))
        ),
        ssh_user="ubuntu",
        then="stat -c %U /usr/local/spark/conf /usr/local/hadoop/etc/hadoop /usr/local/pio/conf /usr/local/spark/bin",
    )
    assert said.split() == ["ubuntu", "ubuntu", "ubuntu", "root"]


def test_the_machines_of_the_cluster_have_names(machine: Machine) -> None:
    said = machine.boot(
        "driver",
        then="printf '127.77.0.10 driver\\n127.77.0.12 spark-worker-1\\n' | /usr/local/sbin/pio-tf-bootstrap hosts; "
        "/usr/local/sbin/pio-tf-bootstrap run; cat /etc/hosts",
    )
    hosts = [line.split() for line in said.splitlines() if line.startswith("127.77")]
    assert hosts == [["127.77.0.10", "driver"], ["127.77.0.12", "spark-worker-1"], ["127.77.0.11", "spark-master"]]
    assert "localhost" in said, "what was there stays"


def test_every_step_is_a_line_in_the_log_and_on_the_console(machine: Machine) -> None:
    log = machine.boot("master", then="cat /var/log/pio-tf.log")
    steps = [line.split("step ")[1].split(":")[0] for line in log.splitlines() if " step " in line]
    assert steps[:2] == ["platform", "self"]
    assert {"user", "limits", "hosts", "downloads", "java", "spark", "scratch", "service"} <= set(steps)
    assert set(log.splitlines()) <= set(machine.console.splitlines())


def test_the_host_keys_are_on_the_console_as_cloud_init_writes_them(machine: Machine) -> None:
    key = "/etc/ssh/ssh_host_ed25519_key"
    public = machine.boot(
        "driver",
        before=f"mkdir -p /etc/ssh\nrm -f {key}*\nssh-keygen -qt ed25519 -N '' -f {key}\n",
        then=f"cat {key}.pub",
    )
    assert parse_host_keys(machine.console) == (" ".join(public.split()[:2]),)


def test_an_archive_that_is_not_the_expected_one_is_not_installed(machine: Machine, mirror: Mirror) -> None:
    spark = replace(mirror.component("spark", "2.4.8"), sha512="0" * 128)
    failed = json.loads(machine.fail("driver", components=(spark,)))
    assert failed["step"] == "downloads"
    assert f"{spark.urls[0]}: does not have the SHA-512 0000" in failed["reason"]
    assert "step downloads failed: spark-2.4.8: " in machine.console


def test_one_mirror_that_is_down_and_one_with_a_wrong_file_do_no_harm(machine: Machine, mirror: Mirror) -> None:
    spark = mirror.component("spark", "2.4.8")
    (mirror.directory / "wrong.tgz").write_text("an error page")
    urls = ("http://127.0.0.1:9/spark.tgz", f"{mirror.url}/wrong.tgz", f"{mirror.url}/missing.tgz", *spark.urls)
    assert machine.boot("driver", components=(replace(spark, urls=urls),), then="cat /usr/local/spark/bin/*")


def test_every_mirror_that_is_down_is_named_with_its_reason(machine: Machine, mirror: Mirror) -> None:
    spark = mirror.component("spark", "2.4.8")
    urls = ("http://127.0.0.1:9/spark.tgz", f"{mirror.url}/missing.tgz")
    reason = json.loads(machine.fail("driver", components=(replace(spark, urls=urls),)))["reason"]
    assert "http://127.0.0.1:9/spark.tgz: curl: (7)" in reason
    assert "missing.tgz: curl: (22)" in reason
    assert "404" in reason


@pytest.mark.parametrize("broken", [False, True], ids=["the right half", "a wrong half"])
def test_a_download_goes_on_where_it_ended(machine: Machine, mirror: Mirror, broken: bool) -> None:
    spark = mirror.component("spark", "2.4.8")
    half = (mirror.directory / spark.path).read_bytes()[:100]
    part = machine.directory / "half"
    part.write_bytes(b"\0" * 100 if broken else half)
    then = "cat /usr/local/spark/bin/spark-class"
    before = f"mkdir -p /var/lib/pio-tf/downloads\ncp {part} /var/lib/pio-tf/downloads/spark-2.4.8.part\n"
    assert "spark 2.4.8" in machine.boot("driver", components=(spark,), before=before, then=then)


@pytest.fixture
def archives() -> Iterator[Archives]:
    with serve_archives() as served:
        yield served


def slow_spark(archives: Archives, *, kib: int) -> Component:
    """Put a Spark of some KiB, which gzip can't make smaller, on a server that may be slow; return its component."""
    path, noise = "/spark.tgz", os.urandom(kib * 768)
    content = archive("spark", "2.4.8", files={"bin/spark-class": "#!/bin/bash\n", "noise": b64encode(noise).decode()})
    archives.files[path] = content
    return Component(
        name="spark",
        version="2.4.8",
        home="/usr/local/spark",
        path=path,
        sha512=hashlib.sha512(content).hexdigest(),
        urls=(archives.url + path,),
    )


def starts(archives: Archives) -> list[int]:
    """Return where each answer began, in bytes."""
    return [int(wanted.removeprefix("bytes=").rstrip("-") or 0) for _, wanted in archives.asked]


def test_a_server_that_drops_every_connection_is_asked_until_all_is_there(machine: Machine, archives: Archives) -> None:
    spark = slow_spark(archives, kib=400)
    archives.drops[spark.path] = 32 * 1024
    machine.boot("worker", components=(spark,))
    begun = starts(archives)
    assert begun == sorted(set(begun)), "each answer goes on where the one before has ended"
    assert len(begun) > 8, "more answers than rounds in vain"


def test_a_server_that_stalls_is_asked_for_the_rest_only(machine: Machine, archives: Archives) -> None:
    spark = slow_spark(archives, kib=64)
    archives.stalls[spark.path] = 2
    machine.boot("worker", components=(spark,), before="export PIO_TF_STALL_SECONDS=1\n")
    first, second, third = starts(archives)
    assert first == 0 < second < third


def test_a_server_that_brings_nothing_new_is_given_up(machine: Machine, archives: Archives) -> None:
    spark = slow_spark(archives, kib=64)
    archives.drops[spark.path] = 0
    reason = json.loads(machine.fail("worker", components=(spark,)))["reason"]
    assert "curl: (18)" in reason
    assert len(archives.asked) == 5


def test_a_whole_file_that_is_wrong_is_fetched_again(machine: Machine, archives: Archives) -> None:
    spark = slow_spark(archives, kib=4)
    wrong = machine.directory / "wrong"
    wrong.write_bytes(bytes(len(archives.files[spark.path])))
    before = f"mkdir -p /var/lib/pio-tf/downloads\ncp {wrong} /var/lib/pio-tf/downloads/spark-2.4.8.part\n"
    machine.boot("worker", components=(spark,), before=before)


def test_an_archive_may_have_a_sha_256(machine: Machine, archives: Archives) -> None:
    spark = slow_spark(archives, kib=4)
    right = hashlib.sha256(archives.files[spark.path]).hexdigest()
    machine.boot("worker", components=(replace(spark, sha512=right),))
    reason = json.loads(machine.fail("worker", components=(replace(spark, sha512="0" * 64),)))["reason"]
    assert "does not have the SHA-256 0000" in reason


def test_a_client_sees_step_and_bytes_of_a_download(machine: Machine, archives: Archives) -> None:
    spark = slow_spark(archives, kib=200)
    archives.trickles[spark.path] = 16 * 1024
    size, looks = len(archives.files[spark.path]), machine.directory / "looks"
    (machine.directory / "look").write_text(READ.format(state="/var/lib/pio-tf", work="/run/pio-tf"))
    watching = f"(while :; do bash {machine.directory}/look; echo ===; /bin/sleep 0.1; done >>{looks}) 2>/dev/null &\n"
    machine.boot("worker", components=(spark,), before=watching, then="/bin/sleep 0.5")
    seen = [BootReport.parse(look) for look in looks.read_text().split("===\n")[:-1]]
    parts = [one for report in seen if report.step == "downloads" for one in report.downloads]
    assert len({one.received for one in parts}) > 2
    assert all((one.name, one.size, one.address) == ("spark-2.4.8", size, spark.urls[0]) for one in parts if one.size)
    assert [one.received for one in parts] == sorted(one.received for one in parts)
    assert any(report.unfinished for report in seen)
    assert (seen[-1].step, seen[-1].unfinished, seen[-1].downloads) == ("", False, ())


def test_a_missing_checksum_is_reported_and_nothing_is_installed(machine: Machine, mirror: Mirror) -> None:
    spark = replace(mirror.component("spark", "2.4.8"), sha512="https://127.0.0.1:9/spark.tgz.sha512")
    reason = json.loads(machine.fail("driver", components=(spark,)))["reason"]
    assert "no SHA-512 is known for it, and Apache's cannot be had" in reason


def test_another_spark_than_the_version_says_is_not_installed(machine: Machine, mirror: Mirror) -> None:
    files = {"bin/spark-class": "", "RELEASE": "Spark 3.5.1 built for Hadoop 3\n"}
    failed = json.loads(machine.fail("worker", components=(mirror.component("spark", "2.4.8", files=files),)))
    assert failed["step"] == "spark"
    assert 'is "Spark 3.5.1 built for Hadoop 3", not Spark 2.4.8' in failed["reason"]


def test_something_else_than_the_component_is_not_installed(machine: Machine, mirror: Mirror) -> None:
    spark = mirror.component("spark", "2.4.8", files={"README": "hello"})
    assert "holds no spark (no bin/spark-class)" in machine.fail("worker", components=(spark,))


@pytest.mark.parametrize(
    ("release", "named"),
    [("ID=fedora\nVERSION_ID=40\n", "fedora 40"), ('ID=ubuntu\nVERSION_ID="16.04"\n', "ubuntu 16.04")],
)
def test_another_system_is_refused(machine: Machine, release: str, named: str) -> None:
    failed = json.loads(machine.fail("driver", before=f"rm /etc/os-release\nprintf '{release}' > /etc/os-release\n"))
    assert failed["step"] == "platform"
    assert failed["reason"].startswith(f"this is {named} on x86_64; it must be Ubuntu 18.04 to 24.04")


def test_a_user_who_cannot_be_logged_in_as_is_named(machine: Machine) -> None:
    assert "no user admin, whom pio-tf logs in as: set ssh.user" in machine.fail("driver", ssh_user="admin")


def test_without_java_and_without_a_package_it_is_said_what_to_give(machine: Machine) -> None:
    hide = "rm /usr/local/bin/java\nif [ -e /usr/bin/java ]; then mount --bind /dev/null /usr/bin/java; fi\n"
    failed = json.loads(machine.fail("worker", before=hide))
    assert failed["step"] == "java"
    assert "has no package openjdk-8-jre-headless" in failed["reason"]
    assert "add `java {}` to the software block" in failed["reason"]


def test_java_can_come_as_a_tarball_and_goes_before_the_images(machine: Machine, mirror: Mirror) -> None:
    files = {"bin/java": "#!/bin/bash\necho 'openjdk version \"1.8.0_999\"' >&2\n"}
    java = mirror.component("java", "8u999", files=files)
    said = machine.boot(
        "worker",
        components=(java, mirror.component("spark", "2.4.8")),
        before="rm /usr/local/bin/java\n",
        then="java -version 2>&1; cat /etc/profile.d/pio-tf.sh",
    )
    assert "1.8.0_999" in said
    assert 'JAVA_HOME="/usr/local/java"' in said


def test_what_an_image_brings_is_left_alone(machine: Machine) -> None:
    said = machine.boot(
        "driver",
        before="mkdir -p /usr/local/spark/bin\necho own > /usr/local/spark/bin/spark-class\n"
        "chmod +x /usr/local/spark/bin/spark-class\n",
        then="cat /usr/local/spark/bin/spark-class; ls /opt",
    )
    assert said == "own\n"


def test_what_is_in_the_way_is_named(machine: Machine) -> None:
    failed = machine.fail("driver", before="mkdir -p /usr/local/spark/precious\n")
    assert "/usr/local/spark exists, but holds no spark (no bin/spark-class)" in failed


def test_a_new_version_is_put_beside_the_old_and_can_be_taken_back(machine: Machine, mirror: Mirror) -> None:
    newer = machine.script(machine.settings("worker", components=(mirror.component("spark", "2.4.9"),)), "newer")
    link = "cat /usr/local/spark/bin/spark-class | tail -n 1"
    said = machine.boot(
        "worker", then=f"{newer} >&2; {link}; pio-tf-bootstrap rollback spark >&2; {link}; ls /opt/spark"
    )
    assert said.splitlines() == ["echo spark 2.4.9", "echo spark 2.4.8", "2.4.8", "2.4.9"]


def test_there_is_no_way_back_from_the_first_version(machine: Machine) -> None:
    script = machine.script(machine.settings("worker"))
    done = machine.run(f"{script} >&2\npio-tf-bootstrap rollback spark")
    assert done.returncode == 1
    assert "there is no version of spark before this one" in done.stdout


def test_an_archive_that_has_changed_under_its_version_is_installed_again(machine: Machine, mirror: Mirror) -> None:
    first = machine.settings(
        "driver", components=(mirror.component("spark", "2.4.8"), mirror.component("pio", "0.14.0"))
    )
    script = machine.script(first)
    rebuilt = mirror.component("pio", "0.14.0", files={"bin/pio": "rebuilt"}, at="rebuilt.tgz")
    other = machine.script(replace(first, components=(first.components[0], rebuilt)), "other")
    done = machine.run(f"{script} >&2; {other} >&2; cat /usr/local/pio/bin/pio")
    assert done.stdout == "rebuilt", done.stderr


def test_a_machine_that_is_as_wanted_is_not_touched(machine: Machine, mirror: Mirror) -> None:
    said = machine.boot(
        "worker",
        then="touch /etc/spark-is-active; rm -r $PIO_TF_CONSOLE; pio-tf-bootstrap run; cat /var/log/pio-tf.log",
    )
    last = said.rpartition("preparing this machine")[2]
    assert "step downloads: 0 downloaded" in last
    assert "step service: pio-tf-spark runs, unchanged" in last
    assert machine.systemctl.count("restart --no-block pio-tf-spark.service") == 2, "the two boots before it was active"


def test_a_failure_is_forgotten_once_it_is_repaired(machine: Machine, mirror: Mirror) -> None:
    spark = mirror.component("spark", "2.4.8")
    bad = machine.script(machine.settings("worker", components=(replace(spark, sha512="0" * 128),)), "bad")
    good = machine.script(machine.settings("worker", components=(spark,)), "good")
    done = machine.run(f"{bad} || true; test -e /var/lib/pio-tf/failed.json; {good}; ls /var/lib/pio-tf")
    assert done.returncode == 0, done.stderr
    assert "failed.json" not in done.stdout
    assert "ready.json" in done.stdout


@pytest.mark.parametrize("unit", ["hbase-regionserver.service", "elasticsearch.service", "spark-worker.service"])
def test_a_driver_that_would_start_a_service_is_refused(machine: Machine, unit: str) -> None:
    failed = json.loads(machine.fail("driver", before=f"echo '{unit} enabled' > /etc/enabled-units\n"))
    assert failed["step"] == "no-service"
    assert unit in failed["reason"]


def test_a_driver_that_runs_a_server_is_refused(machine: Machine) -> None:
    server = "(exec -a org.apache.hadoop.hdfs.server.namenode.NameNode /bin/sleep 60) &\n"
    assert json.loads(machine.fail("driver", before=server))["step"] == "no-service"


def test_a_boot_is_never_failed(machine: Machine) -> None:
    said = machine.boot(
        "worker",
        then="echo /dev/not-there > /etc/pio-tf/instance-store; pio-tf-bootstrap boot; "
        "rm -rf /etc/hosts; mkdir -p /etc/hosts/in-the-way; pio-tf-bootstrap boot; echo $?; "
        "ls -d /var/lib/pio-tf/scratch/*",
    )
    assert "boot: no instance store: /var/lib/pio-tf/scratch is on the root disk" in said
    assert "at boot, write_hosts failed" in said
    assert said.splitlines()[-3:] == ["0", "/var/lib/pio-tf/scratch/local", "/var/lib/pio-tf/scratch/work"]


def test_a_scratch_volume_that_is_not_attached_fails_the_first_boot_and_no_later_one(machine: Machine) -> None:
    patience = "export PIO_TF_VOLUME_PATIENCE=0; ! ls /dev/xvd[f-p] 2>/dev/null\n"
    failed = json.loads(machine.fail("worker", before=patience, scratch_volume=True))
    assert failed["step"] == "scratch"
    assert failed["reason"].startswith("no scratch volume is attached: `pio-tf apply` attaches it")
    script = machine.script(machine.settings("worker", scratch_volume=True), "with-volume")
    at_once = f"sed -i 's/VOLUME_PATIENCE=30/VOLUME_PATIENCE=0/' {script}"
    said = machine.boot("worker", then=f"{at_once}; {script} boot; ls /var/lib/pio-tf/scratch")
    assert "at boot, mount_scratch failed: no scratch volume is attached" in said
    assert said.splitlines()[-2:] == ["local", "work"]


@contextlib.contextmanager
def loop(file: Path) -> Iterator[str]:
    """Make a blank disk of 64 MiB in a file."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a block device of a file")
    with file.open("wb") as blocks:
        blocks.truncate(64 << 20)
    made = subprocess.run([LOSETUP, "--find", "--show", file], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip("this computer has no loop devices")
    device = made.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run([LOSETUP, "--detach", device], check=True)


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[str]:
    """Make a blank disk, which a machine has as its only volume."""
    with loop(tmp_path / "volume") as device:
        yield device


def test_a_scratch_volume_is_formatted_once_and_keeps_its_files(machine: Machine, loop_device: str) -> None:
    said = machine.boot(
        "driver",
        before=f"echo {loop_device} >/etc/pio-tf/scratch-volume\n",
        scratch_volume=True,
        then="touch /var/lib/pio-tf/scratch/local/from-before; umount /var/lib/pio-tf/scratch; pio-tf-bootstrap boot; "
        "findmnt -no SOURCE /var/lib/pio-tf/scratch; ls /var/lib/pio-tf/scratch/local",
    )
    assert f"boot: /var/lib/pio-tf/scratch is on the volume {loop_device} (64MB)" in said
    assert said.splitlines()[-2:] == [loop_device, "from-before"]


def test_a_machine_that_gets_a_scratch_volume_later_moves_from_its_instance_store(
    machine: Machine, loop_device: str, tmp_path: Path
) -> None:
    script = machine.script(machine.settings("worker", scratch_volume=True), "with-volume")
    with loop(tmp_path / "store") as store:
        said = machine.boot(
            "worker",
            before=f"echo {loop_device} >/etc/pio-tf/scratch-volume; echo {store} >/etc/pio-tf/instance-store\n",
            then=f"cd /var/lib/pio-tf; findmnt -no SOURCE scratch; {script} >&2; findmnt -no SOURCE scratch",
        )
    assert said.split() == [store, loop_device]


def may_resize() -> bool:
    """Tell whether this process may grow a mounted file system: it has CAP_SYS_RESOURCE (24)."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> 24 & 1)


@pytest.mark.skipif(not may_resize(), reason="this process may not grow a mounted file system")
def test_a_volume_that_has_grown_is_used_whole(machine: Machine, loop_device: str, tmp_path: Path) -> None:
    said = machine.boot(
        "driver",
        before=f"echo {loop_device} >/etc/pio-tf/scratch-volume\n",
        scratch_volume=True,
        then=f"truncate -s 128M {tmp_path / 'volume'}; losetup -c {loop_device}; pio-tf-bootstrap boot >&2; "
        "df -m --output=size /var/lib/pio-tf/scratch | tail -n 1",
    )
    assert int(said) > 100


def test_the_host_is_left_as_it_was(machine: Machine) -> None:
    machine.boot("worker")
    assert not Path("/etc/systemd/system/pio-tf-spark.service").exists()
    assert not Path("/usr/local/sbin/pio-tf-bootstrap").exists()


def test_a_script_of_the_user_runs_as_the_last_step_and_again_with_every_run(machine: Machine) -> None:
    script = (
        '#!/bin/bash\necho "$PIO_TF_ROLE: it\'s \\$5" >>/etc/extra\ntest -e /etc/systemd/system/pio-tf-spark.service'
    )
    said = machine.boot("worker", then="cat /etc/extra; tail -n 2 /var/log/pio-tf.log", extra_bootstrap=script)
    assert said.splitlines()[:2] == ["worker: it's $5"] * 2
    assert "pio-tf: step extra-bootstrap: done" in said.splitlines()[2]
    assert "this machine is ready as worker" in said.splitlines()[3]


def test_a_script_of_the_user_that_fails_is_told_as_every_step(machine: Machine) -> None:
    failed = machine.fail("worker", extra_bootstrap="#!/bin/bash\necho 'no agent here'\nexit 3")
    assert json.loads(failed)["step"] == "extra-bootstrap"
    assert json.loads(failed)["reason"] == "it ended with exit status 3: no agent here"


def test_downloads_go_through_the_proxy_and_neither_the_cluster_nor_the_metadata_do(
    machine: Machine, tmp_path: Path
) -> None:
    with serve(tmp_path / "proxy") as proxy:
        component = Component(
            "spark", "2.4.8", "/usr/local/spark", "spark.tgz", "0" * 128, ("http://nowhere.invalid/x",)
        )
        failed = machine.fail("worker", components=(component,), http_proxy=proxy)
        assert "404" in failed  # the proxy's answer
        said = machine.boot(
            "worker",
            http_proxy="http://127.0.0.1:9",
            https_proxy="http://127.0.0.1:9",
            no_proxy=(".example.internal",),
            extra_bootstrap='#!/bin/bash\necho "$http_proxy $https_proxy $no_proxy" >/etc/extra',
            then="cat /etc/extra",
        )
    assert said == (
        "http://127.0.0.1:9 http://127.0.0.1:9 localhost,127.0.0.1,169.254.169.254,127.77.0.10,driver,127.77.0.11,"
        "spark-master,.example.internal\n"
    )
