"""An apply that ends in the middle, by SIGKILL or without its state: the next one continues with what exists.

The tests share one cluster, in the order of what happens to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.errors import GuardRefused, MachinesMayBeRunning, TerraformError
from pio_tf.events import Event, Step, Warned
from pio_tf.infra.backend.state import MOST_BACKUPS, StateBackups
from pio_tf.infra.stack_directory import ERRORED
from tests.support.background import wait_until, with_children
from tests.support.deployments import ENVIRON, deployment, existing_network, stop_all
from tests.support.fork_server import Program
from tests.support.no_machines import no_machines
from tests.support.shell import ec2
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.sandbox.aws import LocalAws


APPLY = textwrap.dedent(
    """
    import os, sys
    from pio_tf import Cluster
    environ = {"PATH": os.environ["PATH"], **dict(one.split("=") for one in sys.argv[1:])}
    Cluster.load("pio-tf.hcl", environ=environ).apply()
    """
)
OWN_PROVIDER = "TF_REATTACH_PROVIDERS="
"""Terraform starts a provider that is killed with it."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Site:
    return Site(directory=tmp_path_factory.mktemp("place"), name="cut", url=aws.url, mirror=mirror)


@pytest.fixture(scope="module")
def config(place: Site) -> Config:
    network = existing_network(place.url, "127.77.35.0/24") + "first_host = 20"
    return place.write(network=network, spark="workers = 1")


def test_a_creation_that_was_killed_with_its_terraform_is_taken_over_and_finished(place: Site, config: Config) -> None:
    killed_amid(place, lambda: len(place.instances()) == 3, kill_terraform=True)
    made = ids(place)
    state = (config.stack_dir / "terraform.tfstate").read_text()
    assert not any(one in state for one in made.values())
    with pytest.raises(GuardRefused, match="a second time"):
        Cluster(config, environ=ENVIRON).plan()

    events: list[Event] = []
    Cluster(config, environ=ENVIRON, reporter=events.append).apply()

    assert ids(place) == made
    taken = {
        one for event in events if isinstance(event, Step) for one in re.findall(r"Taking over (i-\w+)", event.message)
    }
    assert taken == set(made.values())
    assert deployment(config).plan().changes == ()


def test_a_machine_of_another_security_group_is_not_taken_over(place: Site, config: Config) -> None:
    bigger = write(place, config, "workers = 2")
    client = ec2(place.url)
    subnet = client.describe_instances(InstanceIds=[ids(place)["driver"]])["Reservations"][0]["Instances"][0][
        "SubnetId"
    ]
    tags = {"pio-tf:cluster": "cut", "pio-tf:machine": "worker-2", "pio-tf:role": "worker"}
    foreign = client.run_instances(
        ImageId="ami-0a1b2c3d4e5f60718",
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )["Instances"][0]["InstanceId"]
    with pytest.raises(GuardRefused, match="the plan would create worker-2 a second time"):
        Cluster(bigger, environ=ENVIRON).apply()
    client.terminate_instances(InstanceIds=[foreign])
    client.get_waiter("instance_terminated").wait(InstanceIds=[foreign], WaiterConfig={"Delay": 1})


def test_a_client_that_was_killed_leaves_terraform_to_its_end_and_the_next_apply_waits_for_it(
    place: Site, config: Config
) -> None:
    before = ids(place)
    bigger = write(place, config, "workers = 2", more_terraform='lock_timeout = "600s"')
    killed_amid(place, lambda: "worker-2" in place.instances(), kill_terraform=False)
    Cluster(bigger, environ=ENVIRON).apply()
    after = ids(place)
    assert {name: after[name] for name in before} == before
    assert sorted(after) == ["driver", "master", "worker-1", "worker-2"]
    assert deployment(bigger).plan().changes == ()


def test_a_state_that_terraform_could_not_save_is_restored(place: Site, config: Config) -> None:
    bigger = write(place, config, "workers = 2")
    state = bigger.stack_dir / "terraform.tfstate"
    newer, older = state.read_text(), newest(bigger).read_text()
    assert json.loads(newer)["serial"] > json.loads(older)["serial"]
    (bigger.stack_dir / ERRORED).write_text(newer)
    state.write_text(older)

    assert deployment(bigger).plan().changes == ()

    assert json.loads(state.read_text())["resources"] == json.loads(newer)["resources"]
    assert not (bigger.stack_dir / ERRORED).exists()
    assert len(list(StateBackups(bigger, by_hand="terraform").directory.glob("*.errored"))) == 1


