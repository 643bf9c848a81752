"""Text that terminals and CI logs print as it is."""

from __future__ import annotations

import io

import pytest

from pio_tf.cli.output import Output
from pio_tf.cli.printable import printable
from pio_tf.errors import PioTfError
from pio_tf.events import Event, MachineProgress, OutputLine, Step, Warned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;ZXZpbA==\x07copied", "copied"),
        ("\x1b]0;title\x1b\\x", "x"),
        ("\x9d52;c;eA==\x9cx", "x"),
        ("\x1b]52;c;without an end", ""),
        ("a\x1b[2J\x1b[1;1Hb", "ab"),
        ("a\x9b2Jb", "ab"),
        ("\x1bP1$qm\x1b\\x\x1b^y\x1b\\\x1b_z\x1b\\", "x"),
        ("\x1bc\x1b(0\x1b7x", "x"),
        ("a\x08\x08b\x00\x7f\x85c\x07", "abc"),
        ("10 %\r20 %\r\nend\r", "10 % 20 %\nend"),
        ("a\x1b", "a"),
        ("\x1b[>4;1m\x1b[?1mx", "x"),
    ],
)
def test_control_sequences_are_removed(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["\x1b[1;31mred\x1b[0m", "\x1b[38:2::1:2:3mred\x1b[m", "a\tb\nc", "für", "plain"])
def test_colours_tabs_and_letters_stay(text: str) -> None:
    assert printable(text) == text


EVIL = "a\x1b]52;c;eA==\x07\x1b[2J\x9b2Jb"


@pytest.mark.parametrize(
    "event",
    [
        OutputLine(EVIL, source="driver"),
        OutputLine(EVIL, source="terraform"),
        Step(EVIL),
        Warned(EVIL),
        MachineProgress(EVIL, EVIL),
    ],
)
@pytest.mark.parametrize("environ", [{}, {"GITHUB_ACTIONS": "true"}, {"GITLAB_CI": "true"}, {"JENKINS_URL": "x"}])
def test_no_event_brings_a_control_sequence_to_a_terminal_or_log(event: Event, environ: dict[str, str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with Output(out=out, err=err, environ=environ) as output:
        output.reporter(event)
    written = out.getvalue() + err.getvalue()
    assert "ab" in written
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written
    assert "\x9b" not in written


@pytest.mark.parametrize("environ", [{}, {"GITHUB_ACTIONS": "true"}])
def test_no_error_or_result_brings_one(environ: dict[str, str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with Output(out=out, err=err, environ=environ) as output:
        output.error(PioTfError(EVIL, cause=EVIL, next_step=EVIL))
        output.write(EVIL)
        output.say(EVIL)
    assert out.getvalue() == "ab\n"
    assert "\x1b]" not in err.getvalue()
    assert "\x9b" not in err.getvalue()
