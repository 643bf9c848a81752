"""A command that tests/support/fork_server.py forks is what it would be as an executed process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.background import wait_until
from tests.support.fork_server import PIO_TF, Program, _fork_server, run, write_program
from tests.support.terminal import TerminalUser

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        "sandbox": "pio_tf.sandbox.server" in sys.modules,
    }
    os.write(1, json.dumps(about).encode())
    os._exit(0)


def reported(
    directory: Path,
    *words: str | bytes,
    program: tuple[str | Path, ...] = (PIO_TF,),
    **options: Any,  # noqa: ANN401 - Popen's
) -> dict[str, Any]:
    command = [*program, *words]
    with Program(command, cwd=directory, stdout=subprocess.PIPE, preexec_fn=report, **options) as process:
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


def test_the_server_of_a_sandbox_is_a_fork_that_has_imported_it(tmp_path: Path) -> None:
    assert reported(tmp_path)["sandbox"] is False
    (tmp_path / "made").rmdir()
    about = reported(tmp_path, "--dir", "x", program=(sys.executable, "-m", "pio_tf.sandbox"), start_new_session=True)
    assert about["arguments"] == [sys.executable, "-m", "pio_tf.sandbox", "--dir", "x"]
    assert about["sandbox"] is True
    assert (about["parent"], about["session"], about["threads"]) == (os.getpid(), True, 1)
    assert about["name"] == Path(sys.executable).name


def test_code_runs_as_python_runs_it(tmp_path: Path) -> None:
    code = "import sys\nif __name__ == '__main__':\n    print(sys.argv, [sys.path[0]], 'pio_tf.cluster' in sys.modules)"
    command = [sys.executable, "-c", code, "a", ""]
    assert run(command, cwd=tmp_path, env=os.environ, timeout=60).stdout == "['-c', 'a', ''] [''] True\n"
    broken = run([*command[:2], "1 / 0"], cwd=tmp_path, env=os.environ, timeout=60)
    assert broken.returncode == 1
    assert broken.stderr.endswith("\nZeroDivisionError: division by zero\n")


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
        assert wait_until(lambda: has_opened_pipe(process.pid))
        process.send_signal(number)
        assert json.loads(process.communicate(timeout=60)[0])["error"]["exit_code"] == code
    assert process.returncode == code


def test_it_knows_its_terminal(waiting: Path) -> None:
    """Ctrl-C, which the terminal sends to its session, reaches it."""
    with TerminalUser([PIO_TF, "status"], cwd=waiting) as user:
        assert wait_until(lambda: has_opened_pipe(user.process.pid))
        assert os.tcgetpgrp(user._ours) == user.process.pid
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


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write `pio-tf` for scripts."""
    path = tmp_path_factory.mktemp("bin") / "pio-tf"
    write_program(path)
    return path


def script(text: str, program: Path, **environment: str) -> dict[str, Any]:
    """Return options of Popen: a script that finds the program on its PATH, and little else in its environment.

    What Python reads as it starts is as for these tests: with other values, `pio-tf` is executed.
    """
    read_at_start = ("PYTHON", "TYPER_", "LD_", "OPENSSL_", "LANG", "LC_")
    same = {name: value for name, value in os.environ.items() if name.startswith(read_at_start)}
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", **same, **environment}
    return {"args": ["/bin/bash", "-c", text], "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@contextlib.contextmanager
def waiting_in_script(text: str, program: Path, *, cwd: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a script whose `pio-tf` waits for a pipe; yield the script's process and the fork's number."""
    server = _fork_server()._process.pid

    def waiting_forks() -> list[int]:
        numbers = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        return [int(number) for number in numbers if has_opened_pipe(number)]

    with subprocess.Popen(**script(text, program), cwd=cwd) as process:
        try:
            assert wait_until(lambda: waiting_forks() != [])
            (fork,) = waiting_forks()
            yield process, fork
        finally:
            process.kill()


def has_opened_pipe(process: int | str) -> bool:
    """Tell if a process waits for the other end of a pipe with a name."""
    wchan = Path(f"/proc/{process}/wchan").read_text()
    return "fifo" in wchan or "wait_for_partner" in wchan


@pytest.mark.parametrize(
    "command",
    [
        "pio-tf --version",
        "pio-tf",
        "cd /; pio-tf status",
        "PIO_TF_CONFIG=$'w\\xf6rd.hcl' pio-tf status --json",
        "echo 'cluster {' | pio-tf status --config /dev/stdin",
    ],
)
def test_one_in_a_script_says_what_an_executed_one_says(command: str, program: Path) -> None:
    forked, executed = (
        subprocess.run(**script(f"{command}; echo $?", path), check=False, timeout=60) for path in (program, PIO_TF)
    )
    assert (forked.stdout, forked.stderr) == (executed.stdout, executed.stderr)


def test_one_in_a_script_has_the_directory_the_umask_and_the_streams_of_the_script(
    waiting: Path, program: Path
) -> None:
    with waiting_in_script("umask 027; exec pio-tf status", program, cwd=waiting) as (process, fork):
        about = Path("/proc", str(fork))
        assert (about / "comm").read_text() == "pio-tf\n"
        assert (about / "cwd").readlink() == waiting
        assert "\nUmask:\t0027\n" in (about / "status").read_text()
        own = Path("/proc", str(process.pid), "fd")
        for number in ("0", "1", "2"):
            assert (about / "fd" / number).readlink() == (own / number).readlink()
        process.terminate()
        assert process.wait(60) == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_one_in_a_script_reaches_the_fork(
    waiting: Path, program: Path, number: signal.Signals, code: int
) -> None:
    with waiting_in_script("exec pio-tf status --json", program, cwd=waiting) as (process, _fork):
        process.send_signal(number)
        assert json.loads(process.communicate(timeout=60)[0])["error"]["exit_code"] == code
    assert process.returncode == code


def test_the_signal_that_kills_the_fork_kills_the_one_in_the_script(waiting: Path, program: Path) -> None:
    with waiting_in_script("exec pio-tf status", program, cwd=waiting) as (process, fork):
        os.kill(fork, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
