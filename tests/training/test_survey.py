"""What is installed on machines that pio-tf did not make, read by the real script over real SSH servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.cluster.adoption import describe_software
from pio_tf.errors import RemoteError
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.survey import InstalledSoftware, survey
from tests.support.ssh_cluster import QUICK, TestCluster

if TYPE_CHECKING:
    from pathlib import Path


def program(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def install(home: Path, *, spark: str = "opt/spark-2.3.4", version: str = "2.3.4") -> None:
    """Install Spark and a Java in a home directory, in places of a team's own."""
    program(home / spark / "bin" / "spark-submit")
    program(home / spark / "sbin" / "start-all.sh")
    (home / spark / "RELEASE").write_text(f"Spark {version} built for Hadoop 2.7.3\n")
    program(home / "java" / "bin" / "java", "#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    (home / ".profile").write_text(f"export JAVA_HOME={home}/java\necho 'welcome\tto this machine'\n")


async def look(cluster: TestCluster, *names: str, **homes: str) -> dict[str, InstalledSoftware | RemoteError]:
    for name in names[1:]:
        await cluster.servers[name].start()
    targets = cluster.targets(*names)
    async with ClusterConnection(cluster.config(), targets, retry=QUICK) as remote:
        return await survey(remote, names, **homes)


async def test_homes_versions_engines_and_pio_env_are_found_below_the_home_directory(cluster: TestCluster) -> None:
    home = cluster.driver.home
    install(home)
    program(home / "opt" / "PredictionIO-0.13.0" / "bin" / "pio")
    (home / "opt" / "PredictionIO-0.13.0" / "conf").mkdir()
    (home / "opt" / "PredictionIO-0.13.0" / "conf" / "pio-env.sh").write_text("SPARK_HOME=$HOME/opt/spark\nOWN=1\n")
    for engine in ("engines/ur", "other"):
        (home / engine).mkdir(parents=True)
        (home / engine / "engine.json").write_text("{}")
    found = (await look(cluster, "driver"))["driver"]
    assert isinstance(found, InstalledSoftware)
    assert (found.spark_home, found.spark_version) == ("~/opt/spark-2.3.4", "2.3.4")
    assert found.start_all == "~/opt/spark-2.3.4/sbin/start-all.sh"
    assert (found.java_home, found.java_version) == ("~/java", "1.8.0_402")
    assert (found.pio_home, found.pio_version) == ("~/opt/PredictionIO-0.13.0", "0.13.0")
    assert set(found.engines) >= {"~/engines/ur", "~/other"}
    assert found.env is not None
    assert (found.env.values["SPARK_HOME"], found.env.kept) == ("~/opt/spark", ("OWN",))
    assert "pio-env.sh stays as it is, also what pio-tf.hcl does not say: OWN" in describe_software({"driver": found})


async def test_places_that_the_user_names_win_and_versions_that_differ_are_said(cluster: TestCluster) -> None:
    for name, version in (("driver", "2.1.1"), ("master", "2.4.8")):
        install(cluster.servers[name].home, spark="else/where", version=version)
        install(cluster.servers[name].home)
    found = await look(cluster, "driver", "master", spark_home="~/else/where")
    software = {name: one for name, one in found.items() if isinstance(one, InstalledSoftware)}
    assert {name: one.spark_version for name, one in software.items()} == {"driver": "2.1.1", "master": "2.4.8"}
    assert "the machines have different versions of Spark: 2.1.1, 2.4.8" in describe_software(software)


async def test_a_machine_that_can_not_be_reached_is_no_obstacle_to_the_others(cluster: TestCluster) -> None:
    install(cluster.driver.home)
    targets = cluster.targets("driver", "worker-2")
    async with ClusterConnection(cluster.config(), targets, retry=QUICK) as remote:
        await remote.connection("driver")
        remote._retry = type(QUICK)(timeout=1, denied=0.1, attempt=1)
        found = await survey(remote, ["driver", "worker-2"])
    assert isinstance(found["driver"], InstalledSoftware)
    assert isinstance(found["worker-2"], RemoteError)
