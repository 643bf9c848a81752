"""A zone without room for a worker, on a whole sandbox: nothing stays on, or the training continues without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.full_zone import FullZone
from tests.integration.training import bring_up, records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox_project import Project


CIDR = "127.77.75.0/24"


@pytest.fixture(scope="module")
def zone(project: Project) -> Iterator[FullZone]:
    """Stop a cluster of two workers, and fill the zone so that the second worker has no place."""
    with FullZone(project.sandbox.url) as full:
        text = project.config.read_text()
        assert text.count(project.sandbox.url) == 1
        text = text.replace(project.sandbox.url, full.url)
        project.config.write_text(text.replace('name = "trial"', 'name = "trial"\n  capacity_wait = "1s"'))
        bring_up(project, workers=2, spark=False)
        project.run("down")
        full.without_room.add(project.instance("worker-2"))
        yield full


@pytest.mark.usefixtures("zone")
def test_what_was_started_is_stopped_again_and_type_and_zone_are_named(project: Project) -> None:
    done = project.run("up", "--json", exit_code=5)
    assert project.powers() == {"stopped"}
    error = json.loads(done.stdout)["error"]
    kind = project.ec2.describe_instances(InstanceIds=[project.instance("worker-2")])["Reservations"][0]["Instances"][0]
    lacking = f"{kind['InstanceType']} in {kind['Placement']['AvailabilityZone']} (worker-2)"
    assert error["details"]["lacking"] == lacking
    assert f"AWS has no capacity for {lacking}" in error["cause"]
    assert "spark.min_workers" in error["next_step"]
    assert "Stopping the 3 machines that did start" in done.stderr


@pytest.mark.usefixtures("zone")
def test_a_training_goes_on_with_as_many_workers_as_are_enough_and_says_so(project: Project) -> None:
    with project.edited("workers = 2", "workers = 2\n  min_workers = 1"):
        done = project.run("train", "--keep-up")
        checks = {one["name"]: one for one in json.loads(project.run("check", "--json").stdout)["checks"]}
    assert "1 worker ALIVE" in checks["spark"]["detail"]
    project.run("down")
    assert "continuing with 1 of 2 workers" in done.stderr
    assert "without worker-2: AWS had no capacity for more workers" in done.stdout
    assert project.powers() == {"stopped"}
    record = records(project)[-1]
    assert (record["state"], record["absent"]) == ("succeeded", ["worker-2"])
    assert [machine.split()[0] for machine in record["machines"]] == ["driver", "master", "worker-1"]


def test_a_worker_whose_type_is_sold_out_starts_as_the_next_and_no_plan_takes_that_back(
    project: Project, zone: FullZone
) -> None:
    zone.without_room.add(project.instance("worker-2"))
    with project.edited(r'  instance_type = "t3.medium"', '  instance_types = ["t3.medium", "t3.large"]'):
        done = project.run("up")
        assert "AWS has no capacity for t3.medium in " in done.stderr
        assert "(worker-2): trying t3.large" in done.stderr
        types = {name: machine["instance_type"] for name, machine in project.machines().items()}
        assert types == {**dict.fromkeys(("driver", "master", "worker-1"), "t3.medium"), "worker-2": "t3.large"}
        assert project.powers() == {"running"}
        project.run("down")
        assert project.run("plan").stdout.startswith("no changes")
        assert json.loads(project.run("drift", "--json").stdout)["drift"] is False
        zone.without_room.add(project.instance("worker-1"))
        again = project.run("up")
        assert "(worker-1): trying t3.large" in again.stderr
        project.run("down")
