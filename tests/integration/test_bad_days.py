"""Failures around a training, on a whole sandbox: each ends with a clear error and stopped machines.

The tests share one cluster. Most leave the machines running; the last ones switch them off and on.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.cli.printable import printable
from tests.integration.line import BadLine
from tests.integration.training import (
    PIO_WITHOUT_SPARK,
    TRAINING,
    behave,
    bring_up,
    engine,
    kept_here,
    kept_there,
    listed,
    records,
    run_in,
)
from tests.support.background import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox_project import Project


CIDR = "127.77.61.128/25"
LONG = 300
"""Seconds: longer than any test waits."""
CLIENT_MIB = 160
"""A client has 125 of them, and would have more with the 50 MB of a log in its memory."""


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Return a running cluster for trainings."""
    return bring_up(project, spark=False)


@pytest.mark.parametrize(
    ("check", "path"), [("engine", "engine"), ("built", "engine/target"), ("pio", f"{PIO_WITHOUT_SPARK}/bin/pio")]
)
def test_what_is_missing_on_the_driver_is_named_before_a_run_starts(project: Project, check: str, path: str) -> None:
    with away(project.home("driver") / path):
        done = project.run("train", "--keep-up", exit_code=5)
    assert f"not ready to train, 1 check failed: {check}" in done.stderr
    assert f"--skip-check {check}" in done.stderr
    nothing_has_started(project)


def test_an_engine_json_that_is_not_json_is_named_with_its_place(project: Project) -> None:
    with broken_engine(project):
        done = project.run("train", "--keep-up", exit_code=5)
    assert "1 check failed: engine" in done.stderr
    assert "~/engine/engine.json" in done.stderr
    nothing_has_started(project)


@pytest.mark.parametrize(("listens", "says"), [(False, "refused"), (True, "no answer within")], ids=["down", "hanging"])
def test_an_elasticsearch_that_does_not_answer_is_named_before_a_run_starts(
    project: Project, listens: bool, says: str
) -> None:
    with socket.socket() as mute:
        mute.bind((project.sandbox.services.host, 0))
        if listens:
            mute.listen()
        port = mute.getsockname()[1]
        with project.edited(rf"(?m)^(  port\s*= ){project.sandbox.services.elasticsearch}$", rf"\g<1>{port}"):
            done = project.run("train", "--keep-up", exit_code=5)
    assert "1 check failed: elasticsearch" in done.stderr
    assert f"elasticsearch: http://{project.sandbox.services.host}:{port}" in done.stderr
    assert says in done.stderr
    nothing_has_started(project)


def test_a_check_that_is_not_there_cannot_be_skipped(project: Project) -> None:
    assert "elasticsearch, model, hdfs" in project.run("train", "--skip-check", "elastic", exit_code=2).stderr


def test_an_engine_that_is_not_built_fails_when_the_check_is_skipped_and_train_build_mends_it(project: Project) -> None:
    behave(project, fail="exception")
    shutil.rmtree(engine(project) / "target")
    unbuilt = project.run("train", "--keep-up", "--skip-check", "built", exit_code=6)
    assert "built: skipped" in unbuilt.stderr
    assert "Aborting workflow" in unbuilt.stdout
    built = project.run("train", "--keep-up", "--build", exit_code=6)
    assert "Build finished successfully." in built.stdout
    assert "engine.json asks the stand-in to fail" in built.stderr


def test_megabytes_a_second_need_little_memory_and_every_byte_is_kept(project: Project) -> None:
    behave(project, noiseMegabytes=50, binary=True, fail="exception")
    with project.start("train", "--keep-up") as client:
        said = client.ends(6)
        assert client.peak_mib < CLIENT_MIB
    run = run_in(said)
    here, there = kept_here(project, run) / "log", kept_there(project, run) / "log"
    assert filecmp.cmp(here, there, shallow=False)
    log = here.read_bytes()
    assert len(log) > 49_000_000
    assert b"\xff\xfe\x00\xc3(" in log
    assert as_shown(log) in said
    assert "engine.json asks the stand-in to fail" in records(project)[-1]["cause"]


