"""Output for users: results on standard output, talk on standard error, plain text away from a terminal."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pio_tf.cli.output import Output, Verbosity
from pio_tf.cli.results.base import CommandResult, Table
from pio_tf.errors import Interrupted, NotReady
from pio_tf.events import (
    Checked,
    Done,
    MachineProgress,
    OutputLine,
    OutputLines,
    ResourceProgress,
    Step,
    TrainingProgress,
    Warned,
)
from tests.support.shell import clean_environment

if TYPE_CHECKING:
    from pathlib import Path


class Machines(CommandResult):
    machines: list[str]

    def table(self) -> Table:
        return Table(("NAME", "ADDRESS"), [("driver", "10.0.0.10"), ("a-very-long-name-" * 8, "10.0.0.11")])

    def closing(self) -> str:
        return "2 machines"


RESULT = Machines(machines=["driver"])


def streams() -> tuple[io.StringIO, io.StringIO]:
    return io.StringIO(), io.StringIO()


def test_a_result_is_a_table_on_standard_output_and_is_never_cut() -> None:
    out, err = streams()
    Output(out=out, err=err).result(RESULT)
    assert "driver" in out.getvalue()
    assert "a-very-long-name-" * 8 in out.getvalue()
    assert out.getvalue().rstrip().endswith("2 machines")
    assert err.getvalue() == ""


def test_names_between_colons_are_no_emoji() -> None:
    class Aliases(Machines):
        def table(self) -> Table:
            return Table(("NAME",), [("arn:aws:kms:key:driver",)])

    out, err = streams()
    output = Output(out=out, err=err)
    output.result(Aliases(machines=[]))
    output.say("there is no file a:key:b")
    assert "kms:key:driver" in out.getvalue()
    assert "a:key:b" in err.getvalue()


def test_json_is_the_only_thing_on_standard_output() -> None:
    out, err = streams()
    output = Output(json=True, out=out, err=err)
    output.reporter(Step("Starting"))
    output.reporter(OutputLine("a line of the training"))
    output.result(RESULT)
    assert json.loads(out.getvalue()) == {"version": 1, "machines": ["driver"]}
    assert "a line of the training" in err.getvalue()


def test_the_output_of_a_remote_command_goes_to_standard_output() -> None:
    out, err = streams()
    Output(out=out, err=err).reporter(OutputLine("[INFO] Training completed successfully."))
    assert out.getvalue() == "[INFO] Training completed successfully.\n"
    assert err.getvalue() == ""


def test_lines_that_came_at_once_are_written_at_once_without_control_sequences() -> None:
    class Counted(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    out, err = Counted(), io.StringIO()
    output = Output(out=out, err=err)
    output.reporter(OutputLines("[INFO] a line\n" * 1000 + "\n", source="driver"))
    assert (out.getvalue(), out.flushes) == ("[INFO] a line\n" * 1000 + "\n", 1)
    output.reporter(OutputLines("one \x1b]0;title\x07\n" + "[INFO] \x1b[2Ja line\n" * 1000, source="driver"))
    output.reporter(OutputLines("ü\x9b2J\n", source="driver"))
    assert out.getvalue()[14_001:] == "one \n" + "[INFO] a line\n" * 1000 + "ü\n"
    assert err.getvalue() == ""


def test_without_a_terminal_progress_is_plain_lines_without_colour() -> None:
    out, err = streams()
    output = Output(out=out, err=err)
    for event in (
        Step("Creating 4 machines"),
        ResourceProgress("module.driver.module.machine.aws_instance.this", "create", "started"),
        ResourceProgress("module.driver.module.machine.aws_instance.this", "create", "running", 10.0),
        ResourceProgress("module.driver.module.machine.aws_instance.this", "create", "done", 12.6),
        ResourceProgress("data.aws_ami.this", "read", "done", 0.1),
        MachineProgress("driver", "running"),
        Warned("the driver has more memory than the workers"),
        Done("4 machines run"),
    ):
        output.reporter(event)
    assert err.getvalue().splitlines() == [
        "Creating 4 machines",
        "driver: creating … 10s",
        "driver: created after 13s",
        "driver: running",
        "warning: the driver has more memory than the workers",
        "4 machines run",
    ]
    assert out.getvalue() == ""


def test_quiet_leaves_warnings_failed_checks_and_the_result() -> None:
    out, err = streams()
    with Output(verbosity=Verbosity.QUIET, out=out, err=err) as output:
        for event in (
            Step("Creating 4 machines"),
            ResourceProgress("aws_instance.this", "create", "done", 12.6),
            MachineProgress("driver", "running", ready=True),
            Warned("the driver has more memory than the workers"),
            Checked("disk", "ok", "30 GiB free"),
            Checked("engine", "failed", "it is not there"),
            OutputLine("[INFO] a line of the training", source="driver"),
            OutputLine("a line of Terraform", source="terraform"),
            TrainingProgress("run-7", 5.0, jobs=5, jobs_done=1),
            Done("4 machines run"),
        ):
            output.reporter(event)
        output.say("next: pio-tf train")
        output.done("wrote it")
        output.result(RESULT)
        output.error(NotReady("worker-2 did not start"))
    assert err.getvalue().splitlines() == [
        "warning: the driver has more memory than the workers",
        "engine: failed: it is not there",
        "error: worker-2 did not start",
    ]
    assert out.getvalue().endswith("2 machines\n")
    assert "[INFO]" not in out.getvalue()


def test_verbose_shows_what_terraform_reads_and_when_it_begins() -> None:
    out, err = streams()
    output = Output(verbosity=Verbosity.VERBOSE, out=out, err=err)
    output.reporter(ResourceProgress("data.aws_ami.this", "read", "started"))
    output.reporter(ResourceProgress("data.aws_ami.this", "read", "done", 0.6))
    output.reporter(ResourceProgress("aws_vpc.this", "refresh", "done"))
    assert err.getvalue().splitlines() == [
        "data.aws_ami.this: reading",
        "data.aws_ami.this: read after 1s",
        "aws_vpc.this: refreshed after 0s",
    ]


def test_brackets_in_a_message_are_shown_as_they_are() -> None:
    out, err = streams()
    Output(out=out, err=err).reporter(MachineProgress('module.x["worker-1"]', "[bold] pending"))
    assert err.getvalue() == 'module.x["worker-1"]: [bold] pending\n'


def test_an_error_says_what_cause_and_next_step() -> None:
    err = io.StringIO()
    Output(err=err).error(
        NotReady("worker-2 did not start", cause="no capacity in eu-west-1a", next_step="wait and retry")
    )
    assert err.getvalue() == (
        "error: worker-2 did not start\ncause: no capacity in eu-west-1a\nnext:  wait and retry\n"
    )


def test_an_error_is_json_too_with_facts_for_programs() -> None:
    out, err = streams()
    Output(json=True, out=out, err=err).error(NotReady("worker-2 did not start", details={"machine": "worker-2"}))
    assert json.loads(out.getvalue()) == {
        "version": 1,
        "error": {
            "what": "worker-2 did not start",
            "cause": "",
            "next_step": "",
            "exit_code": 5,
            "details": {"machine": "worker-2"},
        },
    }
    assert err.getvalue() == "error: worker-2 did not start\n"


UNREAD = """
from pathlib import Path
from pio_tf.cli.output import Output
from pio_tf.events import Done, Step, Warned

