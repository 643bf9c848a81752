"""Durable runs on a whole sandbox: followed, detached, attached to, cancelled, found again, collected.

The tests share one cluster, in whatever state of power the one before has left it.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.training import (
    PASSWORD,
    PIO_WITHOUT_SPARK,
    TRAINING,
    USER,
    behave,
    bring_up,
    contents,
    engine,
    files,
    frozen,
    kept_here,
    kept_there,
    listed,
    records,
    run_in,
)
from tests.support.background import wait_until
from tests.support.engine_project import git, repository
from tests.support.fork_server import PIO_TF

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox_project import Project


CIDR = "127.77.61.0/25"
LONG = 300
"""Seconds: longer than any test waits."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Return a running cluster for trainings."""
    return bring_up(project, spark=False)


def test_a_run_is_followed_to_its_end_and_what_proves_its_model_is_kept(project: Project) -> None:
    done = project.run("train", "--keep-up")
    (record,) = records(project)
    run = record["id"]
    *lines, head, exit_status, success_line, instance, alias, closing = done.stdout.splitlines()
    assert lines[-1] == "[INFO] [CoreWorkflow$] Training completed successfully."
    assert head.split() == ["PROOF", "HOLDS", "FOUND"]
    assert [row.split("  ")[0] for row in (exit_status, success_line, instance, alias)] == [
        proof["name"] for proof in record["proofs"]
    ]
    assert all(proof["held"] for proof in record["proofs"])
    assert f"points to {record['model']}, which is new" in alias
    assert closing.startswith(f"run {run}: succeeded after ")

    assert sorted(path.name for path in kept_here(project, run).iterdir()) == ["log", "record.json"]
    log = kept_here(project, run).joinpath("log")
    assert log.read_text().splitlines() == lines
    assert log.read_bytes() == kept_there(project, run).joinpath("log").read_bytes()
    assert json.loads(kept_there(project, run).joinpath("result").read_text()) == record
    assert (record["state"], record["exit_status"], record["cause"]) == ("succeeded", 0, "")
    assert record["log_bytes"] == log.stat().st_size
    assert record["client"]["owner"] == getpass.getuser()
    assert [machine.split()[0] for machine in record["machines"]] == ["driver", "master", "worker-1"]
    assert project.powers() == {"running"}


def test_no_secret_is_shown_or_kept_but_in_pio_env_sh(project: Project) -> None:
    (record,) = records(project)
    log = kept_here(project, record["id"]).joinpath("log").read_text()
    assert f"PIO_STORAGE_SOURCES_ELASTICSEARCH_USERNAME={USER}" in log
    assert "PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=***" in log
    assert PASSWORD not in project.run("logs").stdout
    with_it = [path for path in files(project.directory, project.home("driver")) if PASSWORD.encode() in contents(path)]
    homes = [project.home("driver") / name for name in ("pio", PIO_WITHOUT_SPARK)]  # of `up` and of `train`
    assert sorted(with_it) == [home / "conf" / "pio-env.sh" for home in homes]
    assert [path.stat().st_mode & 0o077 for path in with_it] == [0, 0]


def test_a_training_pushes_and_builds_the_engine_and_its_record_names_the_commit(
    project: Project, tmp_path: Path
) -> None:
    sources = repository(tmp_path / "my-engine")
    shutil.copy(engine(project) / "engine.json", sources)
    commit = git(sources, "rev-parse", "HEAD")
    block = f'engine_dir = "~/engine"\n  engine {{\n    source = "{sources}"\n  }}'
    with project.edited('engine_dir = "~/engine"', block):
        done = project.run("train", "--keep-up")
        assert "pushed 4 files" in done.stderr  # not engine.json, which is the same
        assert "Building the engine in ~/engine" in done.stderr
        (sources / "README.md").write_text("no reason for a build\n")
        git(sources, "add", "README.md")
        done = project.run("train", "--keep-up")
        assert "pushed 1 file " in done.stderr
        assert "Building the engine" not in done.stderr
    first, second = (record["engine"] for record in records(project)[-2:])
    assert (first["commit"], first["uncommitted"], first["edited"], first["stale_build"]) == (
        commit,
        True,
        False,
        False,
    )
    assert second["digest"] != first["digest"]
    assert second["engine_json"] == first["engine_json"] == sha256(sources / "engine.json")
    shown = project.run("runs", "show", records(project)[-1]["id"]).stdout
    assert f"engine: commit {commit[:12]} with uncommitted changes, sources {second['digest'][:12]}" in shown
    assert (engine(project) / "events.jsonl").exists()  # the driver's own


