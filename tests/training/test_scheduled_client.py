"""The client's side of trainings on AWS's schedule, over real SSH: what it leaves on the driver, and what it finds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import TrainingFailed
from pio_tf.events import Event, Warned
from pio_tf.training.redact import Redactor
from pio_tf.training.runs.driver_runs import DriverRuns
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.runs.run_copies import Archive
from pio_tf.training.scheduled import OWNER, ScheduledTraining, install_schedule, remove_schedule
from tests.support.builders import OUTPUTS
from tests.support.driver_runs import make_finish
from tests.support.ssh_cluster import put_first_on_path

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.remote.ssh import ClusterConnection
    from tests.support.ssh_cluster import TestCluster

SUDO = """#!/bin/bash
[[ ! -e ~/no-root ]] || { echo "sudo: a password is required" >&2; exit 1; }
echo "$*" >>~/asked
[[ $* == *cat* ]] && cat >~/unit
"""
RECORD = RunRecord(id="", cluster="ur", client=Client(OWNER, "driver", 0, ""), command="pio train", engine_dir="~/ur")
RUN, DUE = "20261129T030212Z-0a1b", "2026-11-29T03:00:00Z"


@pytest.fixture(autouse=True)
def sudo(tmp_path: Path, no_ssh_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_on_path("sudo", SUDO, tmp_path, monkeypatch)


async def install(remote: ClusterConnection, cluster: TestCluster, token: str) -> list[Event]:
    events: list[Event] = []
    training = ScheduledTraining(token, RECORD, "pio train", Redactor(["pa55word"]), {"spark.driver.memory": "20g"})
    await install_schedule(remote, cluster.config(), OUTPUTS, training, report=events.append)
    return events


async def test_the_driver_gets_the_training_and_a_unit_and_loses_them_with_the_schedule(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    assert await install(remote, cluster, "token-1") == []
    assert await install(remote, cluster, "token-2") == []
    home = cluster.driver.home
    directory = home / ".pio-tf" / "scheduled"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert f"ExecStart=/bin/bash {directory}/program boot\n" in (home / "unit").read_text()
    assert "KillMode=process" in (home / "unit").read_text()
    assert "systemctl enable pio-tf-scheduled.service" in (home / "asked").read_text()
    assert (await DriverRuns(remote).state()).schedule_token == "token-2"

    await remove_schedule(remote)
    assert not directory.exists()
    assert "systemctl disable pio-tf-scheduled.service" in (home / "asked").read_text()
    assert (await DriverRuns(remote).state()).schedule_token == ""


async def test_a_driver_without_root_is_a_warning(cluster: TestCluster, remote: ClusterConnection) -> None:
    (cluster.driver.home / "no-root").touch()
    (warned,) = await install(remote, cluster, "token-1")
    assert warned == Warned("the driver cannot train on its schedule: sudo: a password is required")


async def test_the_next_client_finds_why_a_scheduled_training_was_missed(
    cluster: TestCluster, remote: ClusterConnection, tmp_path: Path
) -> None:
    directory = cluster.driver.home / ".pio-tf" / "runs" / RUN
    directory.mkdir(parents=True)
    record = RECORD.with_(id=RUN, scheduled=DUE)
    cause = "missed: a client uses the machines: ann on laptop"
    (directory / "record").write_text(record.to_json() + "\n")
    (directory / "result").write_text(record.with_(state="failed", cause=cause, ended=1.5).to_json() + "\n")
    (directory / "ended").write_text("exit=1 ended=1.5 filter=0 free=1\n")
    (directory / "log").write_text(f"2026-11-29T03:02:12Z pio-tf: {cause}\n")

    collected = await make_finish(remote, tmp_path).collect(RUN)
    assert (collected.state, collected.cause, collected.scheduled, collected.started) == ("failed", cause, DUE, None)
    assert cause in Archive(tmp_path / "runs").log(RUN).read_text()
    with pytest.raises(TrainingFailed, match="did not begin") as caught:
        await make_finish(remote, tmp_path).follow(RUN)
    assert caught.value.cause == cause


def test_a_record_of_an_older_pio_tf_was_no_schedules() -> None:
    raw = json.loads(RECORD.to_json())
    del raw["scheduled"]
    assert RunRecord.from_json(json.dumps(raw)).scheduled == ""
