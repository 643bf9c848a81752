"""A training whose client is gone: its job is cancelled, or it is killed, or it has detached from the run.

The systems that run jobs cancel one by signals, and in the end SIGKILL to all of its processes. Whatever pio-tf does
when the first signal comes, EC2 has been told to stop the machines before the job is killed, and the next command has
nothing to clear away. After a run without a client the driver powers itself off, and the sandbox stops its instance as
EC2 does. The tests share one cluster, in whatever state of power the one before has left it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.training import (
    TRAINING,
    behave,
    bring_up,
    contents,
    files,
    frozen,
    kept_there,
    listed,
    run_in,
    spark_in,
)
from tests.support.background import Client, wait_until, with_children
from tests.support.fork_server import PIO_TF
from tests.support.places import TOKEN, Webhook

if TYPE_CHECKING:
    from tests.support.sandbox_project import Project


CIDR = "127.77.73.0/24"
LONG = 300
"""Seconds: longer than any test waits."""
OFF = frozenset({"stopping", "stopped"})


@dataclass(frozen=True)
class System:
    """The signals of a CI system, and the seconds between them."""

    signals: tuple[tuple[float, signal.Signals], ...]
    killed_after: float


GITHUB = System(((0.0, signal.SIGINT), (7.5, signal.SIGTERM)), killed_after=10.0)
SOONEST_KILL = System(((0.0, signal.SIGTERM),), killed_after=10.0)
"""GitLab's and Jenkins's SIGTERM, with no more time than GitHub gives."""


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Return a stopped cluster for trainings."""
    bring_up(project, spark=False)
    behave(project, pauseSeconds=LONG)
    project.run("down")
    return project


@pytest.mark.parametrize("doing", ["Starting 3 of 3 machines", "Checking what the training needs"])
def test_a_job_cancelled_before_its_run_leaves_machines_stopping_and_no_lock(project: Project, doing: str) -> None:
    cancelled_before_its_run(project, doing, GITHUB, 130)


def test_a_job_cancelled_while_it_waits_for_spark_leaves_machines_stopping_and_no_lock(project: Project) -> None:
    with spark_in(project):  # its JVMs take seconds
        cancelled_before_its_run(project, "Waiting for SSH and Spark", SOONEST_KILL, 143)


def cancelled_before_its_run(project: Project, doing: str, system: System, code: int) -> None:
    with job(project) as client:
        client.says(doing)
        cancel(project, client, system)
        assert client.process.returncode in ended_by(code, system)
    assert listed(project) == {}
    next_command_works(project)


def test_a_job_cancelled_while_it_follows_a_run_leaves_its_log_on_the_driver(project: Project) -> None:
    with job(project) as client:
        client.says(TRAINING)
        cancel(project, client, GITHUB)
        assert client.process.returncode in ended_by(130, GITHUB)
        run = run_in(client.said)
    assert TRAINING in kept_there(project, run).joinpath("log").read_text()
    next_command_works(project)
    assert TRAINING in project.run("logs", run).stdout


def test_a_driver_that_does_not_answer_any_more_does_not_hold_up_the_stop(project: Project) -> None:
    with job(project) as client:
        client.says(TRAINING)
        with frozen(project, "driver"):
            cancel(project, client, GITHUB)
        run = run_in(client.said)
    assert TRAINING in kept_there(project, run).joinpath("log").read_text()
    next_command_works(project)


def test_a_driver_that_stops_answering_amid_the_checks_does_not_hold_up_the_stop(project: Project) -> None:
    with job(project) as client:
        client.says("Checking what the training needs")
        with frozen(project, "driver"):
            cancel(project, client, GITHUB)
    next_command_works(project)


def test_a_job_cancelled_while_terraform_plans_leaves_the_state_unlocked(project: Project) -> None:
    with_own_provider = replace(project, environment=project.environment | {"TF_REATTACH_PROVIDERS": ""})
    with project.edited("workers = 1", "workers = 2"), job(with_own_provider) as client:
        client.says("Planning")
        time.sleep(0.5)  # Terraform has begun
        cancel(project, client, GITHUB)
        assert client.process.returncode in ended_by(130, GITHUB)
    next_command_works(project)
    project.run("plan")


@pytest.fixture(scope="module")
def lingers_briefly(project: Project) -> None:
    """Let the driver linger for ten seconds after a training from now on."""
    project.config.write_text(project.config.read_text().replace('linger = "1h"', 'linger = "10s"'))


@pytest.mark.usefixtures("lingers_briefly")
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


@pytest.mark.usefixtures("lingers_briefly")
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


@pytest.mark.usefixtures("lingers_briefly")
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


def driver(project: Project) -> dict[str, Any]:
    (reservation,) = project.ec2.describe_instances(InstanceIds=[project.instance("driver")])["Reservations"]
    return dict(reservation["Instances"][0])


def job(project: Project) -> Client:
    """Start a step of a job: a shell that has become pio-tf, so that signals to the step's process reach it."""
    return Client(
        ["bash", "-e", "-c", f"true; exec {PIO_TF} train"],
        directory=project.directory,
        environment=project.environment,
    )


def cancel(project: Project, client: Client, system: System) -> None:
    """Cancel the job, to its end; the machines must be stopping, or stopped, before it would be killed."""
    start = time.monotonic()
    for after, number in system.signals:
        if wait_until(client.has_ended, within=start + after - time.monotonic()):
            break
        client.send(number)
    if not wait_until(client.has_ended, within=start + system.killed_after - time.monotonic()):
        for pid in with_children(client.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        client.process.wait()
    assert project.powers() <= OFF, client.said[-4000:]


def ended_by(code: int, system: System) -> set[int]:
    """Return the exit codes with which it may end: a later signal may end it when all is done."""
    return {code} | ({143, -signal.SIGTERM} if len(system.signals) > 1 else {-signal.SIGTERM})


def next_command_works(project: Project) -> None:
    """Check that the next command works without force: no lock is in its way."""
    project.run("down")
    assert project.powers() == {"stopped"}