def test_a_saved_engine_trains_on_a_driver_that_has_neither_engine_nor_caches(project: Project) -> None:
    home = project.home("driver")
    jar = home / ".ivy2" / "cache" / "lib.jar"
    jar.parent.mkdir(parents=True)
    jar.write_text("a library")
    saved = json.loads(project.run("engine", "save", "--json").stdout)
    assert [part["name"] for part in saved["parts"]] == ["engine", "home/.ivy2/cache"]
    shutil.rmtree(engine(project))
    shutil.rmtree(home / ".ivy2")
    project.run("train", "--keep-up", exit_code=5)
    restored = project.run("engine", "restore", saved["archive"])
    assert f"the engine is in {saved['engine_dir']} as it was saved at {saved['saved']}" in restored.stdout
    assert jar.read_text() == "a library"
    project.run("train", "--keep-up")
    *_, before, after = (record["engine"] for record in records(project))
    assert before == after


def test_a_detached_run_is_attached_to_twice_while_it_goes_on_and_after_its_end(project: Project) -> None:
    behave(project, pauseSeconds=10)
    detached = project.run("train", "--detach")
    run = run_in(detached.stdout)
    assert f"`pio-tf train --attach {run}`" in detached.stderr
    assert listed(project)[run]["state"] == "running"
    assert "Submission command" in project.run("logs").stdout
    first = project.run("train", "--attach", "--keep-up")
    again = project.run("train", "--attach", run, "--keep-up")
    assert f"run {run}: succeeded" in first.stdout
    assert again.stdout == first.stdout
    assert project.powers() == {"running"}


def test_a_run_goes_on_when_its_client_is_killed_and_whoever_attaches_to_it_stops_the_machines(
    project: Project,
) -> None:
    behave(project, pauseSeconds=6)
    with project.start("train") as client:
        client.says(TRAINING)
        with frozen(project, "driver", "train.py"):
            client.send(signal.SIGKILL)
            client.process.wait()
            run = run_in(client.said)
            assert project.powers() == {"running"}
            assert listed(project)[run]["state"] == "running"
    done = project.run("train", "--attach")
    assert f"run {run}: succeeded" in done.stdout
    assert project.powers() == {"stopped"}
    log = project.run("logs", run).stdout
    assert "Submission command" in log
    assert done.stdout.startswith(log)
    assert listed(project)[run]["state"] == "succeeded"


def test_a_run_that_fails_is_exit_code_6_with_its_first_cause_and_the_machines_stopped(project: Project) -> None:
    behave(project, fail="exception")
    done = project.run("train", exit_code=6)
    assert "java.lang.IllegalArgumentException: engine.json asks the stand-in to fail" in done.stderr
    assert "next:" in done.stderr
    assert project.powers() == {"stopped"}
    *_, record = records(project)
    assert (record["state"], record["exit_status"]) == ("failed", 1)
    assert "asks the stand-in to fail" in record["cause"]
    assert "Job aborted by the stand-in" in project.run("logs").stdout


def test_a_full_heap_names_the_size_that_would_do(project: Project) -> None:
    behave(project, fail="heap")
    done = project.run("train", exit_code=6)
    advice = "driver: its heap was full; remove driver.memory: t3.medium can hold a heap of 2.6 GiB instead of 0.5 GiB"
    assert advice in done.stderr
    assert project.powers() == {"stopped"}
    shown = json.loads(project.run("runs", "show", "--json").stdout)
    assert shown["sign"] == "heap"
    assert [one["text"] for one in shown["size_advice"]] == [advice]


