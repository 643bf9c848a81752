"""Shells and commands on a machine, over a real SSH server with terminals: what a user types, sees and gets."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.remote.shell import open_shell
from pio_tf.sandbox.home import MachineFiles
from pio_tf.sandbox.ssh_server import MachineSshServer
from tests.support.fork_server import Program
from tests.support.ssh_servers import free_port
from tests.support.terminal import TerminalUser

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CLIENT = "from tests.remote.shell_client import run; run()"


@dataclass
class Machine:
    """A server in a thread of its own, and a client for it."""

    home: Path
    key: Path
    port: int
    server: MachineSshServer
    loop: asyncio.AbstractEventLoop

    def client(self, command: str | None = None) -> list[str]:
        words = [sys.executable, "-c", CLIENT, str(self.port), str(self.key)]
        return [*words, command] if command is not None else words

    def run(
        self, command: str | None, *, content: bytes | None = b"", exit_code: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        source = null if content is None else pipe
        with Program(self.client(command), cwd=ROOT, stdin=source, stdout=pipe, stderr=pipe) as process:
            out, errors = process.communicate(content, timeout=240)
        assert process.returncode == exit_code, errors.decode()
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def at_a_terminal(self, *, size: tuple[int, int] = (80, 24)) -> TerminalUser:
        environment = {**os.environ, "TERM": "vt100"}
        return TerminalUser(self.client(), cwd=ROOT, env=environment, size=size)

    def cut(self) -> None:
        """Break every connection, as a network does."""
        for connection in tuple(self.server.connections):
            self.loop.call_soon_threadsafe(connection.abort)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key")
    files = MachineFiles(tmp_path / "machine")
    files.home.mkdir(parents=True)
    files.temporary.mkdir()
    (files.home / ".bashrc").write_text("PS1='machine> '\n")
    port = free_port()
    server = MachineSshServer(
        files=files,
        address="127.0.0.1",
        port=port,
        user="ubuntu",
        authorized_keys=[key.export_public_key().decode()],
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    try:
        yield Machine(files.home, tmp_path / "key", port, server, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        asyncio.run_coroutine_threadsafe(server.wait(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def until(path: Path, text: str = "") -> str:
    """Wait until the file is there, and says it."""
    for _ in range(1200):
        if path.exists() and text in path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} does not say {text!r}")


def test_a_command_keeps_its_two_outputs_apart_and_its_exit_code(machine: Machine) -> None:
    done = machine.run("echo out; echo err >&2; exit 3", exit_code=3)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_what_a_signal_ended_has_a_shells_exit_code(machine: Machine) -> None:
    machine.run("kill -SEGV $$", exit_code=128 + signal.SIGSEGV)


def test_a_command_runs_in_the_users_shell_with_its_pipes_and_without_a_terminal(machine: Machine) -> None:
    done = machine.run("echo $HOME | tr a-z A-Z; tty", exit_code=1)
    assert done.stdout.decode() == f"{str(machine.home).upper()}\nnot a tty\n"


def test_bytes_of_any_kind_go_both_ways_unchanged(machine: Machine) -> None:
    content = bytes(range(256)) * 20_000 + b"\xff no newline"
    assert machine.run("cat", content=content).stdout == content


def test_a_file_and_dev_null_are_input_too(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(os.urandom(3_000_000))
    with file.open("rb") as source:
        done = subprocess.run(machine.client("cat"), cwd=ROOT, stdin=source, capture_output=True, check=True)
    assert done.stdout == file.read_bytes()
    done = machine.run("cat; echo end", content=None)
    assert (done.stdout, done.stderr) == (b"end\n", b"")


def test_output_goes_to_a_file_as_it_comes(machine: Machine, tmp_path: Path) -> None:
    target = tmp_path / "output"
    with (
        target.open("wb") as file,
        subprocess.Popen(
            machine.client("echo first; read; echo last"), cwd=ROOT, stdin=subprocess.PIPE, stdout=file
        ) as process,
    ):
        assert until(target, "first\n")
        process.communicate(b"go on\n", timeout=120)
    assert target.read_bytes() == b"first\nlast\n"


def test_any_volume_passes_in_bounded_memory(machine: Machine) -> None:
    size = 100_000_000
    with subprocess.Popen(machine.client(f"head -c {size} /dev/zero"), cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        time.sleep(1.5)  # it must hold the machine up, not collect
        resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * resource.getpagesize()
        digest = hashlib.sha256()
        while data := process.stdout.read(1 << 20):
            digest.update(data)
    assert process.returncode == 0
    assert digest.hexdigest() == hashlib.sha256(bytes(size)).hexdigest()
    assert resident < 100_000_000


def test_a_reader_that_has_seen_enough_ends_the_command(machine: Machine) -> None:
    command = "trap 'echo gone > gone; exit' INT TERM HUP PIPE; while :; do echo y; done"
    with subprocess.Popen(machine.client(command), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
    until(machine.home / "gone")


def test_a_command_that_does_not_read_its_input_leaves_it(machine: Machine) -> None:
    endless = subprocess.Popen(["/bin/sh", "-c", "while :; do echo yes; done"], stdout=subprocess.PIPE)
    with endless:
        done = subprocess.run(
            machine.client("head -n 1"), cwd=ROOT, stdin=endless.stdout, capture_output=True, check=True, timeout=120
        )
        endless.kill()
    assert (done.stdout, done.stderr) == (b"yes\n", b"")


class _NoLogin(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - asyncssh's signature
        return False


async def test_input_that_comes_after_the_channel_was_closed_is_left(tmp_path: Path) -> None:
    """Let more output wait than asyncssh hands on: its client then closes the channel long before it ends the input."""
    output, closed, errors = bytes(3_000_000), asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))

    async def command(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(output)
        process.exit(3)
        await process.wait_closed()  # by the client, too
        closed.set()

    key = asyncssh.generate_private_key("ssh-ed25519")
    async with asyncssh.listen(
        "127.0.0.1", 0, server_factory=_NoLogin, server_host_keys=[key], process_factory=command, encoding=None
    ) as server:
        address = ("127.0.0.1", server.sockets[0].getsockname()[1])
        async with asyncssh.connect(*address, known_hosts=None, config=None, agent_path=None) as connection:
            (stdin, keys), (screen, stdout) = os.pipe(), os.pipe()
            with (tmp_path / "errors").open("wb") as stderr, os.fdopen(screen, "rb") as seen, os.fdopen(keys, "wb"):
                shell = asyncio.ensure_future(
                    open_shell(connection, "driver", "x", stdin=stdin, stdout=stdout, stderr=stderr.fileno())
                )
                await asyncio.wait_for(closed.wait(), timeout=60)
                os.write(keys, b"too late")
                assert await asyncio.to_thread(seen.read, len(output)) == output
                assert await asyncio.wait_for(shell, timeout=60) == 3
            os.close(stdin)
            os.close(stdout)
    assert errors == []


def test_a_full_disk_here_is_told(machine: Machine) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(machine.client("echo hi"), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert b"cannot write the output of driver\ncause: No space left on device" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_command_that_has_no_terminal(machine: Machine, number: signal.Signals) -> None:
    # Not in a loop of short commands: Bash forgets an INT that meets it while it starts one.
    command = "trap 'kill $!; echo interrupted > ended; exit 1' INT; sleep 300 & echo begun > begun; wait"
    with subprocess.Popen(machine.client(command), cwd=ROOT) as process:
        until(machine.home / "begun")
        process.send_signal(number)
        assert process.wait(timeout=120) == 130
    assert until(machine.home / "ended", "\n") == "interrupted\n"


def test_ctrl_c_ends_a_command_that_ignores_it_and_talks_on(machine: Machine) -> None:
    command = "trap '' INT; echo $$ > pid; yes"
    with subprocess.Popen(machine.client(command), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        pid = int(until(machine.home / "pid", "\n"))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_a_terminal_a_shell_reads_its_script_from_the_input(machine: Machine) -> None:
    done = machine.run(None, content=b"echo $((6 * 7))\necho bad >&2\nexit 5\n", exit_code=5)
    assert (done.stdout, done.stderr) == (b"42\n", b"bad\n")


def test_a_connection_that_is_lost_is_told(machine: Machine) -> None:
    with subprocess.Popen(
        machine.client("echo up > up; sleep 60"), cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until(machine.home / "up")
        machine.cut()
        assert process.stderr
        assert b"the SSH connection to driver was lost" in process.stderr.read()
    assert process.returncode == 1


def test_a_shell_at_a_terminal_has_one_there_of_the_same_kind_and_size(machine: Machine) -> None:
    with machine.at_a_terminal(size=(101, 33)) as user:
        user.sees("machine> ")
        user.type("echo $TERM $(stty size) $(tty | cut -c1-8)\r")
        user.sees("vt100 33 101 /dev/pts")
        user.resize(77, 22)
        # The shell hears of the new size some time later.
        user.type("until [ $(stty size | cut -c1-2) = 22 ]; do sleep 0.1; done; stty size\r")
        user.sees("22 77")
        user.type("exit 7\r")
        assert user.ends() == 7
        assert user.settings() == user.before


def test_keys_reach_the_shell_as_they_are_and_ctrl_c_reaches_its_program(machine: Machine) -> None:
    with machine.at_a_terminal() as user:
        user.sees("machine> ")
        assert user.settings() != user.before
        user.type("sleep 60; echo slept-$((1 + 1))\r")
        user.sees("sleep 60")
        time.sleep(0.5)
        user.type("\x03")
        assert "slept-2" not in user.sees("machine> ")
        user.type("echo still-$((2 + 2))\r")
        user.sees("still-4")
        user.sees("machine> ")
        user.type("true\r")
        user.sees("machine> ")  # between two prompts, Ctrl-D would be the terminal's, and not the shell's
        user.type("\x04")
        assert user.ends() == 0
        assert user.settings() == user.before


def test_what_is_typed_is_echoed_once_and_by_the_machine(machine: Machine) -> None:
    with machine.at_a_terminal() as user:
        user.sees("machine> ")
        user.type("stty -echo\r")
        user.sees("machine> ")
        user.type("word=typed\r")
        assert "typed" not in user.sees("machine> ")
        user.type("echo $word\r")
        user.sees("typed")


@pytest.mark.parametrize("end", ["lost connection", "signal"])
def test_the_terminal_is_as_it_was_however_it_ends(machine: Machine, end: str) -> None:
    with machine.at_a_terminal() as user:
        user.sees("machine> ")
        user.type("echo $$ > pid\r")
        user.sees("machine> ")
        pid = int(until(machine.home / "pid", "\n"))
        if end == "signal":
            user.send_signal(signal.SIGTERM)
            assert user.ends() == 130
        else:
            machine.cut()
            assert user.ends() == 1
            user.sees("the SSH connection to driver was lost while you were logged in")
        assert user.settings() == user.before
    for _ in range(1200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the shell continues")
