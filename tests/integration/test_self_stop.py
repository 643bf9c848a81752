"""A training whose client is gone: the driver powers itself off, and the sandbox stops its instance as EC2 does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.training import behave, bring_up, contents, files, kept_there, listed, run_in
from tests.support.background import wait_until
from tests.support.places import TOKEN, Webhook

if TYPE_CHECKING:
    from tests.support.sandbox_project import Project

CIDR = "127.77.79.0/25"


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Return a running cluster whose driver lingers for ten seconds after a training."""
    bring_up(project, spark=False)
    project.config.write_text(project.config.read_text().replace('linger = "1h"', 'linger = "10s"'))
    return project


def driver(project: Project) -> dict[str, Any]:
    (reservation,) = project.ec2.describe_instances(InstanceIds=[project.instance("driver")])["Reservations"]
    return dict(reservation["Instances"][0])


def test_the_driver_stops_after_a_detached_run_without_any_client_and_the_next_client_finds_the_run(
    project: Project,
) -> None:
    behave(project, pauseSeconds=20)
    detached = project.run("train", "--detach")
    run = run_in(detached.stdout)
    assert "they stop themselves, the driver 10 s after its end" in detached.stderr
    status = json.loads(project.run("status", "--json").stdout)
    assert (status["run"], status["powers_off_after"], status["power_off_problem"]) == (run, 10, None)
    assert wait_until(lambda: project.seen("driver") == "stopped", within=300)
    stopped = driver(project)
    assert stopped["State"]["Name"] == "stopped"
    assert stopped["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert (kept_there(project, run) / "ended").read_text().startswith("exit=0 ")
    assert project.powers() == {"running", "stopped"}  # the others follow it later
    project.run("up")
    assert listed(project)[run]["state"] == "succeeded"
    assert json.loads(project.run("status", "--json").stdout)["powers_off_after"] is None


def test_up_and_keep_up_take_the_power_off_back(project: Project) -> None:
    behave(project, pauseSeconds=600)
    run = run_in(project.run("train", "--detach").stdout)
    assert json.loads(project.run("status", "--json").stdout)["powers_off_after"] == 10
    project.run("up")
    assert json.loads(project.run("status", "--json").stdout)["powers_off_after"] is None
    project.run("cancel", run)
    behave(project)
    project.run("train", "--keep-up")
    status = json.loads(project.run("status", "--json").stdout)
    assert (status["powers_off_after"], project.powers()) == (None, {"running"})


def test_after_a_run_whose_client_is_killed_the_driver_tells_its_end_runs_its_commands_and_stops(
    project: Project,
) -> None:
    behave(project, pauseSeconds=20)
    webhook, text = Webhook(), project.config.read_text()
    with webhook.serve() as url:
        project.environment["WEBHOOK"] = url
        notify = 'notify {\n  webhook = env("WEBHOOK")\n}\n'
        project.config.write_text(
            text.replace('linger = "10s"', 'linger = "10s"\n  on_success = ["echo the server has the new model"]')
            + notify
        )
        with project.start("train") as client:
            client.says("Run 2")
            client.process.kill()
        assert wait_until(lambda: project.seen("driver") == "stopped", within=300)
    (document,) = webhook.documents
    run = document["run"]
    assert (document["event"], document["model"]) == ("succeeded", "")
    assert f"run: {run}, " in document["text"]
    assert document["cost_usd"] > 0
    assert not [path for path in files(project.home("driver")) if TOKEN.encode() in contents(path)]
    project.run("up")
    record = listed(project)[run]
    assert (record["state"], record["told_by"], record["on_success"]) == ("succeeded", "driver", 0)
    assert project.run("logs", run).stdout.splitlines()[-1] == "the server has the new model"
    project.run("down")
    assert project.powers() == {"stopped"}
    assert project.run("logs", run).stdout.splitlines()[-1] == "the server has the new model"  # this computer has it