def test_nobody_trains_or_stops_the_machines_while_a_run_is_active_unless_by_force(
    project: Project, tmp_path: Path
) -> None:
    sources = str(repository(tmp_path / "my-engine"))
    behave(project, pauseSeconds=LONG)
    run = run_in(project.run("train", "--detach").stdout)
    me = f"{getpass.getuser()} on {socket.gethostname()}"
    for refused in (["train"], ["down"], ["destroy", "--confirm", "trial"], ["engine", "push", sources]):
        said = project.run(*refused, exit_code=4).stderr
        assert f"run {run} is active, started by {me}" in said
        assert project.powers() == {"running"}
    assert listed(project)[run]["state"] == "running"
    project.run("down", "--force")
    assert project.powers() == {"stopped"}
    *_, record = records(project)
    assert (record["id"], record["state"]) == (run, "cancelled")
    assert "Submission command" in project.run("logs", run).stdout


def test_down_takes_the_logs_and_records_of_ended_runs_along(project: Project, tmp_path: Path) -> None:
    behave(project, fail="exception")
    run = run_in(project.run("train", "--detach").stdout)
    other = project.copy(tmp_path / "another")
    assert wait_until(lambda: kept_there(project, run).joinpath("ended").exists(), within=300)
    shutil.rmtree(kept_here(project, run))
    said = other.run("down").stderr
    assert f"run {run} failed: its log and record are in {kept_here(other, run)}" in said
    assert project.powers() == {"stopped"}
    record = records(other)[-1]
    assert (record["id"], record["state"]) == (run, "failed")
    assert "asks the stand-in to fail" in record["cause"]
    assert "asks the stand-in to fail" in other.run("logs", run).stdout
    assert run not in listed(project)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_followed_run_ends_with_its_interrupted_client_and_its_log_is_kept(
    project: Project, number: signal.Signals, code: int
) -> None:
    behave(project, pauseSeconds=LONG)
    with project.start("train") as client:
        client.says(TRAINING)
        client.send(number)
        said = client.ends(code)
    assert project.powers() == {"stopped"}
    *_, record = records(project)
    assert f"interrupted: ending run {record['id']}; then the machines stop; Ctrl-C again stops them now" in said
    assert record["state"] == "cancelled"
    assert record["exit_status"] in (128 + signal.SIGTERM, 128 + signal.SIGKILL)
    assert TRAINING in project.run("logs").stdout


def test_a_training_whose_log_nobody_reads_is_ended_and_its_machines_are_stopped(project: Project) -> None:
    behave(project, noiseMegabytes=5, pauseSeconds=LONG)
    ran = subprocess.run(
        ["/bin/bash", "-c", f"{PIO_TF} train 2>&1 | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=project.directory,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.stdout.splitlines()[-1] == "141"
    assert "Traceback" not in ran.stderr
    assert project.powers() == {"stopped"}
    assert records(project)[-1]["state"] == "cancelled"


def test_two_interruptions_in_a_row_stop_the_machines_at_once(project: Project) -> None:
    behave(project, pauseSeconds=LONG)
    with project.start("train") as client:
        client.says(TRAINING)
        client.send(signal.SIGINT)
        client.says("Ctrl-C again stops them now")
        client.send(signal.SIGINT)
        said = client.ends(130)
    assert "stopping the machines" in said
    assert project.powers() == {"stopped"}


def test_an_interrupted_run_whose_machines_stay_up_is_not_said_to_stop_them(project: Project) -> None:
    behave(project, pauseSeconds=LONG)
    with project.start("train", "--keep-up") as client:
        client.says(TRAINING)
        client.send(signal.SIGINT)
        said = client.ends(130)
    assert f"interrupted: ending run {run_in(said)}; the machines keep running" in said
    assert "AWS stops them at" in said
    assert project.powers() == {"running"}


def test_what_is_left_of_a_cluster_is_followed_and_stopped_though_a_worker_was_terminated(project: Project) -> None:
    run = run_in(project.run("train", "--detach").stdout)
    project.ec2.terminate_instances(InstanceIds=[project.instance("worker-1")])
    project.run("cancel")
    assert listed(project)[run]["state"] == "cancelled"
    assert f"run {run} was cancelled by" in project.run("train", "--attach", exit_code=6).stderr
    assert project.powers() == {"stopped", "terminated"}
