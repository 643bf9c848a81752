"""A training over a real SSH connection: followed, judged, ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pio_tf.errors import RemoteError, TrainingFailed
from pio_tf.events import Done, Event, OutputLine, Step, Warned
from pio_tf.remote.ssh import connect_cluster
from pio_tf.training.run import TrainingResult, run_training
from tests.remote.cluster_fixture import QUICK, TestCluster

SUCCESS = "echo '[INFO] [CoreWorkflow$] Training completed successfully.'"


async def trained(cluster: TestCluster, command: str, events: list[Event]) -> TrainingResult:
    async with connect_cluster(cluster.config(), cluster.targets(), patience=QUICK) as remote:
        return await run_training(remote, command, reporter=events.append, secrets=["hunter2"])


async def failed(cluster: TestCluster, command: str) -> TrainingFailed:
    with pytest.raises(TrainingFailed) as caught:
        await trained(cluster, command, [])
    assert caught.value.next_step
    return caught.value


async def test_a_success_is_exit_0_and_the_success_line(cluster: TestCluster) -> None:
    events: list[Event] = []
    result = await trained(cluster, f"for n in $(seq 30); do echo line $n >&2; done; {SUCCESS}; echo bye", events)
    assert (result.exit_status, result.success_line_seen) == (0, True)
    assert len(result.last_lines) == 20
    assert result.last_lines[-1] == "bye"
    assert 0 < result.seconds < 10
    lines = [event for event in events if isinstance(event, OutputLine)]
    assert lines[0] == OutputLine("line 1", source="driver")
    assert len(lines) == 32
    assert isinstance(events[0], Step)
    assert isinstance(events[-1], Done)


async def test_the_users_profile_is_loaded_first(cluster: TestCluster) -> None:
    (cluster.driver.home / ".profile").write_text("export JAVA_HOME=/opt/java\n")
    events: list[Event] = []
    await trained(cluster, f"echo java is $JAVA_HOME; {SUCCESS}", events)
    assert OutputLine("java is /opt/java", source="driver") in events


async def test_secrets_are_hidden_in_what_is_shown_and_in_what_is_kept(cluster: TestCluster) -> None:
    events: list[Event] = []
    command = f"echo 'Submission command: --env PIO_A_PASSWORD=pa55word,PIO_B=1'; echo at hunter2; {SUCCESS}"
    result = await trained(cluster, command, events)
    assert "Submission command: --env PIO_A_PASSWORD=***,PIO_B=1" in result.last_lines
    assert "at ***" in result.last_lines
    assert "pa55word" not in repr(events)
    assert "hunter2" not in repr(events)


@pytest.mark.parametrize(
    ("script", "what", "cause"),
    [
        (
            "echo '[INFO] Training interrupted by org.apache.predictionio.workflow.StopAfterReadInterruption.'",
            "it exited with 0",
            "Training interrupted by org",
        ),
        ("echo 'WorkflowConfig is empty. Quitting'", "it exited with 0", "WorkflowConfig is empty. Quitting"),
        ("true", "it exited with 0", "it printed nothing"),
        ("echo '[ERROR] [Console$] No engine found. Aborting.'; exit 1", "exit status 1", "No engine found. Aborting."),
        (
            (
                "echo 'Exception in thread \"main\" java.lang.IllegalStateException: no data'; echo '  at a.b(C)'; "
                "echo 'Caused by: java.net.ConnectException: refused'; echo 'Caused by: deeper'; exit 1"
            ),
            "exit status 1",
            "java.net.ConnectException: refused",
        ),
        (
            "echo 'Exception in thread \"main\" java.lang.IllegalStateException: no data'; echo '  at a.b(C)'; exit 1",
            "exit status 1",
            "java.lang.IllegalStateException: no data",
        ),
        ("echo 'java.lang.OutOfMemoryError: Java heap space'; exit 52", "exit status 52", "a heap was too small"),
        ("cd ~/nowhere && true", "exit status 1", "no engine at pio.engine_dir"),
        ("~/pio/bin/pio train", "exit status 127", "no PredictionIO at pio.home"),
        ("echo odd; exit 9", "exit status 9", "the last line was: odd"),
        ("kill -KILL $$", "exit status 137", "it printed nothing"),
        (f"{SUCCESS}; exit 1", "said that training completed, but exited with 1", "the last line was"),
        ("echo 'Training completed successfully. Not'; exit 0", "never said", "the last line was"),
    ],
)
async def test_every_other_end_is_a_failure_with_its_cause(
    cluster: TestCluster, script: str, what: str, cause: str
) -> None:
    error = await failed(cluster, script)
    assert what in error.what
    assert cause in error.cause
    assert isinstance(error.details["exit_status"], int)


async def test_spark_without_resources_is_told_once_while_it_waits(cluster: TestCluster) -> None:
    events: list[Event] = []
    waiting = "echo 'WARN TaskSchedulerImpl: Initial job has not accepted any resources; check your cluster UI'"
    await trained(cluster, f"{waiting}; {waiting}; {SUCCESS}", events)
    assert len([event for event in events if isinstance(event, Warned)]) == 1
    error = await failed(cluster, f"{waiting}; exit 1")
    assert "executor's memory" in error.next_step


async def test_a_lost_connection_is_no_verdict(cluster: TestCluster) -> None:
    def cut(event: Event) -> None:
        if isinstance(event, OutputLine):
            cluster.driver.cut()

    async with connect_cluster(cluster.config(), cluster.targets(), patience=QUICK) as remote:
        with pytest.raises(RemoteError, match="connection to driver was lost"):
            await run_training(remote, "echo begun; sleep 60", reporter=cut)


async def test_a_training_that_is_cancelled_ends_on_the_driver_with_its_children(cluster: TestCluster) -> None:
    begun = asyncio.Event()

    def reporter(event: Event) -> None:
        if isinstance(event, OutputLine):
            begun.set()

    async with connect_cluster(cluster.config(), cluster.targets(), patience=QUICK) as remote:
        command = "(echo $BASHPID > child; echo begun; sleep 300; true) & wait"
        task = asyncio.ensure_future(run_training(remote, command, reporter=reporter))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        child = int((cluster.driver.home / "child").read_text())
        for _ in range(100):
            if not Path(f"/proc/{child}").exists():
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail(f"process {child} still runs")