with Output() as output:
    for event in (Step("Stopping"), Warned("slowly"), Done("stopped")):
        output.reporter(event)
    Path("went-on").touch()
"""


@pytest.mark.parametrize("ci", ["", "GITHUB_ACTIONS", "GITLAB_CI"])
def test_what_nobody_reads_does_not_end_a_stop(tmp_path: Path, ci: str) -> None:
    environment = {**clean_environment(), **({ci: "true"} if ci else {})}
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", UNREAD]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=writer, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert (tmp_path / "went-on").exists()


def test_a_log_that_is_not_read_since_the_talk_before_it_ends_the_training_too() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(os.dup(writer), "w") as out, os.fdopen(writer, "w") as err:
        output = Output(out=out, err=err, environ={})
        output.reporter(Step("Starting"))
        with pytest.raises(Interrupted):
            output.reporter(OutputLine("INFO a line", source="driver"))
        output.reporter(OutputLine("INFO its last line", source="driver"))


def test_a_log_that_nobody_reads_ends_the_training_once() -> None:
    class Unread(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    output = Output(out=Unread(), err=io.StringIO(), environ={})
    with pytest.raises(Interrupted) as caught:
        output.reporter(OutputLine("INFO a line", source="driver"))
    assert caught.value.exit_code == 141
    output.reporter(OutputLine("INFO its last line", source="driver"))
