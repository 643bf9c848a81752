"""Clusters of commit 9a03d57, taken over by today's pio-tf.

The tests of a cluster run in the order of the file, each on what the one before has left.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.light_spark import MACHINES, MARK
from tests.integration.training import spark_in
from tests.support.background import wait_until
from tests.support.whole_sandbox import whole_sandbox
from tests.upgrade.restore import DEADLINE, TEAM_UNFOLLOWED, OldCluster, restore_clusters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUCCEEDED, FAILED, UNFOLLOWED = "20261128T215636Z-91e3", "20261128T215948Z-6e1e", "20261128T220032Z-79f5"
CLAIM = "pio-tf/old-team/run.lock"


@pytest.fixture(scope="module")
def clusters(
    tmp_path_factory: pytest.TempPathFactory, released_mirror: Path, class_archive: None
) -> Iterator[dict[str, OldCluster]]:
    directory = tmp_path_factory.mktemp("sandbox")
    with whole_sandbox(directory, released=released_mirror, machine=MACHINES, hashed=True) as sandbox:
        (sandbox.info.directory / MARK).touch()  # one test trains with Spark
        yield restore_clusters(tmp_path_factory.mktemp("projects"), sandbox.info, sandbox.environment)


@pytest.fixture(scope="module")
def local(clusters: dict[str, OldCluster]) -> OldCluster:
    """Return the cluster with a local state."""
    return clusters["local"]


@pytest.fixture(scope="module")
def team(clusters: dict[str, OldCluster]) -> OldCluster:
    """Return the cluster with its state, runs and run lock in S3."""
    return clusters["team"]


def test_status_knows_the_machines_and_the_armed_deadline(local: OldCluster) -> None:
    status = json.loads(local.run("status", "--json").stdout)
    assert {one["name"]: one["instance_id"] for one in status["machines"]} == local.machines
    assert [one["private_ip"] for one in status["machines"]] == [f"127.77.214.{host}" for host in (10, 11, 12)]
    assert {one["in_outputs"] for one in status["machines"]} == {True}
    assert datetime.fromisoformat(status["deadline"]) == DEADLINE
    assert status["run"] is None


def test_status_says_that_the_old_machines_do_not_stop_by_themselves(local: OldCluster) -> None:
    status = json.loads(local.run("status", "--json").stdout)
    assert (status["powers_off_after"], status["without_timer"]) == (None, ["master", "worker-1"])
    assert "the machines do not stop by themselves after a training" in local.run("status").stdout


def test_outputs_of_the_old_state_are_read(local: OldCluster) -> None:
    assert json.loads(local.run("output", "--json").stdout) == local.json("said/output.json")


def test_a_plan_finds_no_changes(local: OldCluster) -> None:
    plan = json.loads(local.run("plan", "--json", "--detailed-exitcode").stdout)
    assert plan["has_changes"] is False
    assert plan["changes"] == []


def test_the_pinned_host_keys_are_those_of_the_machines(local: OldCluster) -> None:
    pinned = json.loads(local.run("host-keys", "--json").stdout)
    assert {one["machine"]: one["id"] for one in pinned["host_keys"]} == local.machines
    assert {one["learned"] for one in pinned["host_keys"]} == {"console"}
    assert local.text("project/pio-tf/old-local/known_hosts") == (local.own_files / "known_hosts").read_text()


def known_before(record: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Return a run's record without the fields that the old code did not have."""
    return {name: record[name] for name in old}