def test_an_older_state_is_not_restored_but_named(place: Site, config: Config) -> None:
    bigger = write(place, config, "workers = 2")
    errored = bigger.stack_dir / ERRORED
    errored.write_text(newest(bigger).read_text())
    try:
        with pytest.raises(TerraformError, match="could not be restored") as caught:
            deployment(bigger).plan()
    finally:
        errored.unlink()
    assert str(caught.value.details["errored_state"]) == str(errored)
    assert "state push -force" in caught.value.next_step


def test_a_state_that_was_cut_off_is_reported_with_the_last_good_one(place: Site, config: Config) -> None:
    bigger = write(place, config, "workers = 2")
    StateBackups(bigger, by_hand="terraform").save()
    state = bigger.stack_dir / "terraform.tfstate"
    state.write_text(state.read_text()[:1000])
    with pytest.raises(TerraformError, match="is not a Terraform state") as caught:
        deployment(bigger).plan()
    command = re.search(r"cp (\S+) (\S+);", caught.value.next_step)
    assert command is not None
    shutil.copy(command[1], command[2])
    assert deployment(bigger).plan().changes == ()


def test_an_apply_that_fails_half_way_leaves_nothing_running_that_did_not_run_before(
    place: Site, config: Config
) -> None:
    stop_all(place)
    client = ec2(place.url)
    taken = client.run_instances(
        ImageId="ami-0a1b2c3d4e5f60718",
        MinCount=1,
        MaxCount=1,
        SubnetId=str(config.network.subnet_id),
        PrivateIpAddress="127.77.35.25",
    )["Instances"][0]["InstanceId"]
    wanted = write(place, config, 'workers = 4\nmaster_instance_type = "m5.xlarge"')
    events: list[Event] = []
    with pytest.raises(TerraformError, match="terraform apply failed") as caught:
        Cluster(wanted, environ=ENVIRON, reporter=events.append).apply()
    assert "127.77.35.25 is in use" in caught.value.cause
    assert "state-backups" in caught.value.next_step
    assert {name: one["State"]["Name"] for name, one in place.instances().items()} == dict.fromkeys(
        ("driver", "master", "worker-1", "worker-2", "worker-3"), "stopped"
    )
    assert place.instances()["master"]["InstanceType"] == "m5.xlarge"
    steps = [event.message for event in events if isinstance(event, Step)]
    assert "Stopping the machines that Terraform started: master, worker-3" in steps
    client.terminate_instances(InstanceIds=[taken])


def test_status_reports_what_a_killed_apply_has_started_and_the_next_apply_stops_it(
    place: Site, config: Config
) -> None:
    wanted = write(place, config, 'workers = 3\nmaster_instance_type = "m5.2xlarge"')
    killed_amid(place, lambda: power(place, "master") != "stopped", kill_terraform=True)
    wait_for(lambda: power(place, "master") == "running")
    events: list[Event] = []
    cluster = Cluster(wanted, environ=ENVIRON, reporter=events.append)
    cluster.status()
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert any(message.startswith("an interrupted apply has left running: master (i-") for message in warned)

    cluster.apply()

    assert {power(place, name) for name in place.instances()} == {"stopped"}
    events.clear()
    cluster.status()
    assert not [event for event in events if isinstance(event, Warned)]


def test_a_stop_without_an_answer_of_aws_lists_the_machines_and_the_aws_command(place: Site, config: Config) -> None:
    there = write(place, config, "workers = 3")
    deaf = there.model_copy(update={"aws": there.aws.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})})
    with pytest.raises(MachinesMayBeRunning) as caught:
        Cluster(deaf, environ=ENVIRON).down()
    command = caught.value.next_step.partition("aws ec2 stop-instances ")[2]
    assert set(re.findall(r"i-[0-9a-f]+", command)) == set(ids(place).values())


