"""A cluster that pio-tf did not make: looked at, used, and left as it is."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.load import load_config
from pio_tf.sandbox.control import start_sandbox, stop_sandbox
from tests.support.handmade import ENGINE, PIO, SPARK, USER, Handmade, make_handmade
from tests.support.sandbox_project import Project, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, share_mirror: Callable[[Path], Path]) -> Iterator[Handmade]:
    sandbox = tmp_path_factory.mktemp("sandbox") / "sandbox"
    info = start_sandbox(sandbox, install_mirror=share_mirror)
    try:
        network = next(IPv4Network(info.network).subnets(new_prefix=24))
        yield make_handmade(info, tmp_path_factory.mktemp("team"), cidr=str(network))
    finally:
        stop_sandbox(sandbox)


@pytest.fixture
def project(made: Handmade, tmp_path: Path) -> Project:
    environment = clean_environment() | {"PIO_TF_SANDBOX_DIR": str(made.sandbox.directory)}
    return Project(tmp_path, made.sandbox, environment)


def disk(made: Handmade) -> dict[str, str]:
    """Return what the team has written on its driver."""
    conf = made.home(made.driver) / PIO / "conf"
    engine = made.home(made.driver) / ENGINE / "engine.json"
    return {path.name: path.read_text() for path in (*conf.iterdir(), engine)}


def test_a_training_by_power_only_starts_spark_by_its_script_and_leaves_machines_and_files_as_they_were(
    made: Handmade, project: Project
) -> None:
    before = disk(made)
    access = ("--user", USER, "--key", str(made.key))
    adopted = project.run("adopt", "ur", "--power-only", "--sandbox", "--tag", "Name=spark-*", *access, "--yes")
    assert "PredictionIO 0.14.0 in ~/opt/PredictionIO-0.14.0" in adopted.stderr
    assert "pio-env.sh stays as it is, also what pio-tf.hcl does not say: " in adopted.stderr
    config = load_config(project.config, environ={})
    assert (config.spark.home, config.spark.start_command) == (f"~/{SPARK}", f"~/{SPARK}/sbin/start-all.sh")
    assert (config.pio.home, config.pio.engine_dir) == (f"~/{PIO}", f"~/{ENGINE}")
    assert set(project.powers()) == {"running"}
    trained = project.run("train", "--json")
    assert "Starting Spark: ~/opt/spark/sbin/start-all.sh" in trained.stderr
    assert "the driver's files stay as they are" in trained.stderr
    record = json.loads(trained.stdout)
    assert (record["state"], record["exit_status"]) == ("succeeded", 0)
    assert {proof["name"]: proof["held"] for proof in record["proofs"]}["engine instance"] is True
    assert project.powers() == {"stopped"}
    assert disk(made) == before
    assert sorted(path.name for path in made.home(made.driver).parent.glob("follow-driver*")) == []
    assert [run["id"] for run in json.loads(project.run("runs", "--json").stdout)["runs"]] == [record["id"]]
    assert "Training completed successfully." in project.run("logs").stdout
    addresses = project.ec2.describe_addresses()["Addresses"]
    assert [(one["PublicIp"], one.get("InstanceId")) for one in addresses] == [(made.eip, made.driver)]
    machines = project.machines()
    assert {name: one["instance_id"] for name, one in machines.items()} == {
        "driver": made.driver,
        "master": made.master,
        "worker-1": made.workers[0],
        "worker-2": made.workers[1],
    }
