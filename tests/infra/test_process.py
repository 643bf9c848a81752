"""A child that is read line by line, gets signals one by one, and is never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.terraform import Ended, stream

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"PATH": os.environ["PATH"]}


def run(script: str, cwd: Path) -> tuple[list[str], Ended]:
    lines: list[str] = []
    ended = stream(["sh", "-c", script], cwd=cwd, environ=ENVIRON, on_line=lines.append)
    return lines, ended


def wait_for(path: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_lines_exit_code_and_errors_are_given(tmp_path: Path) -> None:
    lines, ended = run("echo one; printf 'two\\nlast'; echo wrong >&2; exit 3", tmp_path)
    assert lines == ["one", "two", "last"]
    assert ended == Ended(exit_code=3, errors="wrong\n")


def test_a_line_is_given_while_the_child_goes_on(tmp_path: Path) -> None:
    def release(line: str) -> None:
        if line == "waiting":
            (tmp_path / "go").touch()

    script = "echo waiting; while [ ! -e go ]; do sleep 0.05; done; exit 0"
    assert stream(["sh", "-c", script], cwd=tmp_path, environ=ENVIRON, on_line=release).exit_code == 0


def test_much_output_on_both_sides_blocks_nothing_and_only_the_end_of_the_errors_is_returned(tmp_path: Path) -> None:
    lines, ended = run(
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; echo $i wrong wrong >&2; done", tmp_path
    )
    assert len(lines) == 3000
    assert len(ended.errors) == 16 * 1024
    assert ended.errors.endswith("3000 wrong wrong\n")


def test_what_the_child_makes_is_for_this_user_only(tmp_path: Path) -> None:
    run("echo secret > state", tmp_path)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_a_signal_that_ended_it_is_an_exit_code_as_in_the_shell(tmp_path: Path) -> None:
    assert run("kill -9 $$", tmp_path)[1].exit_code == 137


def test_other_work_is_done_while_the_child_runs(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "while [ ! -e go ]; do sleep 0.05; done; echo gone"
    stream(
        ["sh", "-c", script],
        cwd=tmp_path,
        environ=ENVIRON,
        on_line=lines.append,
        meanwhile=lambda: (tmp_path / "go").touch(),
    )
    assert lines == ["gone"]


def test_an_error_here_lets_the_child_end_first(tmp_path: Path) -> None:
    def fail(_line: str) -> None:
        raise ZeroDivisionError

    script = "trap 'sleep 0.2; echo saved > state; exit 1' INT; echo ready; while :; do sleep 0.05; done"
    with pytest.raises(ZeroDivisionError):
        stream(["sh", "-c", script], cwd=tmp_path, environ=ENVIRON, on_line=fail)
    assert (tmp_path / "state").read_text() == "saved\n"


PARENT = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from pio_tf.infra.terraform import stream
    try:
        stream(["sh", "-c", sys.argv[1]], cwd=Path.cwd(), environ={"PATH": os.environ["PATH"]},
               on_line=lambda line: None, on_interrupt=lambda: Path("interrupting").touch())
    except KeyboardInterrupt:
        Path("raised").touch()
        raise SystemExit(130)
    """
)
COUNTS_SIGNALS = (
    "n=0; trap 'n=$((n+1)); echo $n > signals' INT; touch ready; "
    "while [ ! -e release ]; do sleep 0.05; done; echo whole > state"
)


def start_parent(script: str, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PARENT, script], cwd=cwd, start_new_session=True)


def test_ctrl_c_in_the_terminal_reaches_the_child_once_and_is_waited_for(tmp_path: Path) -> None:
    parent = start_parent(COUNTS_SIGNALS, tmp_path)
    wait_for(tmp_path / "ready")
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    wait_for(tmp_path / "signals")
    time.sleep(0.3)
    assert parent.poll() is None, "it must wait for its child"
    assert (tmp_path / "signals").read_text() == "1\n"
    assert not (tmp_path / "raised").exists()

    (tmp_path / "release").touch()
    assert parent.wait(120) == 130
    assert (tmp_path / "state").read_text() == "whole\n"
    assert (tmp_path / "interrupting").exists()


def test_a_second_ctrl_c_is_passed_on_and_a_third_kills(tmp_path: Path) -> None:
    parent = start_parent(COUNTS_SIGNALS, tmp_path)
    wait_for(tmp_path / "ready")
    for count in ("1\n", "2\n"):
        os.killpg(parent.pid, signal.SIGINT)
        deadline = time.monotonic() + 120
        while not (tmp_path / "signals").exists() or (tmp_path / "signals").read_text() != count:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(120) == 130
    assert not (tmp_path / "state").exists()


def test_a_child_whose_parent_is_killed_outright_works_to_its_end(tmp_path: Path) -> None:
    parent = start_parent("touch ready; sleep 0.5; echo more; echo and more; echo whole > state", tmp_path)
    wait_for(tmp_path / "ready")
    parent.kill()
    parent.wait(120)
    wait_for(tmp_path / "state")
