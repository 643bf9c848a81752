"""Runs on a driver over real SSH: they outlive their client, one at a time, and are found again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError, Locked, PioTfError, RemoteError
from pio_tf.events import Event, Warned
from pio_tf.remote.lines import split_lines
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.redact import LogLimits, Redactor
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.driver_runs import DriverRuns, read_list
from pio_tf.training.runs.record import Client, RunRecord, is_run_id, new_run_id
from pio_tf.training.runs.run_copies import Archive, find_run
from pio_tf.training.runs.run_log import follow_log, read_log
from tests.support.background import until
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.training_log import read_training_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.training.runs.driver_runs import DriverRun
    from tests.support.aws_cli import AwsCli

ANN = Client("ann", "laptop", 17, "2026-11-23T18:00:00Z")
BOB = Client("bob", "ci", 18, "2026-11-23T18:00:01Z")


def record(run: str = "", client: Client = ANN) -> RunRecord:
    return RunRecord(id=run or new_run_id(), cluster="ur", client=client, command="pio train", engine_dir="/engine")


async def started(
    remote: ClusterConnection, command: str, *, secrets: tuple[str, ...] = (), limits: LogLimits | None = None
) -> str:
    """Start a run and leave it, as `--detach` does."""
    wanted = record()
    async with hold_driver_lock(remote, ANN, doing="preparing", run=wanted.id) as lock:
        await DriverRuns(remote).prepare(
            wanted, command=command, redactor=Redactor(secrets).in_perl(limits or LogLimits())
        )
        await lock.start(wanted.id)
    return wanted.id


async def followed(
    remote: ClusterConnection,
    run: str,
    copy: Path,
    *,
    power: bool = True,
    patience: float = 60.0,
    on_line: Callable[[str], None] = lambda _line: None,
) -> tuple[list[str], DriverRun, list[Event]]:
    lines: list[str] = []

    def add(text: str) -> None:
        for line in split_lines(text):
            lines.append(line)
            on_line(line)

    events: list[Event] = []

    async def runs_still() -> bool:
        return power

    facts = await follow_log(
        DriverRuns(remote),
        run,
        copy=copy,
        on_text=add,
        reporter=events.append,
        runs_still=runs_still,
        patience=patience,
    )
    return lines, facts, events


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


async def test_a_run_is_followed_to_its_end(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "echo one; sleep 0.3; echo two >&2; exit 7")
        lines, facts, events = await followed(remote, run, tmp_path / "log")
    assert lines == ["one", "two"]
    assert facts.state == "failed"
    assert facts.ending is not None
    assert facts.ending.exit_status == 7
    assert facts.ending.log_whole
    assert facts.ending.free_bytes > 0
    assert facts.started is not None
    assert 0.3 < facts.ending.time - facts.started < 60
    assert events == []
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


async def test_the_files_of_a_run_are_the_users_own_and_hold_no_secret(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        command = "echo --env PIO_A_PASSWORD=pa55word,PIO_B=1; echo hunter2"
        run = await started(remote, command, secrets=("hunter2",))
        lines, _, _ = await followed(remote, run, tmp_path / "log")
    directory = cluster.driver.home / ".pio-tf" / "runs" / run
    assert lines == ["--env PIO_A_PASSWORD=***,PIO_B=1", "***"]
    assert (directory / "log").read_text() == "--env PIO_A_PASSWORD=***,PIO_B=1\n***\n"
    assert sorted(path.name for path in directory.iterdir()) == [
        "command",
        "ended",
        "log",
        "problem",
        "process",
        "program",
        "record",
    ]
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700


def programs_with_secrets(cluster: TestCluster) -> list[Path]:
    return list((cluster.driver.home / ".pio-tf").rglob("redact"))


async def test_no_secret_is_on_the_drivers_disk_while_a_run_is_active(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        wanted, command = record(), "ls /proc/self/fd; sleep 0.5; echo hunter2"
        async with hold_driver_lock(remote, ANN, doing="preparing", run=wanted.id) as lock:
            await DriverRuns(remote).prepare(wanted, command=command, redactor=Redactor(["hunter2"]).in_perl())
            await lock.start(wanted.id)
            assert programs_with_secrets(cluster) == []
        lines, _, _ = await followed(remote, wanted.id, tmp_path / "log")
    assert lines == ["0", "1", "2", "3", "***"]  # 3 is the directory that ls lists


async def test_the_secrets_of_a_run_that_never_started_are_removed(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        async with hold_driver_lock(remote, ANN, doing="preparing", run="R1"):
            await DriverRuns(remote).prepare(record("R1"), command="true", redactor="hunter2")
            assert len(programs_with_secrets(cluster)) == 1
        await until(lambda: not programs_with_secrets(cluster))


async def test_the_secrets_of_a_lost_run_are_removed_by_the_next_holder_of_the_lock(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        await DriverRuns(remote).prepare(record("R1"), command="true", redactor="hunter2")
        assert len(programs_with_secrets(cluster)) == 1
        async with hold_driver_lock(remote, BOB, doing="stopping"):
            assert programs_with_secrets(cluster) == []


async def test_a_run_goes_on_when_its_client_goes_away(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "for n in 1 2 3; do echo $n; done; until [ -e ~/go ]; do sleep 0.05; done; echo 4")
    cluster.driver.cut()
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        assert [(found.id, found.state) for found in (await DriverRuns(remote).state()).runs] == [(run, "running")]
        (cluster.driver.home / "go").touch()
        lines, facts, _ = await followed(remote, run, tmp_path / "log")
    assert lines == ["1", "2", "3", "4"]
    assert facts.ending is not None
    assert facts.ending.exit_status == 0


async def disturbed(cluster: TestCluster, tmp_path: Path, *, disturb: Callable[[str], bool], **ssh: str) -> list[Event]:
    """Follow a run that is disturbed four times, each time after more of its lines have come. Return the events.

    Args:
        disturb: called with the run; false if there was nothing to disturb yet.
        ssh: of the configuration.
    """
    lines: list[str] = []

    async def disturb_four_times(run: str) -> None:
        for _ in range(4):
            seen = len(lines)
            await until(lambda seen=seen: len(lines) > seen + 5)  # type: ignore[misc]
            await until(lambda: disturb(run))
        (cluster.driver.home / "enough").touch()

    async with ClusterConnection(cluster.config(ssh=ssh), cluster.targets(), retry=QUICK) as remote:
        command = "until [ -e ~/enough ]; do printf 'line %s ' $((n += 1)); sleep 0.01; echo end; done"
        run = await started(remote, command)
        disturbing = asyncio.create_task(disturb_four_times(run))
        try:
            _, facts, events = await followed(remote, run, tmp_path / "log", on_line=lines.append)
        finally:
            disturbing.cancel()
    assert lines == [f"line {n} end" for n in range(1, len(lines) + 1)]
    assert (tmp_path / "log").read_bytes() == (cluster.driver.home / ".pio-tf" / "runs" / run / "log").read_bytes()
    assert facts.state == "failed", "it never said that training completed"
    return events


async def test_no_line_is_lost_or_repeated_when_the_connection_is_cut_again_and_again(
    cluster: TestCluster, tmp_path: Path
) -> None:
    def cut(_run: str) -> bool:
        cluster.driver.cut()
        return True

    events = await disturbed(cluster, tmp_path, disturb=cut)
    assert len(cluster.driver.connections) > 3
    assert len([event for event in events if isinstance(event, Warned)]) == 1


async def test_no_line_is_lost_when_sessions_of_systems_manager_die(
    cluster: TestCluster, tmp_path: Path, aws: AwsCli
) -> None:
    def kill_session(_run: str) -> bool:
        os.kill(aws.calls[-1][0], signal.SIGKILL)
        return True

    await disturbed(cluster, tmp_path, disturb=kill_session, via="ssm")
    assert len(aws.calls) > 3


async def test_a_reader_that_is_killed_on_the_driver_is_followed_by_another(
    cluster: TestCluster, tmp_path: Path
) -> None:
    def kill_reader(run: str) -> bool:
        killed = False
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"\nfollow {run} ".encode() in entry.read_bytes():
                    os.kill(int(entry.parent.name), signal.SIGTERM)
                    killed = True
        return killed

    events = await disturbed(cluster, tmp_path, disturb=kill_reader)
    warning = "lost the connection to the log (signal 15 ended its reader there): connecting to the driver again"
    assert Warned(warning) in events


async def test_a_second_look_reads_on_from_the_copy(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "printf 'one\\ntwo\\nthree'")
        first, _, _ = await followed(remote, run, tmp_path / "log")
        (tmp_path / "log").write_bytes(b"ONE\ntw")
        second, _, _ = await followed(remote, run, tmp_path / "log")
    assert first == ["one", "two", "three"]
    assert second == ["ONE", "two", "three"]
    assert (tmp_path / "log").read_bytes() == b"ONE\ntwo\nthree"


async def test_output_that_is_no_text_is_kept_byte_by_byte(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, r"printf 'a\377\000b\n\344\n'")
        lines, _, _ = await followed(remote, run, tmp_path / "log")
    assert lines == ["a\ufffd\0b", "\ufffd"]
    assert (tmp_path / "log").read_bytes() == b"a\xff\0b\n\xe4\n"


READ_ONLY = "[ERROR] [ESEngineInstances] Failed to create pio_meta_engine_instances/engine_instances"


async def test_a_run_whose_log_only_repeats_an_error_is_ended_with_the_reason(
    cluster: TestCluster, tmp_path: Path
) -> None:
    retries = f"echo '[INFO] [Engine] begun'; for n in {{1..3000}}; do echo '{READ_ONLY}'; sleep 0.01; done"
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, retries, limits=LogLimits(errors=20, seconds=1))
        lines, facts, _ = await followed(remote, run, tmp_path / "log")
    assert lines[:2] == ["[INFO] [Engine] begun", READ_ONLY]
    log = read_training_log(partial(read_log, tmp_path / "log"))
    assert facts.ending
    assert facts.state == "failed"
    failure = log.failure(facts.ending.exit_status)
    assert failure
    assert failure.details["sign"] == "endless-retry"
    assert failure.cause.endswith(READ_ONLY)


async def test_a_run_that_says_anything_else_between_its_errors_goes_on(cluster: TestCluster, tmp_path: Path) -> None:
    progress = f"for n in {{1..150}}; do echo '{READ_ONLY}'; echo stage $n; sleep 0.01; done"
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, progress, limits=LogLimits(errors=20, seconds=1))
        lines, facts, _ = await followed(remote, run, tmp_path / "log")
    assert facts.ending
    assert (facts.ending.exit_status, lines[-1]) == (0, "stage 150")


async def test_a_run_that_repeats_an_error_slowly_goes_on(cluster: TestCluster, tmp_path: Path) -> None:
    slowly = f"for n in {{1..40}}; do echo '{READ_ONLY}'; sleep 0.1; done; echo done"
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, slowly, limits=LogLimits(errors=20, seconds=1))
        lines, facts, _ = await followed(remote, run, tmp_path / "log")
    assert facts.ending
    assert (facts.ending.exit_status, lines[-1]) == (0, "done")


async def test_cancelling_ends_every_process_of_the_run(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "sleep 300 & echo $! > ~/child; sleep 300")
        runs = DriverRuns(remote)
        while not (cluster.driver.home / "child").is_file():
            await asyncio.sleep(0.05)
        assert await runs.cancel(run, who=str(BOB)) == "ended"
        facts = await runs.one(run)
        assert await runs.cancel(run, who=str(BOB)) == "gone"
    assert facts.state == "cancelled"
    assert facts.cancelled_by == str(BOB)
    assert facts.ending is not None
    assert facts.ending.exit_status == 143
    child = int((cluster.driver.home / "child").read_text())
    await until(lambda: is_gone(child))


async def test_cancelling_waits_for_a_process_that_outlives_the_commands_shell(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(
            remote, "bash -c 'trap \"\" TERM; touch ~/deaf; sleep 300' >~/its-own & echo $! >~/child; wait"
        )
        while not (cluster.driver.home / "deaf").is_file():
            await asyncio.sleep(0.05)
        assert await DriverRuns(remote).cancel(run, who=str(BOB), patience=1) == "killed"
    child = int((cluster.driver.home / "child").read_text())
    await until(lambda: is_gone(child))


def kill(cluster: TestCluster, run: str) -> None:
    process = (cluster.driver.home / ".pio-tf" / "runs" / run / "process").read_text().split()
    os.kill(int(process[0]), signal.SIGKILL)
    os.killpg(int(process[4]), signal.SIGKILL)


async def test_a_run_whose_runner_was_killed_is_lost(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "echo one; sleep 300")
        following = asyncio.create_task(followed(remote, run, tmp_path / "log"))
        await until((tmp_path / "log").is_file)
        await until(lambda: (tmp_path / "log").read_bytes() == b"one\n")
        kill(cluster, run)
        lines, facts, _ = await following
    assert lines == ["one"]
    assert facts.state == "lost"
    assert facts.ending is None
    assert not facts.booted_since


async def test_a_run_from_before_a_boot_is_lost_though_its_process_id_is_in_use(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "true")
        path = cluster.driver.home / ".pio-tf" / "runs" / run
        while not (path / "ended").exists():
            await asyncio.sleep(0.05)
        (path / "ended").unlink()
        stat = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()
        (path / "process").write_text(f"{os.getpid()} {stat[19]} another-boot 1.5 2\n")
        facts = await DriverRuns(remote).one(run)
    assert (facts.state, facts.booted_since) == ("lost", True)


async def test_a_run_directory_that_exists_is_left_as_it_is(cluster: TestCluster) -> None:
    wanted = record()
    directory = cluster.driver.home / ".pio-tf" / "runs" / wanted.id
    directory.mkdir(parents=True)
    (directory / "log").write_text("somebody's\n")
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        with pytest.raises(Locked, match=wanted.id) as caught:
            await DriverRuns(remote).prepare(wanted, command="true", redactor="")
    assert "nothing was started" in caught.value.next_step
    assert [path.name for path in directory.iterdir()] == ["log"]


async def test_the_driver_keeps_the_latest_runs_only(cluster: TestCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pio_tf.training.runs.driver_runs.KEPT_ON_DRIVER", 2)
    runs = cluster.driver.home / ".pio-tf" / "runs"
    for day in range(1, 5):
        (runs / f"2026010{day}T000000Z-0000").mkdir(parents=True)
        if day > 1:
            (runs / f"2026010{day}T000000Z-0000" / "ended").write_text("exit=0\n")
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        wanted = record()
        await DriverRuns(remote).prepare(wanted, command="true", redactor="")
    left = sorted(path.name for path in runs.iterdir())
    assert left == ["20260101T000000Z-0000", "20260103T000000Z-0000", "20260104T000000Z-0000", wanted.id]


async def test_a_second_client_is_refused_and_told_who_has_the_lock(cluster: TestCluster) -> None:
    async with (
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as mine,
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as theirs,
    ):
        async with hold_driver_lock(mine, ANN, doing="preparing", run="R1"):
            with pytest.raises(Locked, match="R1 is being prepared by ann on laptop") as caught:
                async with hold_driver_lock(theirs, BOB, doing="preparing", run="R2"):
                    pass
            assert caught.value.exit_code == 4
        async with hold_driver_lock(theirs, BOB, doing="preparing", run="R2"):
            pass


async def test_a_running_run_holds_the_lock_without_its_client(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "sleep 300")
        with pytest.raises(Locked, match=f"{run} is active, started by ann"):
            async with hold_driver_lock(remote, BOB, doing="preparing", run="R2"):
                pass
        state = await DriverRuns(remote).state()
        assert state.holder is not None
        assert state.holder.run == run
        await DriverRuns(remote).cancel(run, who="bob")
        async with hold_driver_lock(remote, BOB, doing="preparing", run="R2"):
            pass
        assert (await DriverRuns(remote).state()).holder is None


async def test_what_a_run_leaves_behind_does_not_hold_the_lock(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "setsid sleep 300 >/dev/null 2>&1 & echo $! >~/left; echo done")
        await followed(remote, run, tmp_path / "log")
        left = int((cluster.driver.home / "left").read_text())
        try:
            assert Path(f"/proc/{left}").exists()
            async with hold_driver_lock(remote, BOB, doing="preparing", run="R2"):
                pass
        finally:
            os.kill(left, signal.SIGKILL)


async def test_a_lock_goes_with_the_connection_of_its_holder(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        async with hold_driver_lock(remote, ANN, doing="preparing", run="R1"):
            cluster.driver.cut()
        while (await DriverRuns(remote).state()).holder is not None:
            await asyncio.sleep(0.1)
        async with hold_driver_lock(remote, BOB, doing="preparing", run="R2"):
            pass


async def test_of_two_clients_that_race_for_the_lock_exactly_one_wins_each_time(cluster: TestCluster) -> None:
    async with (
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as mine,
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as theirs,
    ):
        for _ in range(50):
            decided = asyncio.Event()

            async def race(remote: ClusterConnection, client: Client, decided: asyncio.Event = decided) -> str:
                try:
                    async with hold_driver_lock(remote, client, doing="preparing", run="R"):
                        await decided.wait()
                        return "won"
                except Locked:
                    decided.set()
                    return "lost"

            results = await asyncio.gather(race(mine, ANN), race(theirs, BOB))
            assert sorted(results) == ["lost", "won"]


async def test_while_the_machines_are_being_stopped_nobody_starts_a_run(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        async with hold_driver_lock(remote, ANN, doing="stopping") as lock:
            await lock.hold_for_stopping()
        with pytest.raises(Locked, match="being stopped by ann"):
            async with hold_driver_lock(remote, BOB, doing="preparing", run="R2"):
                pass


async def test_a_disk_that_fills_up_takes_the_log_but_not_the_exit_status(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        wanted = record()
        runs = DriverRuns(remote)
        command = "trap '' PIPE; sleep 0.2; echo lost; exit 3"
        async with hold_driver_lock(remote, ANN, doing="preparing", run=wanted.id) as lock:
            await runs.prepare(wanted, command=command, redactor=Redactor().in_perl())
            # A file to which every write fails with "No space left on device".
            (cluster.driver.home / ".pio-tf" / "runs" / wanted.id / "log").symlink_to("/dev/full")
            await lock.start(wanted.id)
        _, facts, _ = await followed(remote, wanted.id, tmp_path / "log")
    assert facts.ending is not None
    assert facts.ending.exit_status == 3
    assert not facts.ending.log_whole


async def test_a_run_that_cannot_be_started_says_why_and_gives_the_lock_back(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        wanted = record()
        async with hold_driver_lock(remote, ANN, doing="preparing", run=wanted.id) as lock:
            await DriverRuns(remote).prepare(wanted, command="true", redactor="")
            (cluster.driver.home / ".pio-tf" / "runs" / wanted.id / "pipe").mkdir()
            with pytest.raises(PioTfError, match="could not start") as caught:
                await lock.start(wanted.id)
        assert "pipe" in caught.value.cause
        async with hold_driver_lock(remote, BOB, doing="preparing", run="R2"):
            pass


async def test_a_driver_whose_power_is_off_is_not_waited_for(cluster: TestCluster, tmp_path: Path) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        run = await started(remote, "echo one; sleep 300")

        def turn_off(_line: str) -> None:
            kill(cluster, run)
            cluster.driver.cut()

        with pytest.raises(RemoteError, match="the driver's power is off") as caught:
            await followed(remote, run, tmp_path / "log", power=False, on_line=turn_off)
    assert caught.value.details["power_off"]
    assert "the run ended with it; run `pio-tf up`" in caught.value.next_step
    assert f"`pio-tf logs {run}`" in caught.value.next_step


def test_a_run_is_meant_by_the_beginning_of_its_id_or_is_the_latest() -> None:
    known = ["20260101T000000Z-aaaa", "20260102T000000Z-bbbb", "20260102T000000Z-cccc"]
    assert find_run("", known) == known[2]
    assert find_run("20260101", known) == known[0]
    assert find_run(known[1], known) == known[1]
    with pytest.raises(ConfigError, match="2 runs begin with"):
        find_run("20260102", known)
    with pytest.raises(ConfigError, match="no run '2027'"):
        find_run("2027", known)
    with pytest.raises(ConfigError, match="no run yet"):
        find_run("", [])


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "runs")
    written = record().with_(machines=("driver",), proofs=({"name": "exit status", "held": True, "detail": "0"},))
    path = archive.save(written)
    assert archive.records() == (written,)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text('{"version": 1}')
    assert archive.records() == ()


def test_what_is_no_run_in_the_drivers_answer_is_left_out() -> None:
    good = record()
    text = f"run ../../etc\nrecord {good.to_json()}\nrun {good.id}\nrecord {good.to_json()}\nsize 3\nrun x\nboot b\n"
    state = read_list(text + "holder \n")
    assert [run.id for run in state.runs] == [good.id]
    assert state.runs[0].log_bytes == 3
    assert state.holder is None


def test_ids_sort_by_time_and_are_told_from_other_names() -> None:
    assert is_run_id(new_run_id())
    assert not is_run_id("../x")
    assert new_run_id() != new_run_id()
