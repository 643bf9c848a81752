"""What a user sees: results on standard output, talk on standard error, plain text away from a terminal."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pio_tf.cli.output import Rows, Terminal, show_error
from pio_tf.errors import Interrupted, NotReady
from pio_tf.events import Done, MachineProgress, OutputLine, ResourceProgress, Step, Warned
from tests.support.shell import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

ROWS = Rows(
    columns=("NAME", "ADDRESS"),
    rows=(("driver", "10.0.0.10"), ("a-very-long-name-" * 8, "10.0.0.11")),
    data={"machines": ["driver"]},
    closing="2 machines",
)


def streams() -> tuple[io.StringIO, io.StringIO]:
    return io.StringIO(), io.StringIO()


def test_a_result_is_a_table_on_standard_output_and_is_never_cut() -> None:
    out, err = streams()
    Terminal(out=out, err=err).result(ROWS)
    assert "driver" in out.getvalue()
    assert "a-very-long-name-" * 8 in out.getvalue()
    assert out.getvalue().rstrip().endswith("2 machines")
    assert err.getvalue() == ""


def test_json_is_the_only_thing_on_standard_output() -> None:
    out, err = streams()
    terminal = Terminal(json=True, out=out, err=err)
    terminal.reporter(Step("Starting"))
    terminal.reporter(OutputLine("a line of the training"))
    terminal.result(ROWS)
    assert json.loads(out.getvalue()) == {"machines": ["driver"]}
    assert "a line of the training" in err.getvalue()


def test_the_output_of_a_remote_command_goes_to_standard_output() -> None:
    out, err = streams()
    Terminal(out=out, err=err).reporter(OutputLine("[INFO] Training completed successfully."))
    assert out.getvalue() == "[INFO] Training completed successfully.\n"
    assert err.getvalue() == ""


def test_without_a_terminal_progress_is_plain_lines_without_colour() -> None:
    out, err = streams()
    terminal = Terminal(out=out, err=err)
    for event in (
        Step("Creating 4 machines"),
        ResourceProgress("aws_instance.this", "create", "started"),
        ResourceProgress("aws_instance.this", "create", "running", 10.0),
        ResourceProgress("aws_instance.this", "create", "done", 12.6),
        ResourceProgress("data.aws_ami.this", "read", "done", 0.1),
        MachineProgress("driver", "running"),
        Warned("the driver has more memory than the workers"),
        Done("4 machines run"),
    ):
        terminal.reporter(event)
    assert err.getvalue().splitlines() == [
        "Creating 4 machines",
        "aws_instance.this: creating … 10s",
        "aws_instance.this: created after 13s",
        "driver: running",
        "warning: the driver has more memory than the workers",
        "4 machines run",
    ]
    assert out.getvalue() == ""


def test_brackets_in_a_message_are_shown_as_they_are() -> None:
    out, err = streams()
    Terminal(out=out, err=err).reporter(MachineProgress('module.x["worker-1"]', "[bold] pending"))
    assert err.getvalue() == 'module.x["worker-1"]: [bold] pending\n'


def test_an_error_says_what_cause_and_next_step() -> None:
    err = io.StringIO()
    show_error(
        NotReady("worker-2 did not start", cause="no capacity in eu-west-1a", next_step="wait and retry"), err=err
    )
    assert err.getvalue() == (
        "error: worker-2 did not start\ncause: no capacity in eu-west-1a\nnext:  wait and retry\n"
    )


def test_an_error_is_json_too_with_facts_for_programs() -> None:
    out, err = streams()
    show_error(NotReady("worker-2 did not start", details={"machine": "worker-2"}), json=True, out=out, err=err)
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
from pio_tf.cli.output import Terminal
from pio_tf.events import Done, Step, Warned

with Terminal() as terminal:
    for event in (Step("Stopping"), Warned("slowly"), Done("stopped")):
        terminal.reporter(event)
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
        terminal = Terminal(out=out, err=err, environ={})
        terminal.reporter(Step("Starting"))
        with pytest.raises(Interrupted):
            terminal.reporter(OutputLine("INFO a line", source="driver"))
        terminal.reporter(OutputLine("INFO its last line", source="driver"))


def test_a_log_that_nobody_reads_ends_the_training_once() -> None:
    class Unread(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    terminal = Terminal(out=Unread(), err=io.StringIO(), environ={})
    with pytest.raises(Interrupted) as caught:
        terminal.reporter(OutputLine("INFO a line", source="driver"))
    assert caught.value.exit_code == 141
    terminal.reporter(OutputLine("INFO its last line", source="driver"))