def listed(cluster: OldCluster, before: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs as `pio-tf runs` lists them now, without the fields that the old code did not have."""
    runs = json.loads(cluster.run("runs", "--json").stdout)["runs"]
    return [known_before(run, old) for run, old in zip(runs, before["runs"], strict=True)]


def test_runs_are_listed_as_the_old_code_listed_them(local: OldCluster) -> None:
    before = local.json("said/runs.json")
    assert listed(local, before) == before["runs"]


@pytest.mark.parametrize("run", [SUCCEEDED, FAILED, UNFOLLOWED])
def test_logs_shows_the_log_of_every_run(local: OldCluster, run: str) -> None:
    assert local.run("logs", run).stdout == local.text(f"driver/pio-tf/runs/{run}/log")


def test_down_collects_the_unfollowed_run_and_releases_the_deadline(local: OldCluster) -> None:
    expected = local.json("said/runs-after-down.json")
    local.serve_model(expected["runs"][-1])
    local.run("down")
    assert listed(local, expected) == expected["runs"]
    assert (local.own_files / "runs" / UNFOLLOWED / "log").read_text() == local.text(
        f"driver/pio-tf/runs/{UNFOLLOWED}/log"
    )
    schedule = local.schedule()
    assert schedule["Name"] == "pio-tf-old-local"
    at = datetime.strptime(schedule["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=timezone.utc)
    assert at < datetime.now(timezone.utc) + timedelta(minutes=20)
    assert set(json.loads(schedule["Target"]["Input"])["InstanceIds"]) == set(local.machines.values())


def test_train_starts_the_same_machines_and_leaves_a_model(local: OldCluster) -> None:
    home = local.disk("driver") / "home"
    notes = set((home / ".pio-tf" / "written").iterdir())
    parallelism = local.project.edited(r'("spark.default.parallelism"\s*=\s*)"4"', r'\1"5"')
    with parallelism, spark_in(local.project):
        local.run("train")
    assert "spark.default.parallelism 5\n" in (home / "spark" / "conf" / "spark-defaults.conf").read_text()
    # The old checksums say that the file was pio-tf's own: it is replaced, and not kept aside as a user's.
    written = set((home / ".pio-tf" / "written").iterdir())
    assert written >= notes
    (new,) = written - notes  # of a file that the old code did not write
    assert new.read_text().endswith("/pio/conf/log4j.properties\n")
    assert not list((home / "spark").rglob("spark-defaults.conf.*"))
    assert (home / ".pio-tf" / "followers").read_text() == "master worker-1\n"
    for follower in ("master", "worker-1"):
        assert "\nDRIVER=127.77.214.10\n" in (local.disk(follower) / "follow-driver").read_text()
    runs = json.loads(local.run("runs", "--json").stdout)["runs"]
    assert [run["state"] for run in runs] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert {run["id"] for run in runs} > {SUCCEEDED, FAILED, UNFOLLOWED}
    assert runs[-1]["model"].startswith("urindex_")
    status = json.loads(local.run("status", "--json").stdout)
    assert {one["instance_id"]: one["state"] for one in status["machines"]} == dict.fromkeys(
        local.machines.values(), "stopped"
    )


def test_the_pinned_host_keys_are_kept(local: OldCluster) -> None:
    assert (local.own_files / "known_hosts").read_text() == local.text("project/pio-tf/old-local/known_hosts")


def test_a_plan_of_stopped_machines_finds_no_changes(local: OldCluster) -> None:
    assert json.loads(local.run("plan", "--json", "--detailed-exitcode").stdout)["changes"] == []


def test_a_plan_with_another_worker_warns_of_the_spark_of_the_machines_that_exist(local: OldCluster) -> None:
    with local.project.edited(r"(workers +=) 1", r"\1 2"):
        plan = local.run("plan")
    assert "worker-2 would get Spark 2.1.3, but machines of this cluster were created with 2.4.8" in " ".join(
        plan.stderr.split()
    )


def test_a_plan_with_the_state_in_s3_finds_no_changes(team: OldCluster) -> None:
    assert json.loads(team.run("plan", "--json", "--detailed-exitcode").stdout)["changes"] == []
    assert "pio-tf/old-team/terraform.tfstate" in team.objects()
    assert not list((team.own_files / "stack").glob("terraform.tfstate*"))


def test_runs_of_the_team_are_listed_as_the_old_code_listed_them(team: OldCluster) -> None:
    before = team.json("said/runs.json")
    assert listed(team, before) == before["runs"]


async def test_a_run_that_the_old_code_started_is_followed_and_cancelled(team: OldCluster) -> None:
    run = "20261128T222000Z-0123"
    await team.start_run(run, "echo Training has begun; sleep 600")
    assert json.loads(team.run("status", "--json").stdout)["run"] == run
    assert wait_until(lambda: team.project.run("logs", run).stdout == "Training has begun\n")
    team.run("logs", run)
    assert run in team.run("down", exit_code=4).stderr
    team.run("cancel", run)
    runs = {one["id"]: one["state"] for one in json.loads(team.run("runs", "--json").stdout)["runs"]}
    assert runs[run] == "cancelled"


def test_down_collects_the_teams_run_and_releases_its_claim(team: OldCluster) -> None:
    assert json.loads(team.objects()[CLAIM])["run"] == TEAM_UNFOLLOWED
    expected = team.json("said/record-after-down.json")
    team.serve_model(expected)
    team.run("down")
    objects = team.objects()
    assert CLAIM not in objects
    record = json.loads(objects[f"pio-tf/old-team/runs/{TEAM_UNFOLLOWED}/record.json"])
    assert known_before(record, expected) == expected
    assert objects[f"pio-tf/old-team/runs/{TEAM_UNFOLLOWED}/log"] == team.text(
        f"driver/pio-tf/runs/{TEAM_UNFOLLOWED}/log"
    )


def test_a_claim_of_an_old_client_that_starts_machines_is_respected(team: OldCluster) -> None:
    claim = team.json("claim-while-starting.json")
    team.put(CLAIM, json.dumps({**claim, "since": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}))
    refused = team.run("train", exit_code=4).stderr
    assert f"{claim['owner']} on {claim['host']}" in refused
    assert claim["run"] in refused
    assert json.loads(team.objects()[CLAIM])["run"] == claim["run"]
    assert {one["state"] for one in json.loads(team.run("status", "--json").stdout)["machines"]} == {"stopped"}


def test_destroy_removes_the_old_cluster(local: OldCluster) -> None:
    local.run("destroy", "--confirm", "old-local")
    assert json.loads(local.run("status", "--json").stdout)["machines"] == []
