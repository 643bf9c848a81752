"""A cluster that pio-tf did not make: looked at, used, and left as it is."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.load import load_config
from tests.support.handmade import ENGINE, PIO, SPARK, USER, Handmade, make_handmade
from tests.support.sandbox_project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.whole_sandbox import WholeSandbox


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, sandbox: WholeSandbox) -> Handmade:
    network = next(IPv4Network(sandbox.info.network).subnets(new_prefix=24))
    return make_handmade(sandbox.info, tmp_path_factory.mktemp("team"), cidr=str(network))


@pytest.fixture
def project(made: Handmade, sandbox: WholeSandbox, tmp_path: Path) -> Project:
    return Project(tmp_path, made.sandbox, sandbox.environment)


def disk(made: Handmade) -> dict[str, str]:
    """Return what the team has written on its driver."""
    conf = made.home(made.driver) / PIO / "conf"
    engine = made.home(made.driver) / ENGINE / "engine.json"
    return {path.name: path.read_text() for path in (*conf.iterdir(), engine)}


def machines(made: Handmade, project: Project) -> list[tuple[object, ...]]:
    """Return what the machines are made of, which power does not change."""
    found = project.ec2.describe_instances(InstanceIds=[made.driver, made.master, *made.workers])["Reservations"]
    return [
        (
            *(one.get(name) for name in ("InstanceId", "InstanceType", "ImageId", "KeyName", "SubnetId")),
            *(one.get(name) for name in ("PrivateIpAddress", "SecurityGroups", "MetadataOptions", "SourceDestCheck")),
            [disk["Ebs"]["VolumeId"] for disk in one["BlockDeviceMappings"]],
            [card["NetworkInterfaceId"] for card in one["NetworkInterfaces"]],
        )
        for group in found
        for one in group["Instances"]
    ]


def adopt(made: Handmade, project: Project, *words: str) -> str:
    """Adopt the machines, which run, and return what was said."""
    access = ("--user", USER, "--key", str(made.key), "--sandbox", "--tag", "Name=spark-*")
    return project.run("adopt", *words, *access, "--yes").stderr


@pytest.mark.usefixtures("light_machines")
def test_power_only_starts_spark_by_its_script_and_leaves_machines_and_files_as_they_were(
    made: Handmade, project: Project
) -> None:
    before = disk(made), machines(made, project)
    said = adopt(made, project, "hand", "--power-only")
    assert "PredictionIO 0.14.0 in ~/opt/PredictionIO-0.14.0" in said
    assert "pio-env.sh stays as it is, also what pio-tf.hcl does not say: " in said
    config = load_config(project.config, environ={})
    assert (config.spark.home, config.spark.start_command) == (f"~/{SPARK}", f"~/{SPARK}/sbin/start-all.sh")
    assert (config.pio.home, config.pio.engine_dir) == (f"~/{PIO}", f"~/{ENGINE}")
    assert set(project.powers()) == {"running"}
    started = project.run("up").stderr
    assert "Starting Spark: ~/opt/spark/sbin/start-all.sh" in started
    assert "the driver's files stay as they are" in started
    project.run("down")
    assert project.powers() == {"stopped"}
    assert (disk(made), machines(made, project)) == before
    addresses = project.ec2.describe_addresses()["Addresses"]
    assert [(one["PublicIp"], one.get("InstanceId")) for one in addresses] == [(made.eip, made.driver)]


def test_terraform_tags_the_machines_and_a_training_on_them_succeeds(made: Handmade, project: Project) -> None:
    ids = {"driver": made.driver, "master": made.master, "worker-1": made.workers[0], "worker-2": made.workers[1]}
    project.ec2.start_instances(InstanceIds=[*ids.values()])
    project.ec2.get_waiter("instance_running").wait(InstanceIds=[*ids.values()], WaiterConfig={"Delay": 1})
    before = disk(made), machines(made, project)
    said = adopt(made, project, "ur")
    assert (
        "  import 4 machines into Terraform's state\n  change nothing on them\n  tag them with pio-tf:cluster" in said
    )
    assert "next: pio-tf apply" in said
    trained = project.run("train", "--json")
    assert "Applying: 4 to import, 18 to create" in trained.stderr
    record = json.loads(trained.stdout)
    assert (record["state"], record["exit_status"]) == ("succeeded", 0)
    assert {proof["name"]: proof["held"] for proof in record["proofs"]}["engine instance"] is True
    assert project.powers() == {"stopped"}
    assert (disk(made), machines(made, project)) == before
    assert sorted(path.name for path in made.home(made.driver).parent.glob("follow-driver*")) == []
    assert "no changes" in project.run("plan").stdout
    assert [run["id"] for run in json.loads(project.run("runs", "--json").stdout)["runs"]] == [record["id"]]
    log, success, after = project.run("logs").stdout.partition(
        "[INFO] [CoreWorkflow$] Training completed successfully.\n"
    )
    assert success
    assert [line for line in log.splitlines() if not line.startswith("[INFO] ")] == []
    # On a busy computer, Spark calls it an error that executors end as it stops. No training has lost them then.
    assert set(re.findall(r"(?m)^\[\w+\] \[(.+?)\]", after)) <= {"Inbox", "TaskSchedulerImpl", "Utils"}
    assert "lost" not in trained.stderr
    (metadata,) = (
        json.loads(path.read_text()) for path in made.home(made.driver).glob(".pio_store/models/*/metadata.json")
    )
    addresses = {name: one["private_ip"] for name, one in project.machines().items()}
    assert sorted(one["host"] for one in metadata["executors"]) == [addresses["worker-1"], addresses["worker-2"]]
    assert metadata["items"] == 200
    assert min(metadata["correlators"].values()) > 1000
    assert {name: one["instance_id"] for name, one in project.machines().items()} == ids
    for name, one in ids.items():
        described = project.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [one]}])["Tags"]
        tags = {tag["Key"]: tag["Value"] for tag in described}
        ours = {"pio-tf:cluster": "ur", "pio-tf:machine": name, "pio-tf:role": name.partition("-")[0]}
        assert tags == {"Name": f"spark-{name}", **ours}
