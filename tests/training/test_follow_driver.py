"""Master and workers, which stop once their driver is gone: the script that a timer runs there."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pio_tf.training.follow_driver import PATIENCE, render_script
from tests.support.builders import OUTPUTS, make_config
from tests.support.fixed_answers import Server, spark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRACE = 900 + 300
NO_APPLICATION = {"activeapps": [], "completedapps": [{"id": "app-1"}]}
APPLICATION = {"activeapps": [{"id": "app-2", "state": "RUNNING"}], "completedapps": []}


@dataclass
class Machine:
    """A machine's files, and the driver and the master that it asks."""

    root: Path
    driver: Server = field(default_factory=lambda: Server("127.0.0.1", b"SSH-2.0-OpenSSH_9.6\r\n"))
    master: Server = field(default_factory=lambda: Server("127.0.0.1", spark(NO_APPLICATION)))

    def __post_init__(self) -> None:
        for directory in ("proc", "dev", "run", "var/log", "etc/systemd/system", "bin"):
            (self.root / directory).mkdir(parents=True)
        systemctl = self.root / "bin" / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "$*" >>{self.root}/systemctl\n')
        systemctl.chmod(0o755)
        text = render_script(make_config(self.root), OUTPUTS)
        for name, value in (
            ("DRIVER", "127.0.0.1"),
            ("SSH_PORT", self.driver.port),
            ("MASTER", "127.0.0.1"),
            ("UI_PORT", self.master.port),
        ):
            (old,) = [line for line in text.splitlines() if line.startswith(f"{name}=")]
            text = text.replace(old, f"{name}={value}")
        self.script = self.root / "script"
        self.script.write_text(text)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.root}/bin:/usr/bin:/bin", "PIO_TF_ROOT": str(self.root)}
        return subprocess.run(
            ["/bin/bash", self.script, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    def looks(self, *, up: int) -> None:
        """Run the script at an uptime."""
        (self.root / "proc" / "uptime").write_text(f"{up}.25 {up}.00\n")
        assert self.run().stderr == ""

    def stops(self) -> bool:
        file = self.root / "systemctl"
        return file.exists() and "poweroff" in file.read_text()

    @property
    def log(self) -> list[str]:
        return [line.partition(" pio-tf: ")[2] for line in (self.root / "var/log/pio-tf.log").read_text().splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.driver.off()
    machine.master.off()


def test_a_machine_stops_once_its_driver_was_gone_for_long_enough_and_spark_has_no_application(
    machine: Machine,
) -> None:
    machine.looks(up=GRACE)
    machine.driver.off()
    machine.looks(up=GRACE + 60)
    machine.looks(up=GRACE + 60 + PATIENCE - 1)
    assert not machine.stops()
    machine.looks(up=GRACE + 60 + PATIENCE)
    assert machine.stops()
    port = machine.driver.port
    assert machine.log == [
        f"the driver (127.0.0.1) does not answer on port {port}: this machine stops in 300 s, unless it answers",
        "the driver has not answered for 300 s, and Spark has no application: this machine stops",
    ]
    console = (machine.root / "dev" / "console").read_text()
    assert console == (machine.root / "var/log/pio-tf.log").read_text()


def test_a_start_may_wait_for_the_driver(machine: Machine) -> None:
    machine.driver.off()
    machine.looks(up=60)
    machine.looks(up=GRACE - 1)
    machine.looks(up=GRACE + 60)
    machine.looks(up=GRACE + 60 + PATIENCE - 1)
    assert not machine.stops()


def test_a_driver_that_goes_off_soon_after_the_boot_is_followed_at_once(machine: Machine) -> None:
    machine.looks(up=60)
    machine.driver.off()
    machine.looks(up=120)
    machine.looks(up=120 + PATIENCE - 1)
    assert not machine.stops()
    machine.looks(up=120 + PATIENCE)
    assert machine.stops()


def test_a_driver_that_dies_before_its_run_begins_leaves_no_machine_on(machine: Machine) -> None:
    """It has not answered once since this machine has booted, and no application has been there."""
    machine.driver.off()
    for minutes in range((GRACE + PATIENCE) // 60 + 1):
        assert not machine.stops()
        machine.looks(up=60 * minutes)
    assert machine.stops()


def test_a_driver_that_restarts_keeps_its_machines(machine: Machine) -> None:
    answering = machine.script.read_text()
    machine.script.write_text(answering.replace(f"SSH_PORT={machine.driver.port}", "SSH_PORT=1"))
    machine.looks(up=GRACE)
    machine.script.write_text(answering)
    machine.looks(up=GRACE + 120)
    machine.script.write_text(answering.replace(f"SSH_PORT={machine.driver.port}", "SSH_PORT=1"))
    machine.looks(up=GRACE + PATIENCE)
    assert not machine.stops()
    assert machine.log[1] == "the driver answers again"


def test_a_server_that_accepts_without_a_greeting_is_no_answer(machine: Machine) -> None:
    machine.driver.answer = b"\n"
    machine.looks(up=GRACE)
    machine.looks(up=GRACE + PATIENCE)
    assert machine.stops()


def test_a_split_network_leaves_a_running_application(machine: Machine) -> None:
    machine.driver.off()
    machine.master.answer = spark(APPLICATION)
    for minutes in range(30):
        machine.looks(up=GRACE + 60 * minutes)
    assert not machine.stops()
    assert machine.log[1:] == ["the driver does not answer, but Spark has an application: this machine keeps running"]
    machine.master.answer = spark(NO_APPLICATION)
    machine.looks(up=GRACE + 1800)
    assert machine.stops()


def test_a_master_that_is_too_busy_for_an_answer_keeps_its_workers(machine: Machine) -> None:
    """The network hides the driver from this worker. The last answer of the master counts for a while."""
    machine.driver.off()
    machine.master.answer = spark(APPLICATION)
    machine.looks(up=GRACE)
    machine.looks(up=GRACE + PATIENCE)
    machine.master.answer = b""
    machine.looks(up=GRACE + PATIENCE + 60)
    machine.looks(up=GRACE + 2 * PATIENCE - 1)
    assert not machine.stops()
    machine.looks(up=GRACE + 2 * PATIENCE)
    assert machine.stops()


def test_a_driver_that_comes_back_at_the_last_moment_keeps_its_machines(machine: Machine) -> None:
    machine.looks(up=60)
    answering = machine.script.read_text()
    hidden = answering.replace("\ndriver_answers() {", "\ndriver_answers() { [[ $((asked += 1)) -gt 1 ]] || return; ")
    machine.script.write_text(answering.replace(f"SSH_PORT={machine.driver.port}", "SSH_PORT=1"))
    machine.looks(up=120)
    machine.script.write_text(hidden)
    machine.looks(up=120 + PATIENCE)
    assert not machine.stops()


def test_a_worker_without_driver_and_master_stops(machine: Machine) -> None:
    machine.driver.off()
    machine.master.off()
    machine.looks(up=GRACE)
    machine.looks(up=GRACE + PATIENCE)
    assert machine.stops()
    assert machine.log[-1] == "neither the driver nor Spark's master has answered: this machine stops"


def test_the_timer_is_installed_only_where_the_driver_answers(machine: Machine) -> None:
    assert machine.run("install").returncode == 0
    units = machine.root / "etc/systemd/system"
    assert sorted(path.name for path in units.iterdir()) == [
        "pio-tf-follow-driver.service",
        "pio-tf-follow-driver.timer",
    ]
    assert "enable pio-tf-follow-driver.timer" in (machine.root / "systemctl").read_text()
    machine.driver.off()
    refused = machine.run("install")
    assert refused.returncode == 1
    assert "the driver does not answer this machine on 127.0.0.1" in refused.stderr
    assert "disable --now pio-tf-follow-driver.timer" in (machine.root / "systemctl").read_text()
