"""Checks of the driver itself: the engine, its build, disks, clock, versions, and PredictionIO."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.training.preflight import Limits
from tests.training.preflight_world import ENGINE, JAVA_8, World, world

if TYPE_CHECKING:
    from pio_tf.training.preflight import CheckResult

__all__ = ["world"]

SERVICES = ["elasticsearch", "hdfs", "zookeeper", "spark"]
"""Left out, where a test is about the driver."""


async def found(world: World, name: str, limits: Limits | None = None) -> CheckResult:
    return (await world.check(skip=SERVICES, limits=limits))[name]


# The engine


async def test_an_engine_directory_that_is_missing_is_named(world: World) -> None:
    world.blocks = {"pio": {"engine_dir": "~/no engine's here"}}
    result = await found(world, "engine")
    assert (result.status, result.detail) == ("failed", "~/no engine's here does not exist")
    assert "pio.engine_dir" in result.next_step


async def test_a_missing_engine_json_is_named(world: World) -> None:
    (world.home / "engine" / "engine.json").unlink()
    result = await found(world, "engine")
    assert (result.status, result.detail) == ("failed", "~/engine/engine.json does not exist")


async def test_an_engine_json_that_is_no_json_comes_with_line_and_column(world: World) -> None:
    world.file("engine/engine.json", '{\n  "id": "ü",\n  "engineFactory": "x",\n}\n')
    result = await found(world, "engine")
    assert result.status == "failed"
    assert result.detail.startswith("~/engine/engine.json:4: is not JSON")
    assert "(column 1)" in result.detail


@pytest.mark.parametrize(
    "arguments", [["-v", "ur.json"], ["--variant=ur.json"], ["--skip-sanity-check", "-v", "ur.json"]]
)
async def test_the_variant_that_pio_is_told_to_use_is_looked_at(world: World, arguments: list[str]) -> None:
    world.blocks = {"train": {"pio_arguments": arguments}}
    assert (await found(world, "engine")).detail == "~/engine/ur.json does not exist"
    world.file("engine/ur.json", json.dumps({**ENGINE, "engineFactory": "org.example.UR"}))
    assert (await found(world, "engine")).detail == "~/engine/ur.json: org.example.UR"


async def test_settings_of_engine_json_that_win_are_each_a_warning(world: World) -> None:
    conf = {"spark.executor.memory": "4g", "spark.executor.cores": "2", "spark.serializer": "Kryo"}
    world.file("engine/engine.json", json.dumps({**ENGINE, "sparkConf": conf}))
    result = await found(world, "engine")
    assert result.status == "warning"
    assert "spark.executor.memory: engine.json says '4g', pio-tf '20g'" in result.detail
    assert "spark.executor.cores" in result.detail
    assert "spark.serializer" not in result.detail


async def test_no_check_shows_a_value_of_the_environment(world: World) -> None:
    world.settings["spark.my.key"] = "t0ken-of-ci"
    world.environment_secrets = ("t0ken-of-ci",)
    world.file("engine/engine.json", json.dumps({**ENGINE, "sparkConf": {"spark.my.key": "another"}}))
    result = await found(world, "engine")
    assert "spark.my.key: engine.json says 'another', pio-tf '********'" in result.detail


async def test_a_master_in_engine_json_fails(world: World) -> None:
    world.file("engine/engine.json", json.dumps({**ENGINE, "sparkConf": {"spark.master": "local[4]"}}))
    result = await found(world, "engine")
    assert result.status == "failed"
    assert "spark.master" in result.detail


async def test_an_engine_that_has_not_been_built_comes_with_the_command(world: World) -> None:
    (world.home / "engine/target/scala-2.11/ur_2.11-0.7.jar").rename(
        world.home / "engine/target/scala-2.11/ur_2.11-0.7-sources.jar"
    )
    result = await found(world, "built")
    assert (result.status, result.detail) == (
        "failed",
        "~/engine has not been built: there is no target/scala-*/*.jar",
    )
    assert "pio-tf train --build" in result.next_step


async def test_sources_that_are_newer_than_the_jar_are_a_warning(world: World) -> None:
    world.file("engine/src/main/scala/Algorithm.scala", "object A")
    jar = world.home / "engine/target/scala-2.11/ur_2.11-0.7.jar"
    os.utime(jar, (1_500_000_000, 1_500_000_000))
    result = await found(world, "built")
    assert result.status == "warning"
    assert "Algorithm.scala" in result.detail or "build.sbt" in result.detail
    assert "is newer than" in result.detail
    os.utime(jar, (time.time() + 60, time.time() + 60))
    assert (await found(world, "built")).status == "ok"


async def test_sources_that_were_pushed_after_the_last_build_are_a_warning(world: World) -> None:
    world.file("engine/.pio-tf/inputs", "new\n")
    world.file("engine/.pio-tf/built", "old\n")
    os.utime(next(world.home.glob("engine/target/scala-*/*.jar")), (0, 0))
    result = await found(world, "built")
    assert result.status == "warning"
    assert result.detail == "the sources of ~/engine were pushed after the last build"
    world.file("engine/.pio-tf/built", "new\n")
    assert "were pushed after" not in (await found(world, "built")).detail


async def test_an_engine_whose_push_was_interrupted_amid_its_renames_fails(world: World) -> None:
    world.file("engine/.pio-tf/changing", "")
    result = await found(world, "engine")
    assert result.status == "failed"
    assert result.detail.startswith("~/engine is half of two versions")
    assert "pio-tf engine push" in result.next_step


async def test_jars_in_lib_alone_are_a_warning(world: World) -> None:
    (world.home / "engine/target/scala-2.11/ur_2.11-0.7.jar").unlink()
    world.file("engine/lib/helper.jar", "")
    result = await found(world, "built")
    assert result.status == "warning"
    assert "lib/helper.jar" in result.detail


async def test_an_engine_in_python_is_not_built(world: World) -> None:
    world.blocks = {"train": {"pio_arguments": ["--main-py-file", "train.py"]}}
    assert (await found(world, "built")).status == "skipped"


# Disks and clock


@pytest.mark.parametrize(
    ("limits", "status", "says"),
    [
        (Limits(disk_failed_mib=10**9), "failed", "GiB free"),
        (Limits(disk_failed_mib=0, disk_warning_mib=10**9), "warning", "GiB free"),
        (Limits(disk_failed_mib=0, disk_warning_mib=0, inodes_failed=0, inodes_warning=0), "ok", "GiB free"),
    ],
)
async def test_a_disk_that_is_too_full(world: World, limits: Limits, status: str, says: str) -> None:
    result = await found(world, "disk", limits)
    assert (result.status, says in result.detail) == (status, True)
    assert bool(result.next_step) == (status != "ok")


async def test_a_full_scratch_volume_is_made_larger_by_its_own_option(world: World) -> None:
    world.script("bin/df", "echo 100 1000000 2000000 /var/lib/pio-tf/scratch")
    world.file(".profile", 'export JAVA_HOME=$HOME/java PATH="$HOME/bin:$PATH"\n')
    assert "a larger driver.root_volume_gib" in (await found(world, "disk")).next_step
    world.blocks = {"driver": {"scratch_volume": {"gib": 100}}}
    assert "a larger driver.scratch_volume.gib" in (await found(world, "disk")).next_step


@pytest.mark.parametrize(("inodes", "status"), [(500, "failed"), (20_000, "warning"), (10**7, "ok")])
async def test_inodes_count_too(world: World, inodes: int, status: str) -> None:
    df = f"echo Avail IFree Inodes Mounted on; echo 99999999 {inodes} 20000000 /mnt/big disk"
    world.script("bin/df", df)
    world.file(".profile", 'export JAVA_HOME=$HOME/java PATH="$HOME/bin:$PATH"\n')
    result = await found(world, "disk")
    assert result.status == status
    assert ("inodes free" in result.detail) == (status != "ok")
    assert "/mnt/big disk" in result.detail


async def test_scratch_directories_of_spark_env_sh_are_looked_at_and_need_not_be_there_yet(world: World) -> None:
    world.script("bin/df", 'echo "${@: -1}" >>~/asked; echo 99999999 1000000 2000000 /')
    world.file(".profile", 'export JAVA_HOME=$HOME/java PATH="$HOME/bin:$PATH"\n')
    world.settings["spark.local.dir"] = str(world.home / "unused")
    scratch = world.home / "fast disk"
    scratch.mkdir()
    world.file("spark/conf/spark-env.sh", f'SPARK_LOCAL_DIRS="{scratch}/one/two,{scratch}"\n')
    assert (await found(world, "disk")).status == "ok"
    asked = (world.home / "asked").read_text().splitlines()
    assert asked.count(str(scratch)) == 2
    assert "/" in asked
    assert str(world.home / "engine") in asked


async def test_a_local_directory_for_event_logs_must_be_there(world: World) -> None:
    events = world.home / "events"
    world.settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{events}"}
    result = await found(world, "disk")
    assert result.status == "failed"
    assert f"file://{events}" in result.detail
    events.mkdir()
    assert (await found(world, "disk")).status != "failed"


@pytest.mark.parametrize(
    ("off", "status", "says"),
    [
        (0, "ok", r"(\S+) s off"),
        (-60, "warning", r"the driver is (\S+) s ahead of this computer"),
        (1000, "failed", r"the driver is (\S+) s behind this computer: AWS refuses .*"),
    ],
)
async def test_clocks_that_differ(world: World, off: int, status: str, says: str) -> None:
    result = (await world.check(skip=SERVICES, now=lambda: time.time() + off))["clock"]
    assert result.status == status
    assert (said := re.fullmatch(says, result.detail)), result.detail
    assert float(said[1]) == pytest.approx(abs(off), abs=20), "the driver's answer takes some seconds at the most"


# Versions


async def test_java_8_and_spark_2_4_are_right_for_predictionio_0_14(world: World) -> None:
    results = await world.check(skip=SERVICES)
    assert results["java"].detail == f"Java 8 ({world.home}/java/bin/java)"
    assert results["spark-version"].detail == "Spark 2.4.8"


@pytest.mark.parametrize(
    ("java", "spark", "status"),
    [
        ('openjdk version "11.0.20" 2023-07-18', "2.4.8", "failed"),
        ('java version "1.7.0_80"', "2.1.1", "failed"),
        ('openjdk version "21.0.1" 2023-10-17', "3.5.5", "warning"),
        ('openjdk version "17-ea" 2021-09-14', "3.5.5", "warning"),
        ('openjdk version "1.8.0_412"', "3.5.5", "ok"),
        ('openjdk version "1.8.0_362"', "2.4.8", "ok"),
        ('openjdk version "1.8.0_352"', "2.4.8", "warning"),
        ('java version "1.8.0"', "2.4.8", "ok"),
        ("Error: could not find libjava.so", "2.4.8", "failed"),
    ],
)
async def test_another_java_than_8(world: World, java: str, spark: str, status: str) -> None:
    world.java(java)
    world.file("spark/RELEASE", f"Spark {spark} built for the sandbox\n")
    result = await found(world, "java")
    assert result.status == status
    if "11.0" in java:
        assert "Spark 2 runs on Java 8 only" in result.detail
    if "_352" in java:
        assert "Java 8u352" in result.detail
        assert "java {}" in (result.next_step or "")
    if "libjava" in java:
        assert "could not find libjava.so" in result.detail


@pytest.mark.parametrize(
    ("jar", "java", "status"),
    [
        ("xbean-asm6-shaded-4.8.jar", "11.0.20", "failed"),
        ("xbean-asm6-shaded-4.10.jar", "11.0.20", "warning"),
        ("xbean-asm6-shaded-4.10.jar", "17.0.1", "failed"),
    ],
)
async def test_spark_2_runs_on_java_11_only_if_it_can_read_its_classes(
    world: World, jar: str, java: str, status: str
) -> None:
    world.java(f'openjdk version "{java}"')
    world.file(f"spark/jars/{jar}", "")
    assert (await found(world, "java")).status == status


@pytest.mark.parametrize(
    ("java", "spark", "built", "name", "step"),
    [
        ('java version "1.8.0_352"', "2.4.8", "2.4.8", "java", "update the driver's Java"),
        (JAVA_8, "2.4.8", "2.1.3", "spark-version", "install Spark 2.1.3 on the machines, or build PredictionIO for"),
        (JAVA_8, "2.3.4", "2.1.3", "spark-version", "install Spark 2.1.3 on the machines"),
        (JAVA_8, "2.4.8", "2.4.8", "spark-version", ""),
    ],
)
async def test_machines_that_exist_already_are_not_to_be_provisioned(
    world: World, java: str, spark: str, built: str, name: str, step: str
) -> None:
    """``pio-tf provision`` refuses them."""
    world.instances = {"driver": "i-0d", "master": "i-0a", "workers": ["i-01"]}
    world.blocks = {"spark": {"version": None}}
    world.java(java)
    world.built_for(built)
    release = f"Spark {spark} built for Hadoop 2.7.3\n"
    world.file("spark/RELEASE", release)
    (world.cluster.servers["master"].home / "spark" / "RELEASE").write_text(release)
    result = await found(world, name)
    assert (result.status == "ok") == (step == "")
    assert result.next_step.startswith(step)
    assert "provision" not in result.next_step


async def test_no_java_at_all_fails(world: World) -> None:
    world.file(".profile", "export JAVA_HOME=$HOME/gone\n")
    result = await found(world, "java")
    assert result.status == "failed"
    assert "no Java" in result.detail


async def test_the_java_that_spark_env_sh_names_is_looked_at_too(world: World) -> None:
    world.script("jdk11/bin/java", "echo 'openjdk version \"11.0.20\"' >&2")
    world.file("spark/conf/spark-env.sh", "JAVA_HOME=$HOME/jdk11\n")
    result = await found(world, "java")
    assert result.status == "failed"
    assert f"Java 11 ({world.home}/jdk11/bin/java)" in result.detail


async def test_a_driver_without_spark_fails(world: World) -> None:
    (world.home / "spark/bin/spark-submit").unlink()
    result = await found(world, "spark-version")
    assert (result.status, result.detail) == (
        "failed",
        "the driver has no Spark: ~/spark/bin/spark-submit is missing",
    )


@pytest.mark.parametrize(
    ("pio", "spark", "status"),
    [
        ("0.14.0", "2.1.3", "ok"),
        ("0.14.0", "3.5.5", "warning"),
        ("0.13.0", "2.3.4", "ok"),
        ("0.13.0", "2.4.8", "warning"),
        ("0.12.1", "2.1.1", "ok"),
        ("0.12.1", "2.2.0", "warning"),
    ],
)
async def test_a_spark_that_predictionio_was_not_made_for(world: World, pio: str, spark: str, status: str) -> None:
    world.blocks = {"pio": {"version": pio}, "spark": {"version": None}}
    release = f"Spark {spark} built for Hadoop 2.7.3\n"
    world.file("spark/RELEASE", release)
    (world.cluster.servers["master"].home / "spark" / "RELEASE").write_text(release)
    assert (await found(world, "spark-version")).status == status


@pytest.mark.parametrize(
    ("built", "spark", "status", "says"),
    [
        ("2.4.8", "2.4.8", "ok", "Spark 2.4.8, PredictionIO built for 2.4.8"),
        ("2.4.3", "2.4.8", "ok", "Spark 2.4.8, PredictionIO built for 2.4.3"),
        (
            "2.1.3",
            "2.4.8",
            "failed",
            "PredictionIO at ~/pio was built for Spark 2.1.3, and does not run on Spark 2.4.8",
        ),
        (
            "2.4.8",
            "2.1.3",
            "failed",
            "PredictionIO at ~/pio was built for Spark 2.4.8, and does not run on Spark 2.1.3",
        ),
        ("2.1.3", "3.5.5", "failed", "does not run on Spark 3.5.5"),
        ("2.1.3", "2.3.4", "warning", "Spark 2.3.4, but PredictionIO at ~/pio was built for Spark 2.1.3"),
        ("3.5.5", "3.5.5", "ok", "PredictionIO built for 3.5.5"),
    ],
)
async def test_the_spark_that_predictionios_jar_was_built_for_decides(
    world: World, built: str, spark: str, status: str, says: str
) -> None:
    world.blocks = {"spark": {"version": spark if spark < "3" else None}}
    world.built_for(built)
    release = f"Spark {spark} built for Hadoop 2.7.3\n"
    world.file("spark/RELEASE", release)
    (world.cluster.servers["master"].home / "spark" / "RELEASE").write_text(release)
    result = await found(world, "spark-version")
    assert (result.status, says in result.detail) == (status, True), result.detail
    if status == "failed":
        assert f"make-distribution.sh -Dspark.version={spark}" in result.next_step
        assert f"set it to {built}" in result.next_step


async def test_a_jar_that_does_not_say_its_spark_decides_nothing(world: World) -> None:
    world.file("pio/lib/pio-assembly-0.14.0.jar", "no jar")
    assert (await found(world, "spark-version")).detail == "Spark 2.4.8"


async def test_a_working_cluster_whose_new_workers_would_get_another_spark_is_a_warning(world: World) -> None:
    world.blocks = {"spark": {"version": None}}
    world.built_for("2.4.8")
    result = await found(world, "spark-version")
    assert (result.status, result.detail) == ("warning", "Spark 2.4.8, but a new machine would get Spark 2.1.3")
    assert 'spark.version = "2.4.8"' in result.next_step


async def test_a_spark_that_does_not_say_its_version_is_a_warning(world: World) -> None:
    (world.home / "spark/RELEASE").unlink()
    assert (await found(world, "spark-version")).status == "warning"


@pytest.mark.parametrize(("master", "status"), [("2.4.7", "warning"), ("2.3.4", "failed"), ("", "ok")])
async def test_the_master_must_have_the_drivers_spark(world: World, master: str, status: str) -> None:
    release = world.cluster.servers["master"].home / "spark" / "RELEASE"
    release.write_text(f"Spark {master} built for Hadoop 2.7.3\n")
    result = await found(world, "spark-version")
    assert result.status == status
    if master:
        assert f"the driver has Spark 2.4.8, the master {master}" in result.detail


# PredictionIO


async def test_a_missing_pio_comes_with_what_to_set(world: World) -> None:
    (world.home / "pio/bin/pio").unlink()
    result = await found(world, "pio")
    assert (result.status, result.detail) == ("failed", "~/pio/bin/pio does not exist")
    assert "pio.home" in result.next_step


async def test_a_pio_that_cannot_be_run_is_told(world: World) -> None:
    (world.home / "pio/bin/pio").chmod(0o644)
    result = await found(world, "pio")
    assert (result.status, result.next_step) == ("failed", "on the driver: chmod +x ~/pio/bin/pio")


async def test_pio_status_that_fails_is_quoted_without_secrets(world: World) -> None:
    world.blocks = {"elasticsearch": {"user": "elastic", "password": "hunter2hunter2"}}
    world.script(
        "pio/bin/pio",
        """cat <<'END'
