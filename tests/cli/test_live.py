"""The live lines of a terminal while machines start and a training runs, and a log's lines instead."""

from __future__ import annotations

import io
import re
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, TextIO

import pytest
from msgspec.structs import replace

from pio_tf.cli.live import BETWEEN_LINES, DOWNLOADS_AT_ONCE, DownloadLines, TrainingLines
from pio_tf.cli.output import Output
from pio_tf.cli.results.base import CommandResult
from pio_tf.events import (
    Checked,
    Done,
    DownloadProgress,
    MachineProgress,
    OutputLine,
    OutputLines,
    Step,
    TrainingProgress,
    Warned,
)
from tests.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNNING = TrainingProgress(
    "run-7",
    elapsed_seconds=754.0,
    jobs_done=3,
    jobs=5,
    stages_done=1,
    stages=2,
    tasks_done=45,
    tasks=180,
    stage="collect at URAlgorithm.scala:12",
    executors=4,
)
LINE = "training 0:12:34  3/5 jobs  4 executors  ━━━───────── 45/180 tasks  collect at URAlgorithm.scala:12"


@pytest.fixture(autouse=True)
def a_usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def screen() -> Iterator[Screen]:
    with_screen = Screen()
    yield with_screen
    with_screen.close()


@pytest.fixture
def tty(screen: Screen) -> Iterator[TextIO]:
    with screen.open() as stream:
        yield stream


def shown(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines if line.strip()]


def at_first(lines: list[str]) -> list[str]:
    """Return the lines as they were in their first second: a busy computer may draw later."""
    return [re.sub(r"  \d+s$", "  0s", re.sub(r"^training 0:1[2-9]:\d\d", "training 0:12:34", line)) for line in lines]


def test_a_training_is_one_line_at_the_bottom(screen: Screen, tty: TextIO) -> None:
    with Output(out=tty, err=tty) as output:
        output.reporter(RUNNING)
        assert at_first(shown(screen.until(lambda lines: "tasks" in lines[-1]))) == [LINE]
    assert shown(screen.until(lambda lines: lines == [""])) == []


def test_the_elapsed_time_goes_on_without_an_event(screen: Screen, tty: TextIO) -> None:
    with Output(out=tty, err=tty) as output:
        output.reporter(RUNNING)
        screen.until(lambda lines: at_first(lines) == [LINE])
        screen.until(lambda lines: at_first(lines) == [LINE] and lines[0] >= LINE.replace("0:12:34", "0:12:36"))


def test_the_time_that_is_left_is_shown(screen: Screen, tty: TextIO) -> None:
    with Output(out=tty, err=tty) as output:
        now = datetime.now(tz=timezone.utc)
        output.reporter(TrainingProgress("run-7", 5.0, deadline=now + timedelta(hours=2, minutes=30, seconds=59)))
        screen.until(
            lambda lines: re.fullmatch(r"training 0:00:\d\d  deadline in 2:30:\d\d", "\n".join(lines)) is not None
        )
        output.reporter(TrainingProgress("run-7", 5.0, deadline=now - timedelta(hours=1)))
        screen.until(lambda lines: re.fullmatch(r"training 0:00:\d\d  deadline passed", "\n".join(lines)) is not None)


def test_the_log_streams_above_the_line_on_one_terminal(screen: Screen, tty: TextIO) -> None:
    with screen.open() as stdout, Output(out=stdout, err=tty) as output:
        output.reporter(RUNNING)
        screen.until(lambda lines: "tasks" in lines[-1])
        for number in range(500):
            output.reporter(OutputLine(f"[INFO] line {number}", source="driver"))
        output.reporter(Warned("no executor [yet]"))
        lines = screen.until(lambda lines: "warning" in lines[-2])
        assert shown(lines[:-1]) == [*(f"[INFO] line {number}" for number in range(500)), "warning: no executor [yet]"]
        assert at_first(lines)[-1].startswith("training 0:12:34")
    screen.until(lambda lines: lines[-1] == "")