def test_an_apply_that_is_interrupted_again_as_it_stops_what_it_has_made_names_that(
    place: Site, config: Config
) -> None:
    wanted = write(place, config, 'workers = 3\nmaster_instance_type = "m5.xlarge"')

    def interrupting(event: Event) -> None:
        if isinstance(event, Step) and event.message.startswith("Stopping the machines that Terraform started"):
            raise KeyboardInterrupt

    with pytest.raises(MachinesMayBeRunning) as caught:
        Cluster(wanted, environ=ENVIRON, reporter=interrupting).apply()
    assert power(place, "master") == "running"
    said = "AWS has not confirmed that these machines are stopped, and they may be billed: master"
    assert f"{said} ({ids(place)['master']}" in str(caught.value)
    assert f"--instance-ids {ids(place)['master']}" in caught.value.next_step
    Cluster(wanted, environ=ENVIRON).apply()
    assert power(place, "master") == "stopped"


def test_a_destruction_that_fails_names_the_machines_that_run_on(place: Site, config: Config) -> None:
    there = write(place, config, 'workers = 3\nmaster_instance_type = "m5.xlarge"')
    client, driver = ec2(place.url), ids(place)["driver"]
    client.start_instances(InstanceIds=[driver])
    wait_for(lambda: power(place, "driver") == "running")

    def protecting(event: Event) -> None:
        if isinstance(event, Step) and event.message.startswith("Removing cut"):
            client.modify_instance_attribute(InstanceId=driver, DisableApiTermination={"Value": True})

    awake = Cluster(there, environ=ENVIRON, open_session=no_machines, reporter=protecting)
    with pytest.raises(MachinesMayBeRunning, match="machines of cut still run") as caught:
        awake.destroy()
    assert f"driver ({driver}, running)" in caught.value.what
    assert "terraform apply failed" in caught.value.cause
    assert "the role of their deadline" in caught.value.cause
    assert "`pio-tf down` stops" in caught.value.next_step
    assert f"--instance-ids {driver}" in caught.value.next_step
    client.modify_instance_attribute(InstanceId=driver, DisableApiTermination={"Value": False})
    Cluster(there, environ=ENVIRON, open_session=no_machines).destroy()
    assert place.instances() == {}


def test_backups_are_for_this_user_only_and_the_last_ones_are_kept(tmp_path: Path, place: Site) -> None:
    site = Site(directory=tmp_path, name="kept", url=place.url, mirror=place.mirror)
    config = site.write()
    config.stack_dir.mkdir(parents=True)
    backups = StateBackups(config, by_hand="terraform")
    assert backups.save() is None
    for serial in range(MOST_BACKUPS + 5):
        state = {"version": 4, "lineage": "a", "serial": serial, "resources": [{}]}
        (config.stack_dir / "terraform.tfstate").write_text(json.dumps(state))
        assert backups.save() == backups.save()  # the same state is not saved twice
    found = sorted(backups.directory.iterdir())
    assert [json.loads(path.read_text())["serial"] for path in found] == list(range(5, MOST_BACKUPS + 5))
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    assert backups.directory.stat().st_mode & 0o077 == 0


def killed_amid(place: Site, condition: Callable[[], bool], *, kill_terraform: bool) -> None:
    """Apply, and kill the client, with its Terraform or without, as soon as something is so."""
    provider = (OWN_PROVIDER,) if kill_terraform else ()
    client = Program([sys.executable, "-c", APPLY, *provider], cwd=place.directory)
    try:
        wait_for(lambda: condition() or client.poll() is not None)
        assert client.poll() is None
        everything = with_children(client.pid)
        assert len(everything) > 1
    finally:
        client.kill()
        client.wait()
    for pid in everything[1:] if kill_terraform else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, within=600)


def ids(place: Site) -> dict[str, str]:
    return {name: str(instance["InstanceId"]) for name, instance in place.instances().items()}


def power(place: Site, name: str) -> str:
    return str(place.instances()[name]["State"]["Name"])


def newest(config: Config) -> Path:
    found = StateBackups(config, by_hand="terraform").newest()
    assert found is not None
    return found


def write(place: Site, config: Config, spark: str, *, more_terraform: str = "") -> Config:
    network = f'vpc_id = "{config.network.vpc_id}"\nsubnet_id = "{config.network.subnet_id}"\nfirst_host = 20'
    changed = place.write(network=network, spark=spark)
    if more_terraform:
        path = place.directory / "pio-tf.hcl"
        path.write_text(path.read_text().replace("terraform {\n", f"terraform {{\n  {more_terraform}\n"))
        return Cluster.load(path, environ=ENVIRON).config
    return changed