[INFO] [Management$] Inspecting storage backend connections...
[ERROR] [Management$] Unable to connect to all storage backends successfully.
The following shows the error message from the storage backend.

login of elastic with hunter2hunter2 refused (java.lang.RuntimeException)

Dumping configuration of initialized storage backend sources.
Please make sure they are correct.

Source Name: ELASTICSEARCH; Type: elasticsearch; Configuration: PASSWORD -> hunter2hunter2, TYPE -> elasticsearch
END
exit 1""",
    )
    result = await found(world, "pio-status")
    assert result.status == "failed"
    assert result.detail == (
        "pio status ended with 1: Unable to connect to all storage backends successfully.; "
        "login of elastic with *** refused (java.lang.RuntimeException)"
    )
    assert "hunter2" not in str(world.events)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("echo '[INFO] [Management$] half way'; exit 0", "pio status ended with 0: [INFO] [Management$] half way"),
        ("exit 1", "pio status ended with 1: no output"),
    ],
)
async def test_pio_status_counts_by_its_last_line(world: World, program: str, says: str) -> None:
    world.script("pio/bin/pio", program)
    result = await found(world, "pio-status")
    assert (result.status, result.detail) == ("failed", says)


async def test_pio_status_that_hangs_ends_in_time(world: World) -> None:
    world.script("pio/bin/pio", "exec sleep 60")
    result = await found(world, "pio-status", Limits(pio_status=0.5))
    assert (result.status, result.detail) == ("failed", "no answer within 0.5 s")


async def test_pio_status_has_the_users_profile(world: World) -> None:
    world.script("pio/bin/pio", '[ "$JAVA_HOME" ] && echo "Your system is all ready to go."')
    assert (await found(world, "pio-status")).status == "ok"
