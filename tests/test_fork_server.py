"""A command that tests/support/fork_server.py forks is what it would be as an executed process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.background import wait_until
from tests.support.fork_server import PIO_TF, Program, run
from tests.support.terminal import TerminalUser


def report() -> None:
    """Write what a process knows of itself, and end it."""
    os.mkdir("made")  # noqa: PTH102 - says the umask
    about = {
        "arguments": sys.argv,
        "directory": os.getcwd(),  # noqa: PTH109 - as the kernel has it
        "environment": dict(os.environ),
        "files": sorted(
            file.name for file in Path("/proc/self/fd").iterdir() if file.exists()
        ),  # without this listing's
        "parent": os.getppid(),
        "session": os.getsid(0) == os.getpid(),
        "threads": threading.active_count(),
        "zone": time.tzname[0],
        "path": sys.path[0],
        "name": Path("/proc/self/comm").read_text().strip(),
    }
    os.write(1, json.dumps(about).encode())
    os._exit(0)


def reported(directory: Path, *words: str | bytes, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - Popen's
    with Program([PIO_TF, *words], cwd=directory, stdout=subprocess.PIPE, preexec_fn=report, **options) as process:
        about: dict[str, Any] = json.loads(process.communicate(timeout=60)[0])
    return about


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """Return a directory in which `pio-tf status` waits: its configuration is a pipe without a writer."""
    os.mkfifo(tmp_path / "pio-tf.hcl")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code"), [("--version", 0), ("--help", 0), ("status", 2), ("status --json", 2), ("no-such-command", 2)]
)
def test_it_says_what_an_executed_one_says(words: str, code: int, tmp_path: Path) -> None:
    command: list[str | Path] = [PIO_TF, *words.split()]
    executed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    forked = run(command, cwd=tmp_path, env=os.environ, timeout=60)
    assert (forked.returncode, forked.stdout, forked.stderr) == (code, executed.stdout, executed.stderr)


def test_it_has_its_own_arguments_directory_environment_and_streams(tmp_path: Path) -> None:
    environment = {**os.environ, "TZ": "Asia/Tokyo", "NAME": "w\xf6rd\udcff"}
    del environment["HOME"]
    about = reported(tmp_path, "status", b"\xff", env=environment, start_new_session=True)
    assert about["arguments"] == [str(PIO_TF), "status", "\udcff"]
    assert about["directory"] == str(tmp_path)
    assert about["environment"] == environment
    assert about["files"] == ["0", "1", "2"]
    assert about["parent"] == os.getpid()
    assert about["session"] is True
    assert about["threads"] == 1
    assert about["zone"] == "JST"
    assert about["path"] == str(PIO_TF.parent)
    assert about["name"] == "pio-tf"


def test_it_has_the_session_and_the_umask_of_the_tests(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        assert reported(tmp_path)["session"] is False
    finally:
        os.umask(before)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o750


def test_what_python_reads_as_it_starts_comes_from_an_executed_one(tmp_path: Path) -> None:
    """Python's own option makes it show its imports, which a fork has done already."""
    done = run([PIO_TF, "--version"], cwd=tmp_path, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}, timeout=60)
    assert "pio_tf.cli.app" in done.stderr


def test_other_programs_are_executed(tmp_path: Path) -> None:
    assert run(["/bin/sh", "-c", "echo $0; exit 3"], cwd=tmp_path, env={}, timeout=60).stdout == "/bin/sh\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_a_signal_that_kills_it_is_its_exit_code(waiting: Path, number: signal.Signals) -> None:
    with Program([PIO_TF, "status"], cwd=waiting) as process:
        process.send_signal(number)
        assert process.wait(60) == -number


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_pio_tf_handles_ends_it_with_its_code(waiting: Path, number: signal.Signals, code: int) -> None:
    with Program([PIO_TF, "status", "--json"], cwd=waiting, stdout=subprocess.PIPE) as process:
        wchan = Path(f"/proc/{process.pid}/wchan")
        assert wait_until(lambda: "fifo" in wchan.read_text() or "wait_for_partner" in wchan.read_text())
        process.send_signal(number)
        assert json.loads(process.communicate(timeout=60)[0])["error"]["exit_code"] == code
    assert process.returncode == code


def test_it_knows_its_terminal(tmp_path: Path) -> None:
    """Ctrl-C, which the terminal sends to its session, reaches it."""
    os.mkfifo(tmp_path / "pio-tf.hcl")
    with TerminalUser([PIO_TF, "status"], cwd=tmp_path) as user:
        assert wait_until(lambda: os.tcgetpgrp(user._ours) == user.process.pid)
        user.type("\x03")
        assert user.ends() == 130


def test_many_at_once_get_their_own_output(tmp_path: Path) -> None:
    async def one(word: str) -> str:
        command: list[str | Path] = [PIO_TF, f"no-{word}"]
        return (await asyncio.to_thread(run, command, cwd=tmp_path, env=os.environ, timeout=60)).stderr

    async def all_of(words: list[str]) -> list[str]:
        return await asyncio.gather(*map(one, words))

    words = [f"word-{number}" for number in range(8)]
    for word, said in zip(words, asyncio.run(all_of(words)), strict=True):
        assert f"no-{word}" in said
