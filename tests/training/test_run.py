"""A run over a real SSH connection: followed, judged, kept."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.session import Session

from pio_tf.errors import AwsError, ConfigError, TrainingFailed
from pio_tf.events import Done, Event, OutputLine, Warned
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.proof import ALIAS, Proof
from pio_tf.training.runs.run_copies import Archive, Upload
from tests.support.driver_runs import SUCCESS, make_finish, started
from tests.support.ssh_cluster import QUICK, TestCluster

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.training.run import RunFollower
    from pio_tf.training.runs.record import RunRecord


async def trained(cluster: TestCluster, directory: Path, command: str, events: list[Event]) -> RunRecord:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, directory, command, secrets=("hunter2",))
        return await make_finish(remote, directory, events.append).follow(run.id)


async def failed(cluster: TestCluster, directory: Path, command: str) -> TrainingFailed:
    with pytest.raises(TrainingFailed) as caught:
        await trained(cluster, directory, command, [])
    assert caught.value.next_step
    return caught.value


async def test_a_success_is_exit_0_and_the_success_line(cluster: TestCluster, tmp_path: Path) -> None:
    events: list[Event] = []
    record = await trained(
        cluster, tmp_path, f"for n in $(seq 30); do echo line $n >&2; done; {SUCCESS}; echo bye", events
    )
    assert (record.state, record.exit_status, record.cause) == ("succeeded", 0, "")
    assert record.seconds is not None
    assert 0 < record.seconds < 60
    assert [proof["held"] for proof in record.proofs] == [True, True, None, None]
    lines = [event for event in events if isinstance(event, OutputLine)]
    assert lines[0] == OutputLine("line 1", source="driver")
    assert len(lines) == 32
    assert isinstance(events[-1], Done)


async def test_the_users_profile_is_loaded_first(cluster: TestCluster, tmp_path: Path) -> None:
    (cluster.driver.home / ".profile").write_text("export JAVA_HOME=/opt/java\n")
    events: list[Event] = []
    await trained(cluster, tmp_path, f"echo java is $JAVA_HOME; {SUCCESS}", events)
    assert OutputLine("java is /opt/java", source="driver") in events


async def test_secrets_are_hidden_in_what_is_shown_and_in_what_is_kept(cluster: TestCluster, tmp_path: Path) -> None:
    events: list[Event] = []
    command = f"echo 'Submission command: --env PIO_A_PASSWORD=pa55word,PIO_B=1'; echo at hunter2; {SUCCESS}"
    record = await trained(cluster, tmp_path, command, events)
    log = Archive(tmp_path / "runs").log(record.id).read_text()
    assert "Submission command: --env PIO_A_PASSWORD=***,PIO_B=1\nat ***\n" in log
    for text in (repr(events), log):
        assert "pa55word" not in text
        assert "hunter2" not in text


@pytest.mark.parametrize(
    ("script", "what", "cause"),
    [
        (
            "echo '[INFO] Training interrupted by org.apache.predictionio.workflow.StopAfterReadInterruption.'",
            "interrupted",
            "Training interrupted by org",
        ),
        ("echo '[ERROR] [Console$] No engine found. Aborting.'; exit 1", "exit status 1", "No engine found. Aborting."),
        ("kill -KILL $$", "exit status 137", "no output"),
        (f"{SUCCESS}; exit 1", "exited with 1", ""),
    ],
)
async def test_every_other_end_is_a_failure_with_its_cause_and_its_record_is_kept(
    cluster: TestCluster, tmp_path: Path, script: str, what: str, cause: str
) -> None:
    error = await failed(cluster, tmp_path, script)
    assert what in f"{error.what} {error.cause}"
    assert cause in error.cause
    (record,) = Archive(tmp_path / "runs").records()
    assert record.state == "failed"
    assert record.cause.startswith(error.what)
    assert error.details["run"] == record.id
    kept = cluster.driver.home / ".pio-tf" / "runs" / record.id / "result"
    assert json.loads(kept.read_text())["state"] == "failed"


async def test_a_run_takes_two_requests_to_start_and_three_to_follow_whatever_it_prints(
    cluster: TestCluster, tmp_path: Path
) -> None:
    asked = cluster.driver.processes
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, f"yes $(printf %0100d 0) | head -50000; {SUCCESS}")
        assert len(asked) == 2  # the lock, which also starts it; its directory
        await make_finish(remote, tmp_path).follow(run.id)
    assert len(asked) == 2 + 3  # its log; its end; its verdict


async def test_spark_without_resources_is_told_once_while_it_waits(cluster: TestCluster, tmp_path: Path) -> None:
    events: list[Event] = []
    waiting = "echo 'WARN TaskSchedulerImpl: Initial job has not accepted any resources; check your cluster UI'"
    await trained(cluster, tmp_path, f"{waiting}; {waiting}; {SUCCESS}", events)
    assert len([event for event in events if isinstance(event, Warned)]) == 1


async def test_a_model_that_elasticsearch_does_not_have_is_a_failure(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, SUCCESS)
        finish = make_finish(remote, tmp_path, proofs=(Proof(ALIAS, False, "alias ur points to ur_1, as before"),))
        with pytest.raises(TrainingFailed, match="but Elasticsearch contradicts it") as caught:
            await finish.follow(run.id)
    assert "ur_1, as before" in caught.value.cause


async def test_a_judged_run_is_not_judged_again(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, SUCCESS)
        first = await make_finish(remote, tmp_path).follow(run.id)
        doubtful = make_finish(remote, tmp_path / "another", proofs=(Proof(ALIAS, False, "the alias has moved since"),))
        assert await doubtful.follow(run.id) == first
        assert Archive(tmp_path / "another" / "runs").records() == (first,)


async def test_a_log_that_could_not_be_written_is_no_proof_of_a_model(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, SUCCESS)
        directory = cluster.driver.home / ".pio-tf" / "runs" / run.id
        while not (directory / "ended").exists():
            await asyncio.sleep(0.05)
        ended = (directory / "ended").read_text()
        (directory / "ended").write_text(ended.replace("filter=0", "filter=28").replace("free=", "free=1048576 was="))
        error = await error_of(make_finish(remote, tmp_path), run.id)
    assert "could not be written to its end" in error.what
    assert "1 MiB are free" in error.cause


async def error_of(finish: RunFollower, run: str) -> TrainingFailed:
    with pytest.raises(TrainingFailed) as caught:
        await finish.follow(run)
    return caught.value


async def test_a_log_and_a_record_go_to_s3_as_well(
    cluster: TestCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3: Any = Session().create_client(  # as pio_tf.aws.session makes them, without what boto3 adds
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    try:
        s3.create_bucket(Bucket="runs")
        events: list[Event] = []
        async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
            run = await started(remote, tmp_path, SUCCESS)
            upload = Upload(s3, "s3://runs/weekly/")
            upload.check()
            record = await make_finish(remote, tmp_path, events.append, upload=upload).follow(run.id)
            key = f"weekly/ur/{record.id}"
            assert b"Training completed" in s3.get_object(Bucket="runs", Key=f"{key}/log")["Body"].read()
            assert json.loads(s3.get_object(Bucket="runs", Key=f"{key}/record.json")["Body"].read())["id"] == record.id
            assert Done(f"log and record are at s3://runs/{key}/") in events

            again = await started(remote, tmp_path, SUCCESS)
            lost = Upload(s3, "s3://no-such-bucket")
            with pytest.raises(AwsError, match="the bucket of s3://no-such-bucket does not exist"):
                lost.check()
            with pytest.raises(ConfigError, match="'runs/weekly' is no S3 address"):
                Upload(s3, "runs/weekly").check()
            assert (
                await make_finish(remote, tmp_path, events.append, upload=lost).follow(again.id)
            ).state == "succeeded"
            assert any("could not upload log and record" in str(event) for event in events if isinstance(event, Warned))
    finally:
        server.stop()


async def test_a_followed_run_that_is_cancelled_by_another_client_says_who(
    cluster: TestCluster, tmp_path: Path
) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, "sleep 300")
        finish = make_finish(remote, tmp_path)
        following = asyncio.create_task(finish.follow(run.id))
        await asyncio.sleep(0.3)
        await make_finish(remote, tmp_path / "bob").cancel(run.id, who="bob on ci")
        with pytest.raises(TrainingFailed, match="was cancelled by bob on ci"):
            await following


SAVES_ON_TERM = "trap 'echo saving; exit 143' TERM; echo at work; while :; do sleep 0.1; done"


async def test_an_interrupted_client_ends_its_run_and_shows_and_keeps_the_log_to_its_end(
    cluster: TestCluster, tmp_path: Path
) -> None:
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if event == OutputLine("at work", source="driver"):
            following.cancel()

    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, SAVES_ON_TERM)
        following = asyncio.ensure_future(followed_or_ended(make_finish(remote, tmp_path, report), run.id))
        with pytest.raises(asyncio.CancelledError):
            await following
    (record,) = Archive(tmp_path / "runs").records()
    assert (record.state, record.exit_status, record.cancelled_by) == ("cancelled", 143, "ann on laptop")
    log = Archive(tmp_path / "runs").log(run.id).read_text().splitlines()
    assert (log[0], log[-1]) == ("at work", "saving")
    assert events[-1] == OutputLine("saving", source="driver")


async def test_a_run_whose_output_nobody_reads_is_ended_and_its_log_is_kept(
    cluster: TestCluster, tmp_path: Path
) -> None:
    def report(event: Event) -> None:
        if isinstance(event, OutputLine):
            raise BrokenPipeError

    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, tmp_path, SAVES_ON_TERM)
        with pytest.raises(BrokenPipeError):
            await followed_or_ended(make_finish(remote, tmp_path, report), run.id)
    (record,) = Archive(tmp_path / "runs").records()
    assert (record.state, record.exit_status) == ("cancelled", 143)
    log = Archive(tmp_path / "runs").log(run.id).read_text().splitlines()
    assert (log[0], log[-1]) == ("at work", "saving")


async def followed_or_ended(finish: RunFollower, run: str) -> RunRecord:
    async def watch(_record: RunRecord) -> None: ...

    return await finish.follow_or_end(run, client="ann on laptop", watch=watch, stop_after=True)
