"""`pio-tf ssh`, `ui` and `host-keys` on a whole sandbox. The tests share one cluster, which runs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.remote.known_hosts import KnownHosts
from tests.integration.training import bring_up
from tests.support.fork_server import PIO_TF, Program
from tests.support.terminal import TerminalUser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox_project import Project


CIDR = "127.77.40.0/24"


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Return a cluster of two workers that runs."""
    return bring_up(project, workers=2, spark=False)


def at_a_terminal(project: Project, *arguments: str) -> TerminalUser:
    return TerminalUser([PIO_TF, *arguments], cwd=project.directory, env={**project.environment, "TERM": "vt100"})


def known_hosts(project: Project) -> KnownHosts:
    return KnownHosts(project.directory / ".pio-tf" / "trial" / "known_hosts")


def pin_another_key(project: Project, name: str) -> None:
    """Pin another key, as if the machine had changed its key since."""
    other = asyncssh.generate_private_key("ssh-ed25519").convert_to_public()
    known_hosts(project).replace(str(project.machines()[name]["instance_id"]), other, "first use")


def test_ssh_runs_a_command_and_has_its_output_and_exit_code(project: Project) -> None:
    done = project.run("ssh", "--", "pwd; echo oops >&2; exit 5", exit_code=5)
    assert done.stdout == f"{project.home('driver')}\n"
    assert done.stderr == "oops\n"


def test_ssh_reaches_the_other_machines_by_name_and_by_id(project: Project) -> None:
    assert project.run("ssh", "worker-2", "--", "pwd").stdout == f"{project.home('worker-2')}\n"
    master = str(project.machines()["master"]["instance_id"])
    assert project.run("ssh", master, "pwd").stdout == f"{project.home('master')}\n"


def test_ssh_to_a_machine_that_is_not_there_names_those_that_are(project: Project) -> None:
    done = project.run("ssh", "worker-9", exit_code=2)
    assert "driver, master, worker-1, worker-2" in done.stderr


def test_ssh_at_a_terminal_is_a_shell(project: Project) -> None:
    with at_a_terminal(project, "ssh", "worker-1") as user:
        user.type("echo I am at $(pwd | rev | cut -d/ -f1 | rev), with $(tty | cut -c1-8)\r")
        user.sees("I am at home, with /dev/pts")
        user.type("exit 3\r")
        assert user.ends() == 3
        assert user.settings() == user.before


def test_ui_opens_the_page_that_answers_in_a_browser(project: Project) -> None:
    opened = project.directory / "opened"
    browser = project.directory / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    with Program(
        [PIO_TF, "ui"],
        cwd=project.directory,
        env=project.environment | {"BROWSER": f"{browser} %s"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        shown = process.stdout.readline() + process.stdout.readline()
        while "Ctrl-C ends it" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    url = opened.read_text().strip()
    assert url in shown.splitlines()[1]


def test_host_keys_are_listed_with_the_fingerprints_that_the_machines_have(project: Project) -> None:
    listed = {row["machine"]: row for row in json.loads(project.run("host-keys", "--json").stdout)["host_keys"]}
    assert set(listed) == {"driver", "master", "worker-1", "worker-2"}
    for name, row in listed.items():
        key = asyncssh.read_private_key(project.home(name).parent / "ssh_host_ed25519_key")
        assert (row["type"], row["fingerprint"]) == ("ssh-ed25519", key.get_fingerprint())
        assert row["id"] == project.machines()[name]["instance_id"]
        assert row["learned"] == "console"
    table = project.run("host-keys").stdout
    assert listed["worker-2"]["fingerprint"] in table


def test_a_lost_file_of_host_keys_is_learned_again_from_the_consoles(project: Project) -> None:
    before = set(known_hosts(project).pins())
    known_hosts(project).path.unlink()
    for name in ("master", "worker-1", "worker-2"):
        assert project.run("ssh", name, "--", "true").stderr == ""
    assert set(known_hosts(project).pins()) == before


@contextlib.contextmanager
def unknown_driver(project: Project) -> Iterator[None]:
    """Forget the pinned keys, and take the driver's from its console."""
    pins, console = known_hosts(project).path, project.home("driver").parent / "console.log"
    pinned, shown = pins.read_bytes(), console.read_bytes()
    pins.unlink()
    console.write_text("login: ", encoding="ascii")
    try:
        yield
    finally:
        console.write_bytes(shown)
        pins.write_bytes(pinned)


def test_without_a_terminal_a_key_that_the_console_does_not_show_is_refused(project: Project) -> None:
    impatient = project.changed(r'(?m)^(\s*)name += "trial"$', r'\1name = "trial"\n\1start_timeout = "5s"')
    with unknown_driver(project):
        refused = project.run("up", "--config", str(impatient), exit_code=1)
        assert "driver: waiting for its console, which shows its host keys\n" in refused.stderr
        assert "shows an SSH host key that pio-tf cannot verify" in refused.stderr
        assert "warning: could not ask Spark for its workers: driver at" in project.run("status").stderr
        assert known_hosts(project).pins() == ()


def test_at_a_terminal_such_a_key_is_trusted_with_a_warning(project: Project) -> None:
    with unknown_driver(project):
        with at_a_terminal(project, "ssh", "--", "true") as user:
            user.sees("was not known and is trusted from now on, unverified")
            assert user.ends() == 0
        assert [pin.learned for pin in known_hosts(project).pins()] == ["first use"]


def test_a_changed_key_is_refused_until_it_is_accepted(project: Project) -> None:
    right = {pin.name: pin.fingerprint for pin in known_hosts(project).pins()}
    worker = str(project.machines()["worker-1"]["instance_id"])
    pin_another_key(project, "worker-1")
    refused = project.run("ssh", "worker-1", "--", "true", exit_code=1)
    assert "pio-tf host-keys accept worker-1" in refused.stderr
    unasked = project.run("host-keys", "accept", "worker-1", exit_code=2)
    assert right[worker] in unasked.stderr
    assert "cause: pio-tf cannot ask: this is a CI job, or standard input is no terminal" in unasked.stderr
    other = project.run("host-keys", "accept", "worker-1", "--fingerprint", "SHA256:other", exit_code=2)
    assert "it shows another key than SHA256:other" in other.stderr
    project.run("ssh", "worker-1", "--", "true", exit_code=1)
    project.run("host-keys", "accept", "worker-1", "--fingerprint", right[worker])
    project.run("ssh", "worker-1", "--", "true")
    assert {pin.name: pin.fingerprint for pin in known_hosts(project).pins()} == right


def test_at_a_terminal_a_changed_key_is_asked_about_and_no_is_the_default(project: Project) -> None:
    pin_another_key(project, "driver")
    with at_a_terminal(project, "host-keys", "accept", "driver") as user:
        said = user.sees("Accept it?")
        assert said.count("SHA256:") == 2
        user.type("\r")
        assert user.ends() == 2
    with at_a_terminal(project, "host-keys", "accept", "driver") as user:
        user.sees("Accept it?")
        user.type("y\r")
        assert user.ends() == 0
    assert project.run("ssh", "--", "echo fine").stdout == "fine\n"
    again = project.run("host-keys", "accept", "driver", "--yes")
    assert "shows the key that is pinned" in again.stderr


def test_access_to_a_cluster_that_is_stopped_says_what_starts_it(project: Project) -> None:
    project.run("down")
    for command in (["ssh"], ["ui"], ["host-keys", "accept", "driver"]):
        assert "pio-tf up" in project.run(*command, exit_code=5).stderr
    assert project.run("host-keys").stdout.count("SHA256:") == 4