def test_no_line_is_lost_or_repeated_on_a_line_that_is_cut_every_two_seconds(project: Project) -> None:
    behave(project, noiseMegabytes=5, fail="exception")
    with BadLine(project.address("driver"), project.sandbox.ssh_port) as line:
        other = project.changed(rf"(?m)^(  port\s*= ){project.sandbox.ssh_port}$", rf"\g<1>{line.port}")
        run = run_in(project.run("train", "--detach").stdout)
        with project.start("train", "--attach", "--keep-up", "--config", str(other)) as client:
            client.says("[Noise]")
            while not wait_until(client.has_ended, within=2.0):
                line.cut()
            said = client.ends(6)
            shown = client.out.read_text()
    log = kept_there(project, run).joinpath("log").read_bytes()
    assert line.cuts >= 3
    assert shown == log.decode()
    assert kept_here(project, run).joinpath("log").read_bytes() == log
    assert said.count("lost the connection to the log") == 1


def test_a_driver_whose_disk_is_full_is_told_as_the_cause(project: Project) -> None:
    behave(project, noiseMegabytes=3)
    with small_disk(project.home("driver") / ".pio-tf" / "runs"):
        done = project.run("train", "--keep-up", "--skip-check", "disk", exit_code=6)
    assert "could not be written to its end" in done.stderr
    assert "0 MiB are free on the driver's disk" in done.stderr
    record = records(project)[-1]
    assert record["state"] == "failed"
    assert kept_here(project, record["id"]).joinpath("log").stat().st_size > 900_000


def test_check_finds_what_train_would_and_a_refused_train_stops_the_machines(project: Project) -> None:
    with broken_engine(project):
        checks = json.loads(project.run("check", "--json", exit_code=5).stdout)["checks"]
        assert [check["name"] for check in checks if check["status"] == "failed"] == ["engine"]
        project.run("train", exit_code=5)
    assert project.powers() == {"stopped"}
    nothing_has_started(project)


def test_a_run_whose_driver_restarts_is_lost_and_the_machines_are_stopped(project: Project) -> None:
    behave(project, pauseSeconds=LONG)
    with project.start("train") as client:
        client.says(TRAINING)
        project.ec2.reboot_instances(InstanceIds=[project.instance("driver")])
        said = client.ends(6)
    assert "socket.send" not in said
    assert "its process disappeared" in said
    assert "the driver restarted" in said
    assert "`last -x`" in said
    assert project.powers() == {"stopped"}
    record = records(project)[-1]
    assert (record["state"], record["exit_status"]) == ("lost", None)
    assert "the driver restarted" in record["cause"]
    assert TRAINING in project.run("logs").stdout


def test_a_client_whose_driver_is_switched_off_ends_soon_and_stops_the_rest(project: Project) -> None:
    behave(project, pauseSeconds=LONG)
    with project.start("train") as client:
        client.says(TRAINING)
        run = run_in(client.said)
        project.ec2.stop_instances(InstanceIds=[project.instance("driver")])
        began = time.monotonic()
        said = client.ends(1)
        assert time.monotonic() - began < 120
    assert f"could not ask the driver about run {run}: the driver's power is off" in said
    assert f"run `pio-tf up`, then `pio-tf logs {run}` to see its log" in said
    assert project.powers() == {"stopped"}
    assert listed(project)[run]["state"] == "unknown"
    project.run("up")
    assert listed(project)[run]["state"] == "lost"
    assert f"run {run} lost: its log and record are in" in project.run("down").stderr
    assert TRAINING in project.run("logs", run).stdout


def as_shown(log: bytes) -> str:
    """Return what a client prints of a log. Its lines repeat: each is decoded once."""
    lines = log.split(b"\n")
    shown = {line: printable(line.decode(errors="replace")) for line in set(lines)}
    return "\n".join(shown[line] for line in lines)


@contextlib.contextmanager
def away(path: Path) -> Iterator[None]:
    """Move a file away during the block."""
    elsewhere = path.with_name(f"{path.name}.away")
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


@contextlib.contextmanager
def broken_engine(project: Project) -> Iterator[None]:
    """Write an engine.json with a comma too many."""
    path = engine(project) / "engine.json"
    good = path.read_text()
    path.write_text('{"id": "default",}')
    try:
        yield
    finally:
        path.write_text(good)


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Mount a disk of one megabyte there. Only root may mount one."""
    if os.geteuid() != 0:
        pytest.skip("a disk that fills up needs a mount, and that needs root")
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a disk that fills up cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(path)], check=True)


def nothing_has_started(project: Project) -> None:
    """Check that neither the driver nor this computer has a run that the tests before have not started."""
    there = {path.name for path in project.home("driver").glob(".pio-tf/runs/*")}
    assert there <= {record["id"] for record in records(project)}
    assert all(record["started"] for record in records(project))
