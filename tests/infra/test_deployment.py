"""A cluster in an existing subnet, made once by the real Terraform: what later plans say, and what is refused.

Its tests share one applied cluster, and leave it as it was; the one that scales it comes last.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import GuardRefused, Locked
from pio_tf.events import ResourceProgress, Warned
from tests.support.deployments import ENVIRON, Recorder, deployment, existing_network, stop_all
from tests.support.provider_scripts import terraform_of
from tests.support.shell import ec2
from tests.support.site import Site, terraform

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.model import Outputs
    from pio_tf.sandbox.aws import LocalAws


ONE_WORKER = "workers = 1"


class Applied:
    """A cluster that was applied, with the events meanwhile."""

    def __init__(self, site: Site, network: str) -> None:
        self.site = site
        self.network = network
        self.recorder = Recorder()
        cluster = deployment(self.config(), self.recorder)
        self.before = cluster.outputs()
        self.outputs: Outputs = cluster.apply(cluster.plan())

    def config(self, *, network: str | None = None, spark: str = ONE_WORKER) -> Config:
        """Return the configuration as it was applied, or changed."""
        return self.site.write(network=network if network is not None else self.network, spark=spark)

    def plain_environ(self) -> dict[str, str]:
        """Return the environment that plain Terraform needs."""
        return {
            "TF_CLI_CONFIG_FILE": str(self.site.mirror),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.site.directory / "credentials"),
        }


if TYPE_CHECKING:
    from pio_tf.config.schema import Config


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Applied:
    site = Site(directory=tmp_path_factory.mktemp("cluster"), name="main", url=aws.url, mirror=mirror)
    return Applied(site, existing_network(aws.url, "127.77.20.0/24", subnet="127.77.20.0/25") + "first_host = 30")


def test_before_the_first_apply_there_are_no_outputs(cluster: Applied) -> None:
    assert cluster.before is None


def test_machines_are_made_with_their_fixed_addresses_all_at_once(cluster: Applied) -> None:
    assert [(machine.name, machine.role, machine.private_ip) for machine in cluster.outputs.machines] == [
        ("driver", "driver", "127.77.20.30"),
        ("master", "master", "127.77.20.31"),
        ("worker-1", "worker", "127.77.20.32"),
    ]
    started = [
        index
        for index, event in enumerate(cluster.recorder.events)
        if isinstance(event, ResourceProgress) and event.status == "started" and "aws_instance" in event.address
    ]
    done = [
        index
        for index, event in enumerate(cluster.recorder.events)
        if isinstance(event, ResourceProgress) and event.status == "done" and "aws_instance" in event.address
    ]
    assert len(started) == len(done) == 3
    assert max(started) < min(done)


def test_machines_carry_the_cluster_s_tags_and_only_its_group(cluster: Applied) -> None:
    found = cluster.site.instances()
    assert sorted(found) == ["driver", "master", "worker-1"]
    for name, instance in found.items():
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        assert tags == {
            "Name": f"main-{name}",
            "pio-tf:cluster": "main",
            "pio-tf:machine": name,
            "pio-tf:role": name.partition("-")[0],
        }
        assert [group["GroupName"] for group in instance["SecurityGroups"]] == ["pio-tf-main"]
        assert instance["MetadataOptions"]["HttpTokens"] == "required"


def test_a_plan_after_the_apply_finds_no_changes(cluster: Applied) -> None:
    recorder = Recorder()
    plan = deployment(cluster.config(), recorder).plan()
    assert (plan.has_changes, plan.changes) == (False, ())
    assert [event for event in recorder.events if isinstance(event, Warned)] == []


def test_a_plan_after_a_stop_finds_no_changes(cluster: Applied) -> None:
    stop_all(cluster.site)
    plan = deployment(cluster.config()).plan()
    assert (plan.has_changes, plan.changes) == (False, ())
    assert deployment(cluster.config()).outputs() == cluster.outputs


def test_plain_terraform_works_in_the_stack_and_agrees(cluster: Applied) -> None:
    stack = deployment(cluster.config()).generate()
    plan = terraform("plan", "-detailed-exitcode", "-no-color", cwd=stack, **cluster.plain_environ())
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_state_and_plan_files_are_for_this_user_only(cluster: Applied) -> None:
    config = cluster.config()
    plan = deployment(config).plan()
    modes = {
        path.name: path.stat().st_mode & 0o077 for path in [plan.path, *config.stack_dir.glob("terraform.tfstate*")]
    }
    assert "terraform.tfstate" in modes
    assert set(modes.values()) == {0}


def test_initialising_is_not_repeated(cluster: Applied) -> None:
    recorder = Recorder()
    assert deployment(cluster.config(), recorder).stack.initialise() is False
    assert recorder.events == []


def test_another_private_address_is_refused_naming_machines_and_argument(cluster: Applied) -> None:
    before = cluster.site.instances()

    with pytest.raises(GuardRefused) as caught:
        deployment(cluster.config(network=cluster.network.replace("first_host = 30", "first_host = 60"))).plan()

    assert caught.value.what == "the plan would replace 3 machines: refused, nothing was changed"
    assert "module.driver.module.machine.aws_instance.this (driver) would be replaced: private_ip" in caught.value.cause
    assert '["worker-1"].aws_instance.this (worker-1) would be replaced: private_ip' in caught.value.cause
    assert cluster.site.instances() == before


def test_another_subnet_is_refused(cluster: Applied) -> None:
    vpc = cluster.network.splitlines()[0]
    subnet = ec2(cluster.site.url).create_subnet(VpcId=vpc.split('"')[1], CidrBlock="127.77.20.128/25")["Subnet"]
    other = f'{vpc}\nsubnet_id = "{subnet["SubnetId"]}"'
    with pytest.raises(GuardRefused, match="the plan would replace 2 machines:") as caught:
        deployment(cluster.config(network=other)).plan()
    assert "(driver) would be replaced: subnet_id cannot change" in caught.value.cause


def test_another_network_is_refused(cluster: Applied, aws: LocalAws) -> None:
    elsewhere = existing_network(aws.url, "127.77.21.0/24") + "first_host = 30"
    with pytest.raises(GuardRefused, match="refused, nothing was changed") as caught:
        deployment(cluster.config(network=elsewhere)).plan()
    assert "aws_security_group.this would be replaced: vpc_id cannot change" in caught.value.cause


def test_a_plan_to_destroy_shows_everything_and_is_refused_by_apply(cluster: Applied) -> None:
    config = cluster.config()
    before = cluster.site.instances()
    planned = deployment(config)
    plan = planned.plan(destroy=True)

    assert plan.counts["delete"] == len(plan.changes) >= 6
    with pytest.raises(GuardRefused, match="the plan would delete 3 machines and delete 1 other resource"):
        planned.apply(plan)
    assert cluster.site.instances() == before
    assert "prevent_destroy = true" in (config.stack_dir / "modules/machine/main.tf").read_text()


def test_another_image_or_key_changes_nothing_that_exists_and_the_key_is_told(cluster: Applied) -> None:
    config = cluster.config(spark=ONE_WORKER + '\nami = "ami-03cf127a"')
    (cluster.site.directory / "id.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq other@example\n")
    recorder = Recorder()

    plan = deployment(config, recorder).plan()

    assert plan.changes == ()
    warnings = [event.message for event in recorder.events if isinstance(event, Warned)]
    assert any("was made with another key than" in message for message in warnings)


def test_another_instance_type_is_planned_in_place_and_its_restart_is_told(cluster: Applied) -> None:
    recorder = Recorder()
    config = cluster.config(spark=ONE_WORKER + '\nmaster_instance_type = "m5.xlarge"')

    plan = deployment(config, recorder).plan()

    assert [(change.actions, change.reasons) for change in plan.changes] == [(("update",), ("instance_type",))]
    assert plan.counts == {"import": 0, "create": 0, "update": 1, "replace": 0, "delete": 0}
    warnings = [event.message for event in recorder.events if isinstance(event, Warned)]
    assert any(message.startswith("master: instance_type m5.large -> m5.xlarge") for message in warnings)


def test_a_machine_whose_creation_was_interrupted_is_used_as_it_is(cluster: Applied) -> None:
    config = cluster.config()
    stack = deployment(config).generate()
    address = 'module.spark_cluster.module.worker["worker-1"].aws_instance.this'
    assert terraform("taint", address, cwd=stack, **cluster.plain_environ()).returncode == 0
    before = cluster.site.instances()
    recorder = Recorder()

    assert deployment(config, recorder).plan().changes == ()

    assert any(isinstance(event, Warned) and address in event.message for event in recorder.events)
    assert cluster.site.instances() == before


def test_a_lock_with_an_unknown_holder_is_reported_as_a_lock(cluster: Applied) -> None:
    config = cluster.config()
    state = deployment(config).generate() / "terraform.tfstate"
    # As Terraform holds it, but without the file beside it that names the holder.
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True), input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            with pytest.raises(Locked) as caught:
                deployment(config).plan()
        finally:
            holder.communicate(b"\n", timeout=120)
    assert "is locked" in caught.value.what
    assert ".terraform.tfstate.lock.info" in caught.value.cause
    assert "ps aux" in caught.value.next_step


def test_a_held_lock_is_reported_with_its_holder(cluster: Applied) -> None:
    config = cluster.config()
    stack = deployment(config).generate()
    # An apply that waits for its "yes" holds the lock.
    holder = subprocess.Popen(
        [terraform_of(cluster.site.mirror), "apply", "-var", 'tags={who="holder"}', "-no-color"],
        cwd=stack,
        env={**ENVIRON, **cluster.plain_environ()},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 300
        while not (stack / ".terraform.tfstate.lock.info").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(Locked) as caught:
            deployment(config).plan()
    finally:
        holder.communicate(b"no\n", timeout=120)
    assert "apply by " in caught.value.cause
    assert str(caught.value.details["id"]) in caught.value.next_step
    assert "force-unlock" in caught.value.next_step
    assert deployment(config).plan().changes == ()


def test_a_new_worker_touches_nothing_else_and_none_is_taken_away(cluster: Applied) -> None:
    before = cluster.site.instances()
    config = cluster.config(spark="workers = 2")
    scaled = deployment(config)

    plan = scaled.plan()
    assert [(change.address, change.actions) for change in plan.changes] == [
        ('module.spark_cluster.module.worker["worker-2"].aws_cloudwatch_metric_alarm.idle[0]', ("create",)),
        ('module.spark_cluster.module.worker["worker-2"].aws_instance.this', ("create",)),
    ]
    outputs = scaled.apply(plan)

    after = cluster.site.instances()
    assert [machine.name for machine in outputs.workers] == ["worker-1", "worker-2"]
    assert {name: after[name] for name in before} == before
    assert after["worker-2"]["PrivateIpAddress"] == "127.77.20.33"
    with pytest.raises(GuardRefused, match="the plan would delete 1 machine") as caught:
        deployment(cluster.config(spark=ONE_WORKER)).plan()
    assert "(worker-2) would be deleted" in caught.value.cause
    assert "put spark.workers back" in caught.value.next_step