def test_the_log_goes_to_a_pipe_and_the_line_to_the_terminal(screen: Screen, tty: TextIO, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as out, Output(out=out, err=tty) as output:
        output.reporter(RUNNING)
        screen.until(lambda lines: at_first(lines) == [LINE])
        output.reporter(OutputLine("[INFO] one", source="driver"))
        assert (tmp_path / "log").read_text() == "[INFO] one\n"
        time.sleep(0.3)
        assert "[INFO]" not in screen.raw


def test_with_json_nothing_but_the_result_is_on_standard_output(screen: Screen, tty: TextIO, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out, Output(json=True, out=out, err=tty) as output:
        output.reporter(RUNNING)
        screen.until(lambda lines: at_first(lines) == [LINE])
        output.reporter(OutputLine("[INFO] one", source="driver"))
        output.reporter(Checked("spark", "ok", "4 workers"))
        lines = screen.until(lambda lines: len(lines) == 3)
        assert lines[:2] == ["[INFO] one", "✓ spark: 4 workers"]
        output.result(CommandResult())
    assert (tmp_path / "out").read_text() == '{\n  "version": 1\n}\n'


def test_the_line_goes_when_the_training_has_ended(screen: Screen, tty: TextIO) -> None:
    with Output(out=tty, err=tty) as output:
        output.reporter(Step("Training: pio train"))
        output.reporter(RUNNING)
        screen.until(lambda lines: "tasks" in lines[-1])
        output.reporter(Done("Trained in 754 s"))
        output.reporter(Step("Stopping 4 machines"))
        output.reporter(MachineProgress("driver", "stopping"))
        screen.until(
            lambda lines: (
                at_first(lines)
                == ["Training: pio train", "✓ Trained in 754 s", "Stopping 4 machines", "  driver  stopping  0s"]
            )
        )
        output.reporter(MachineProgress("driver", "stopped", ready=True))
        screen.until(lambda lines: lines[3:] == ["✓ driver: stopped", ""])


def test_more_machines_than_rows_are_counted(screen: Screen, tty: TextIO) -> None:
    with Output(out=tty, err=tty) as output:
        for number in range(60):
            output.reporter(MachineProgress(f"worker-{number}", "pending"))
        lines = screen.until(lambda lines: "more" in lines[-1])
        assert len(lines) == 20  # of 24 rows
        assert lines[-1] == "  … and 41 more"
        output.reporter(MachineProgress("worker-0", "ssh ready", ready=True))
        screen.until(lambda lines: at_first(lines)[:2] == ["✓ worker-0: ssh ready", "  worker-1  pending  0s"])


def test_ctrl_c_leaves_the_terminal_as_it_was(screen: Screen, tty: TextIO) -> None:
    def interrupted() -> None:
        with Output(out=tty, err=tty) as output:
            output.reporter(RUNNING)
            screen.until(lambda lines: "tasks" in lines[-1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    screen.until(lambda lines: lines == [""])
    assert screen.raw.count("\x1b[?25l") == screen.raw.count("\x1b[?25h")


def test_a_terminal_that_was_closed_hides_no_error(screen: Screen) -> None:
    stream = screen.open()

    def closed() -> None:
        with Output(out=stream, err=stream) as output:
            output.reporter(RUNNING)
            screen.until(lambda lines: "tasks" in lines[-1])
            screen.close()
            time.sleep(1.2)  # it draws at least once more
            raise KeyError

    with pytest.raises(KeyError):
        closed()
    with pytest.raises(OSError, match="Input/output error"):
        stream.close()


@pytest.mark.parametrize("variable", [("TERM", "dumb"), ("TTY_INTERACTIVE", "0")])
def test_a_terminal_whose_cursor_does_not_move_gets_lines(
    screen: Screen, tty: TextIO, variable: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*variable)
    with Output(out=tty, err=tty) as output:
        output.reporter(RUNNING)
        lines = screen.until(lambda lines: len(lines) > 1)
    assert lines[0].startswith("training 0:12:34, 3 of 5 jobs done")


def test_a_pipe_gets_no_control_sequences_for_all_its_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    err = io.StringIO()
    with Output(out=io.StringIO(), err=err) as output:
        output.reporter(RUNNING)
        time.sleep(0.3)
    assert len(err.getvalue().splitlines()) == 1
    assert re.sub(r"\x1b\[[0-9;]*m", "", err.getvalue()).startswith("training 0:12:34, ")


def test_a_narrow_terminal_gets_the_beginning() -> None:
    screen = Screen(columns=40)
    with screen.open() as stream, Output(out=stream, err=stream) as output:
        output.reporter(RUNNING)
        lines = screen.until(lambda lines: "training" in lines[-1])
        assert lines == ["training 0:12:34  3/5 jobs  4 executor…"]
        output.reporter(OutputLine("[INFO] one"))
        assert screen.until(lambda lines: len(lines) == 2)[0] == "[INFO] one"
    screen.close()


def test_lines_that_came_at_once_are_shortened_one_by_one_on_a_terminal() -> None:
    screen = Screen(columns=80)
    with screen.open() as stream, Output(out=stream, err=stream) as output:
        output.reporter(RUNNING)
        output.reporter(
            OutputLines("[INFO] one\nSubmission command: spark-submit a b c\n[INFO] two\n", source="driver")
        )
        lines = screen.until(lambda lines: "[INFO] two" in lines)
        assert lines[:3] == [
            "[INFO] one",
            "Submission command: spark-submit … (whole in `pio-tf logs`)",
            "[INFO] two",
        ]
    screen.close()


def test_one_job_is_no_plural() -> None:
    single = TrainingProgress("run-7", 1200.0, jobs_done=0, jobs=1, stages_done=0, stages=1, tasks_done=0, tasks=1)
    assert TrainingLines().line(single) == "training 0:20:00, 0 of 1 job done, 0 of 1 stage, 0 of 1 task"


def test_a_log_gets_a_line_when_jobs_or_stages_change_and_not_too_often() -> None:
    now = 100.0
    lines = TrainingLines(clock=lambda: now)
    assert lines.line(TrainingProgress("run-7", 1.0)) == ""
    assert lines.line(RUNNING) == (
        "training 0:12:34, 3 of 5 jobs done, 1 of 2 stages, 45 of 180 tasks (collect at URAlgorithm.scala:12), "
        "4 executors"
    )
    further = TrainingProgress("run-7", 780.0, jobs_done=5, jobs=6, executors=1)
    now += BETWEEN_LINES - 1
    assert lines.line(further) == ""
    now += 1
    assert lines.line(RUNNING) == ""
    assert lines.line(further) == "training 0:13:00, 5 of 6 jobs done, 1 executor"
    now += 3600
    assert lines.line(further) == ""


GOING = DownloadProgress("driver", "spark-2.1.3", 41_200_000, 228_100_000, 153_000.0, "https://a/spark.tgz")


def test_a_download_is_a_live_line_with_bytes_and_rate_until_it_ends(screen: Screen, tty: TextIO) -> None:
    with Output(out=tty, err=tty) as output:
        output.reporter(GOING)
        lines = screen.until(lambda lines: any("kB/s" in line for line in lines))
        assert shown(lines)[0].startswith("  driver spark-2.1.3  41.2 of 228.1 MB, 153 kB/s")
        output.reporter(replace(GOING, received=228_100_000, bytes_per_second=2.5e6, done=True))
        screen.until(lambda lines: shown(lines) == ["✓ driver: spark-2.1.3: 228.1 MB downloaded"])


def test_a_log_gets_a_line_on_a_download_now_and_then_and_at_its_end() -> None:
    now = 100.0
    lines = DownloadLines(clock=lambda: now)
    assert lines.line(GOING) == ""
    now += BETWEEN_LINES
    assert lines.line(GOING) == "driver: spark-2.1.3: 41.2 of 228.1 MB, 153 kB/s"
    assert lines.line(replace(GOING, received=50_000_000)) == ""
    assert lines.line(replace(GOING, machine="worker-1")) == ""
    now += BETWEEN_LINES
    unknown = replace(GOING, received=50_000_000, size=None, bytes_per_second=2.5e6)
    assert lines.line(unknown) == "driver: spark-2.1.3: 50.0 MB, 2.5 MB/s"
    assert lines.line(replace(GOING, received=228_100_000, done=True)) == "driver: spark-2.1.3: 228.1 MB downloaded"


def test_a_log_gets_no_more_lines_with_many_machines() -> None:
    now = 0.0
    lines = DownloadLines(clock=lambda: now)
    said = 0
    for now in range(0, 600, 5):  # noqa: B007 - the clock's
        said += sum(bool(lines.line(replace(GOING, machine=f"worker-{n}"))) for n in range(50))
    assert 100 <= said <= 600 / BETWEEN_LINES * 2 * DOWNLOADS_AT_ONCE


def test_checks_are_marked_on_a_terminal_and_named_in_a_log(screen: Screen, tty: TextIO) -> None:
    checks = (
        Checked("spark", "ok", "4 workers"),
        Checked("hdfs", "warning", "nearly full [91%]"),
        Checked("elasticsearch", "failed", "es1:9200 refuses"),
        Checked("hbase", "skipped", ""),
    )
    err = io.StringIO()
    with Output(out=tty, err=tty) as output:
        for check in checks:
            output.reporter(check)
            Output(out=io.StringIO(), err=err).reporter(check)
    assert shown(screen.until(lambda lines: len(lines) > 4)) == [
        "✓ spark: 4 workers",
        "! hdfs: nearly full [91%]",
        "✗ elasticsearch: es1:9200 refuses",
        "- hbase",
    ]
    assert err.getvalue().splitlines() == [
        "spark: ok: 4 workers",
        "hdfs: warning: nearly full [91%]",
        "elasticsearch: failed: es1:9200 refuses",
        "hbase: skipped",
    ]


def test_a_letter_that_standard_output_cannot_write_ends_nothing() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Output(out=out, err=io.StringIO()).reporter(OutputLine("Zürich"))
    assert out.buffer.getvalue() == b"Z\\xfcrich\n"
