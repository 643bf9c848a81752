"""A computer without space for files, and standard streams that are closed or full: what stops machines works."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.deployments import existing_network
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws

NO_SPACE = 'ulimit -f 0; exec "$@"'
"""No byte can be written to any file, temporary ones among them. Pipes are no files."""


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Project:
    """Return a cluster. No machine is behind its driver, so it does not answer."""
    project = Project(tmp_path_factory.mktemp("project"), url=aws.url, mirror=mirror)
    project.write(network=existing_network(aws.url, "127.77.93.0/24") + "first_host = 10")
    project.run("apply")
    return project


def start(project: Project, aws: LocalAws, *names: str) -> Project:
    """Let these machines run, and no others."""
    client = ec2(aws.url)
    ids = {name: instance for name, (instance, _) in project.instances().items()}
    client.stop_instances(InstanceIds=[*ids.values()])
    client.get_waiter("instance_stopped").wait(InstanceIds=[*ids.values()], WaiterConfig={"Delay": 1})
    client.start_instances(InstanceIds=[ids[name] for name in names])
    client.get_waiter("instance_running").wait(InstanceIds=[ids[name] for name in names], WaiterConfig={"Delay": 1})
    return project


@pytest.fixture
def running(created: Project, aws: LocalAws) -> Project:
    return start(created, aws, "driver", "master", "worker-1")


@pytest.fixture
def without_driver(created: Project, aws: LocalAws) -> Project:
    """Machines run; the driver does not, so it is not asked for runs, which takes half a minute here."""
    return start(created, aws, "master", "worker-1")


def test_down_force_stops_all_machines_without_space_for_a_file(without_driver: Project) -> None:
    done = without_driver.run("down", "--force", "--json", through=NO_SPACE)
    assert {machine["state"] for machine in json.loads(done.stdout)["machines"]} == {"stopped"}
    assert set(without_driver.states().values()) == {"stopped"}


def test_status_shows_the_machines_without_space_for_a_file(without_driver: Project) -> None:
    shown = json.loads(without_driver.run("status", "--json", through=NO_SPACE).stdout)
    assert {machine["state"] for machine in shown["machines"]} == {"running", "stopped"}


def test_down_force_stops_all_machines_whatever_the_ssh_configuration_says(running: Project) -> None:
    ssh = running.directory / "home" / ".ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    (ssh / "config").write_bytes(b"Host *\n  User \xe9\n")
    shown = running.run("status", "--json")
    assert {machine["state"] for machine in json.loads(shown.stdout)["machines"]} == {"running"}
    said = running.fails("train", exit_code=2)
    assert f"{ssh}/config:2: SSH on this computer cannot be used" in said
    done = running.run("down", "--force")
    assert "SSH on this computer failed" in done.stderr
    assert set(running.states().values()) == {"stopped"}
    (ssh / "config").unlink()


def test_ssh_is_imported_only_where_it_is_needed() -> None:
    program = "import sys, pio_tf.cluster; sys.exit('asyncssh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_ssh_library_is_imported_without_another_program_and_without_a_file() -> None:
    """By itself, asyncssh looks for a C library with gcc and a temporary file."""
    program = (
        "import sys\n"
        "sys.addaudithook(lambda event, _: sys.exit(event) if event == 'subprocess.Popen' else None)\n"
        "import pio_tf.ssh_library, ctypes.util\n"
        "sys.exit(ctypes.util.find_library.__module__ != 'ctypes.util')\n"
    )
    command = ["/bin/sh", "-c", NO_SPACE, "sh", sys.executable, "-c", program]
    assert subprocess.run(command, check=False).returncode == 0


CLOSED = {
    "standard output is closed": ">&-",
    "standard output is full": ">/dev/full",
    "standard error is closed": "2>&-",
    "standard error is full": "2>/dev/full",
    "all are closed": "<&- >&- 2>&-",
    "both are full": ">/dev/full 2>/dev/full",
}
needs_full = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")


@needs_full
@pytest.mark.parametrize("streams", CLOSED.values(), ids=CLOSED)
def test_the_exit_code_of_the_work_stands_whatever_becomes_of_its_output(without_driver: Project, streams: str) -> None:
    """``Project.run`` also checks that there is no traceback."""
    through = f'exec "$@" {streams}'
    without_driver.run("status", through=through)
    without_driver.run("status", "--json", through=through)
    without_driver.run("no-such-command", through=through, exit_code=2)
    without_driver.run("down", "--force", through=through)
    assert set(without_driver.states().values()) == {"stopped"}


@needs_full
def test_a_result_that_cannot_be_written_is_a_warning(created: Project) -> None:
    done = created.run("output", through='exec "$@" >/dev/full')
    assert "warning: could not write the result: No space left on device" in done.stderr


@needs_full
def test_help_that_cannot_be_written_is_an_error(created: Project) -> None:
    done = created.run("--help", through='exec "$@" >/dev/full', exit_code=1)
    assert "error: could not write the output\ncause: No space left on device\nnext:" in done.stderr
