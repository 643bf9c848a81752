"""Runs beside the state in S3: any client finds their records and logs, also while the driver is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import AwsError
from pio_tf.events import Done, Event, Warned
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.runs.record import Client, RunRecord, new_run_id
from pio_tf.training.runs.run_copies import Archive, merge_records, shared_records
from pio_tf.training.runs.run_storage import read_saved_log
from tests.support.driver_runs import SUCCESS, make_finish, started
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.training.bucket_world import make_objects, make_run_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.training.runs.record import RunState
    from pio_tf.training.runs.run_copies import RunBucket


ANN = Client("ann", "laptop", 17, "2026-11-23T18:00:00Z")


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture
def bucket(aws: LocalAws) -> RunBucket:
    return make_run_bucket(aws)[0]


def record(run: str = "", state: RunState = "succeeded") -> RunRecord:
    return RunRecord(
        id=run or new_run_id(), cluster="ur", client=ANN, command="pio train", engine_dir="/engine", state=state
    )


def kept(archive: Archive, record: RunRecord, log: str = "one\ntwo\n") -> Path:
    directory = archive.save(record).parent
    (directory / "log").write_text(log)
    return directory


def test_a_run_that_ended_is_kept_under_the_states_directory(bucket: RunBucket, tmp_path: Path) -> None:
    run = record()
    address = bucket.put(run, kept(Archive(tmp_path), run))
    assert address == f"s3://{bucket.objects.bucket}/pio-tf/ur/runs/{run.id}/"
    found = bucket.objects.read(f"pio-tf/ur/runs/{run.id}/log")
    assert found is not None
    assert found.body == b"one\ntwo\n"
    assert bucket.records() == (run,)


def test_records_come_oldest_first_and_what_is_none_is_left_out(bucket: RunBucket) -> None:
    later, earlier = record("20261124T000000Z-0000"), record("20261123T000000Z-ffff", "running")
    bucket.begin(later)
    bucket.begin(earlier)
    bucket.objects.write("pio-tf/ur/runs/20261125T000000Z-0000/record.json", b"{}")
    bucket.objects.write("pio-tf/ur/runs/notes/record.json", later.to_json().encode())
    assert bucket.records() == (earlier, later)
    assert bucket.has(later.id)
    assert not bucket.has("20261126T000000Z-0000")
    assert not bucket.has("../..")


def test_another_client_reads_the_log_of_a_run_that_it_never_saw(bucket: RunBucket, tmp_path: Path) -> None:
    run = record()
    bucket.put(run, kept(Archive(tmp_path / "ann"), run))
    bob = Archive(tmp_path / "bob")
    lines: list[str] = []
    read_saved_log(run.id, bob, bucket, lines.append)
    assert "".join(lines) == "one\ntwo\n"
    assert bob.log(run.id).stat().st_mode & 0o777 == 0o600
    assert list(bob.log(run.id).parent.iterdir()) == [bob.log(run.id)]


def test_a_log_that_is_here_whole_is_not_fetched_and_half_of_one_is(bucket: RunBucket, tmp_path: Path) -> None:
    archive, run = Archive(tmp_path), record()
    bucket.put(run, kept(archive, run))
    kept(archive, run, "mine\n")
    lines: list[str] = []
    read_saved_log(run.id, archive, bucket, lines.append)
    assert "".join(lines) == "mine\n"
    kept(archive, run.with_(state="running"), "on")
    read_saved_log(run.id, archive, bucket, lines.append)
    assert "".join(lines) == "mine\none\ntwo\n"


def test_a_run_without_a_log_has_no_lines(bucket: RunBucket, tmp_path: Path) -> None:
    run = record(state="running")
    bucket.begin(run)
    read_saved_log(run.id, Archive(tmp_path), bucket, lambda line: pytest.fail(line))


def test_runs_of_all_clients_are_told_with_what_is_known_best_of_each(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    mine = record("20261123T000000Z-0001")
    cut_off = record("20261123T000000Z-0002", "running")
    going = record("20261123T000000Z-0003", "running")
    theirs = record("20261123T000000Z-0004", "failed")
    archive.save(mine)
    archive.save(cut_off)
    shared = (cut_off.with_(state="succeeded"), going, theirs)
    assert [(run.id[-1], run.state) for run in merge_records(archive, None, shared)] == [
        ("1", "succeeded"),
        ("2", "succeeded"),
        ("3", "unknown"),
        ("4", "failed"),
    ]
    on_driver = {going.id: going}
    assert [run.state for run in merge_records(archive, on_driver, shared)][2] == "running"
    assert [run.state for run in merge_records(archive, {}, shared)][2] == "lost"


def test_without_the_bucket_the_other_runs_are_told_all_the_same(aws: LocalAws) -> None:
    from pio_tf.training.runs.run_copies import RunBucket

    gone = RunBucket(make_objects(aws, "no-such-bucket"), "pio-tf/ur/")
    events: list[Event] = []
    assert shared_records(gone, events.append) == ()
    assert "does not exist" in str(events)
    assert shared_records(None, events.append) == ()
    with pytest.raises(AwsError):
        gone.records()


async def test_a_followed_run_is_kept_for_all_clients(cluster: TestCluster, bucket: RunBucket, tmp_path: Path) -> None:
    events: list[Event] = []
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, SUCCESS)
        finished = await make_finish(remote, tmp_path, events.append, shared=bucket).follow(run.id)
    assert bucket.records() == (finished,)
    assert finished.state == "succeeded"
    log = bucket.objects.read(f"pio-tf/ur/runs/{run.id}/log")
    assert log is not None
    assert b"Training completed successfully" in log.body
    assert Done(f"log and record are at {bucket.url(f'pio-tf/ur/runs/{run.id}/')}") in events


async def test_a_bucket_that_takes_nothing_costs_no_model(cluster: TestCluster, aws: LocalAws, tmp_path: Path) -> None:
    from pio_tf.training.runs.run_copies import RunBucket

    gone = RunBucket(make_objects(aws, "no-such-bucket"), "pio-tf/ur/")
    events: list[Event] = []
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, SUCCESS)
        assert (await make_finish(remote, tmp_path, events.append, shared=gone).follow(run.id)).state == "succeeded"
    assert any("could not upload log and record" in str(event) for event in events if isinstance(event, Warned))
