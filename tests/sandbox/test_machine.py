"""A machine of the sandbox: logging in, and power. Real SSH, no Spark: it is a driver."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.errors import SandboxError
from pio_tf.machines.console import parse_host_keys
from pio_tf.sandbox.machine import SandboxMachine
from pio_tf.sandbox.processes import end_processes, find_processes
from pio_tf.sandbox.spark_daemon import MASTER_PORT, wait_for_port
from pio_tf.training.follow_driver import INSTALL, render_script
from tests.integration import light_spark
from tests.sandbox.machines import SSH_PORT, free_network, is_free, log_in, make_spec
from tests.support.background import until
from tests.support.builders import OUTPUTS, make_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


KEY = asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def address() -> str:
    return f"{free_network()}.10"


@pytest.fixture
async def machine(tmp_path: Path, address: str) -> AsyncIterator[SandboxMachine]:
    machine = SandboxMachine(make_spec(tmp_path / "driver", role="driver", address=address, key=KEY))
    await machine.start()
    yield machine
    await machine.stop()
    assert not find_processes(tmp_path)
    assert is_free(address, SSH_PORT)


@pytest.fixture
async def client(machine: SandboxMachine, address: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
    async with await log_in(address, KEY) as connection:
        yield connection


async def until_gone(directory: Path, *, seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.05)):
        if not find_processes(directory):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"still running: {find_processes(directory)}")


async def test_a_worker_runs_its_timer_and_powers_itself_off_without_a_driver(tmp_path: Path, address: str) -> None:
    machine = SandboxMachine(make_spec(tmp_path / "worker", role="worker", address=address, key=KEY))
    machine.timer_seconds = 0.5
    script = render_script(make_config(tmp_path), OUTPUTS)  # no machine of these outputs answers here
    for name, value in (("DRIVER", "127.0.0.1"), ("SSH_PORT", 1), ("MASTER", "127.0.0.1"), ("UI_PORT", 1)):
        script = re.sub(rf"(?m)^{name}=.*$", f"{name}={value}", script)
    script = re.sub(r"(?m)^GRACE=.*$", "GRACE=2", re.sub(r"(?m)^PATIENCE=.*$", "PATIENCE=2", script))
    await machine.start()
    power_off = tmp_path / "worker" / "power-off"
    try:
        async with await log_in(address, KEY) as client:
            done = await client.run(INSTALL, input=script)
            assert done.exit_status == 0
        await until(power_off.exists, within=60)
        log = (tmp_path / "worker" / "system" / "var" / "log" / "pio-tf.log").read_text()
        assert "neither the driver nor Spark's master has answered: this machine stops" in log
    finally:
        await machine.stop()
    await machine.start()
    assert not power_off.exists()
    await machine.stop()


async def test_a_driver_powers_itself_off_with_sudo(client: asyncssh.SSHClientConnection, tmp_path: Path) -> None:
    assert (await client.run("sudo -n true")).exit_status == 1
    assert not (tmp_path / "driver" / "power-off").exists()
    assert (await client.run("sudo -n systemctl poweroff")).exit_status == 0
    assert (tmp_path / "driver" / "power-off").exists()


@pytest.mark.usefixtures("machine")
async def test_another_key_is_refused(address: str) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        await log_in(address, asyncssh.generate_private_key("ssh-ed25519"))


@pytest.mark.usefixtures("machine")
async def test_another_user_is_refused(address: str) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        await log_in(address, KEY, user="root")


@pytest.mark.usefixtures("machine")
async def test_a_password_is_not_even_asked_for(address: str) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            address, SSH_PORT, username="ubuntu", password="x", client_keys=None, known_hosts=None, config=None
        )


async def test_any_user_may_log_in_where_none_is_named(tmp_path: Path, address: str) -> None:
    machine = SandboxMachine(make_spec(tmp_path / "any", role="driver", address=address, key=KEY, user=None))
    await machine.start()
    try:
        async with await log_in(address, KEY, user="aml") as connection:
            assert (await connection.run("echo $USER")).stdout == "aml\n"
    finally:
        await machine.stop()


async def test_a_command_keeps_its_streams_and_its_exit_status(client: asyncssh.SSHClientConnection) -> None:
    sent = bytes(range(256)) * 4096
    result = await client.run("cat; echo aside >&2; exit 7", input=sent, encoding=None)
    assert (result.stdout, result.stderr, result.exit_status) == (sent, b"aside\n", 7)


async def test_a_command_starts_in_a_clean_environment_at_home(
    client: asyncssh.SSHClientConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the host")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "of the host")
    home = tmp_path / "driver" / "home"
    result = await client.run("pwd; env; java -version 2>&1", check=True)
    lines = str(result.stdout).splitlines()
    assert lines[0] == str(home)
    assert f"HOME={home}" in lines
    assert not [line for line in lines if line.startswith(("AWS_", "TF_", "VIRTUAL_ENV", "PYTHON"))]
    assert 'openjdk version "21' in str(result.stdout)


@pytest.mark.parametrize("shell", ["{}", "bash -lc '{}'"], ids=["a command", "a login shell"])
async def test_a_machine_has_no_root_on_the_computer_that_a_machine_shares(
    client: asyncssh.SSHClientConnection, shell: str
) -> None:
    result = await client.run(shell.format("sudo -n true"))
    assert result.exit_status == 1
    assert "so it has no root" in str(result.stderr)


async def test_a_login_shell_finds_java(client: asyncssh.SSHClientConnection, tmp_path: Path) -> None:
    result = await client.run("""bash -lc 'echo "$JAVA_HOME"; command -v java'""", check=True)
    assert str(result.stdout).splitlines() == [f"{tmp_path}/driver/java", f"{tmp_path}/driver/java/bin/java"]


@pytest.mark.parametrize(("asked", "used"), [("", "UseSerialGC"), ("-XX:+UseG1GC", "UseG1GC")])
async def test_java_starts_with_the_collector_that_is_asked_for_or_with_the_quickest(
    client: asyncssh.SSHClientConnection, asked: str, used: str
) -> None:
    result = await client.run(f"java {asked} -XX:+PrintFlagsFinal -version", check=True)
    on = {line.split()[1] for line in str(result.stdout).splitlines() if line.split()[2:4] == ["=", "true"]}
    assert on & {"UseSerialGC", "UseG1GC"} == {used}


async def test_the_console_shows_the_host_key_as_soon_as_ssh_answers(
    machine: SandboxMachine, client: asyncssh.SSHClientConnection, tmp_path: Path
) -> None:
    key = client.get_server_host_key()
    assert key is not None
    public, path = key.export_public_key().decode().strip(), tmp_path / "driver" / "console.log"
    console = path.read_text(encoding="utf-8")
    assert parse_host_keys(console) == (public,)
    assert f" {key.get_fingerprint()} " in console
    await machine.stop()
    await machine.start()
    again = path.read_text(encoding="utf-8")
    assert again.startswith(console)
    # The unit pio-tf-boot writes the keys at every boot: AWS keeps the last 64 KiB of a console alone.
    assert (again.count("Linux version"), again.count("BEGIN SSH HOST KEY KEYS")) == (2, 2)


async def test_a_shell_reads_commands_from_its_input(client: asyncssh.SSHClientConnection) -> None:
    result = await client.run(input="echo $((6 * 7))\nexit 3\n")
    assert (result.stdout, result.exit_status) == ("42\n", 3)


async def test_a_terminal_is_a_terminal(client: asyncssh.SSHClientConnection) -> None:
    result = await client.run("tty; stty size; exit 4", term_type="xterm", term_size=(100, 30))
    lines = str(result.stdout).split()
    assert lines[0].startswith("/dev/pts/")
    assert (lines[1:], result.exit_status) == (["30", "100"], 4)


async def test_a_signal_reaches_the_whole_process_group(client: asyncssh.SSHClientConnection, tmp_path: Path) -> None:
    process = await client.create_process("sleep 321 & sleep 321; true")
    while len(find_processes(tmp_path)) < 3:
        await asyncio.sleep(0.05)
    process.terminate()
    completed = await process.wait()
    assert completed.exit_signal is not None
    assert completed.exit_signal[0] == "TERM"
    await until_gone(tmp_path)


async def test_a_client_that_goes_away_hangs_up_what_it_ran(
    client: asyncssh.SSHClientConnection, tmp_path: Path
) -> None:
    await client.create_process("sleep 321 | cat")
    while len(find_processes(tmp_path)) < 3:
        await asyncio.sleep(0.05)
    client.abort()
    await until_gone(tmp_path)


async def test_a_detached_command_outlives_its_client(client: asyncssh.SSHClientConnection, tmp_path: Path) -> None:
    await client.run("setsid nohup sleep 321 >/dev/null 2>&1 </dev/null &", check=True)
    (process,) = find_processes(tmp_path)
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":  # until then, it may be in the shell's session
        await asyncio.sleep(0.05)
    client.abort()
    await asyncio.sleep(0.3)
    assert len(find_processes(tmp_path)) == 1


async def test_files_are_moved_relative_to_the_home_directory_or_anywhere(
    client: asyncssh.SSHClientConnection, tmp_path: Path
) -> None:
    async with client.start_sftp_client() as sftp:
        home = tmp_path / "driver" / "home"
        assert await sftp.realpath(".") == str(home)
        async with sftp.open("near", "wb") as file:
            await file.write(b"\xff1")
        async with sftp.open(str(tmp_path / "far"), "wb") as file:
            await file.write(b"\xff2")
    assert (home / "near").read_bytes() == b"\xff1"
    assert (tmp_path / "far").read_bytes() == b"\xff2"


async def test_a_tunnel_leads_to_other_machines_only(client: asyncssh.SSHClientConnection) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"spark")
        writer.close()

    other = await asyncio.start_server(greet, f"{free_network()}.13", 0)
    host, port = other.sockets[0].getsockname()
    reader, writer = await client.open_connection(host, port)
    assert await reader.read() == b"spark"
    writer.close()
    other.close()
    for outside in ("192.0.2.1", "example.com"):
        with pytest.raises(asyncssh.ChannelOpenError):
            await client.open_connection(outside, port)


async def test_stop_ends_everything_and_keeps_the_disk_and_the_host_key(
    machine: SandboxMachine, client: asyncssh.SSHClientConnection, address: str, tmp_path: Path
) -> None:
    host_key = client.get_server_host_key()
    await client.run("echo kept > kept; mkdir -p pio/conf; echo 'A=1' > pio/conf/pio-env.sh", check=True)
    await client.run("setsid nohup bash -c 'trap \"\" TERM HUP; sleep 321; sleep 321' >/dev/null 2>&1 </dev/null &")
    await client.create_process("sleep 321")
    await machine.stop()
    await machine.stop()
    assert not find_processes(tmp_path)
    with pytest.raises(ConnectionRefusedError):
        await log_in(address, KEY)
    await asyncio.wait_for(client.wait_closed(), 5)
    await machine.start()
    await machine.start()
    async with await log_in(address, KEY, host_key=host_key) as connection:
        assert (await connection.run("cat kept pio/conf/pio-env.sh")).stdout == "kept\nA=1\n"
    assert stat.S_IMODE((tmp_path / "driver" / "ssh_host_ed25519_key").stat().st_mode) == 0o600


async def test_remove_leaves_nothing(machine: SandboxMachine, address: str, tmp_path: Path) -> None:
    async with await log_in(address, KEY) as connection:
        await connection.create_process("sleep 321")
        await connection.run("setsid nohup sleep 321 >/dev/null 2>&1 </dev/null &", check=True)
        await machine.remove()
    assert not find_processes(tmp_path)
    await machine.remove()
    assert list(tmp_path.iterdir()) == []
    assert is_free(address, SSH_PORT)


@pytest.mark.parametrize("elsewhere", ["0.0.0.0", "10.20.0.10", "192.168.1.10"])  # noqa: S104 - it is refused
async def test_a_machine_listens_on_loopback_only(tmp_path: Path, elsewhere: str) -> None:
    machine = SandboxMachine(make_spec(tmp_path / "master", role="master", address=elsewhere, key=KEY))
    with pytest.raises(SandboxError, match=f"starts no machine at {elsewhere}") as caught:
        await machine.start()
    assert "network.cidr" in caught.value.next_step
    assert not find_processes(tmp_path)


async def test_a_taken_port_is_named_and_the_start_can_be_tried_again(tmp_path: Path, address: str) -> None:
    machine = SandboxMachine(make_spec(tmp_path / "driver", role="driver", address=address, key=KEY))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections of the test before linger
        taken.bind((address, SSH_PORT))
        taken.listen()
        with pytest.raises(SandboxError, match=rf"{address}:{SSH_PORT}") as caught:
            await machine.start()
    assert "in use" in caught.value.cause
    assert caught.value.next_step
    await machine.start()
    await machine.stop()


async def test_a_start_that_is_cancelled_leaves_a_machine_that_is_off(tmp_path: Path, address: str) -> None:
    machine = SandboxMachine(make_spec(tmp_path / "driver", role="driver", address=address, key=KEY))
    for delay in (0.0, 0.05, 0.3, 0.5):
        starting = asyncio.create_task(machine.start())
        await asyncio.sleep(delay)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        await machine.stop()
        assert is_free(address, SSH_PORT)
    await machine.start()
    await machine.stop()


async def test_what_a_crashed_sandbox_left_running_is_ended_by_the_next_start(
    machine: SandboxMachine, client: asyncssh.SSHClientConnection, address: str, tmp_path: Path
) -> None:
    await client.run("setsid nohup sleep 321 >/dev/null 2>&1 </dev/null &", check=True)
    assert find_processes(tmp_path)
    successor = SandboxMachine(make_spec(tmp_path / "driver", role="driver", address=address, key=KEY))
    with pytest.raises(SandboxError):  # the first one still listens
        await successor.start()
    assert not find_processes(tmp_path)


async def test_spark_and_commands_die_with_the_process_that_holds_the_machine(tmp_path: Path, address: str) -> None:
    master = tmp_path / "machines" / "master"
    (tmp_path / light_spark.MARK).touch()
    (master / "spark").mkdir(parents=True)
    (master / "spark" / "spark.conf").touch()  # without it, Spark waits for its secret
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.sandbox.run_machine"),
        *(str(master), address, KEY.export_public_key().decode().strip()),
    )
    try:
        await asyncio.wait_for(wait_for_port(address, MASTER_PORT), 60)
        async with await log_in(address, KEY) as connection:
            await connection.create_process("exec sleep 321")
            while len(find_processes(tmp_path)) < 2:
                await asyncio.sleep(0.05)
            holder.kill()  # by SIGKILL: it can do nothing any more
            await holder.wait()
        await until_gone(tmp_path)
    finally:
        if holder.returncode is None:
            holder.kill()
        end_processes(tmp_path)
