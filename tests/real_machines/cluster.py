"""A cluster of machines: all at once."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pio_tf.training.provisioning import SCRIPT
from tests.real_machines.machine import PATIENCE

if TYPE_CHECKING:
    from tests.real_machines.machine import Machine

SECRET = "0123456789abcdef"
SECRET_CHECKSUM = sha256(SECRET.encode()).hexdigest()


@dataclass(frozen=True)
class Start:
    """The duration of a start of all machines, in seconds since the power came on."""

    login: float
    """All can be logged in to."""
    workers: float
    """All workers are ALIVE for their master."""


@dataclass(frozen=True)
class Cluster:
    """The machines by their names: driver, master, worker-1 and so on."""

    machines: dict[str, Machine]

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    @property
    def workers(self) -> tuple[Machine, ...]:
        """Return the workers, in order."""
        return tuple(machine for name, machine in sorted(self.machines.items()) if name.startswith("worker"))

    def power_on(self) -> None:
        """Switch on the machines that are off, all at once."""
        for machine in self.machines.values():
            if not machine.is_on:
                machine.power_on()

    def power_off(self) -> None:
        """Switch off the machines that are on, all at once. Return when they are off."""
        running = [machine for machine in self.machines.values() if machine.is_on]
        for machine in running:
            machine.begin_to_stop()
        for machine in running:
            machine.wait_until_off()

    def wait_until_ready(self) -> Start:
        """Wait for logins, and for the workers at their master."""
        login = max(machine.wait_for_login() for machine in self.machines.values())
        self.share_secret()
        return Start(login=login, workers=self.wait_for_workers())

    def share_secret(self) -> None:
        """Give Spark its secret, as pio-tf does: until then it does not run.

        The driver keeps it, so that ``pio-tf up`` beside this one gives the machines no other.
        """
        self["driver"].run(f"umask 077; mkdir -p ~/.pio-tf && printf %s {SECRET} >~/.pio-tf/spark-secret")
        for machine in (self["master"], *self.workers):
            machine.wait_for("script", partial(_has_script, machine))
            if SECRET_CHECKSUM not in machine.run(f"sudo {SCRIPT} authenticate"):
                machine.run(f"printf %s {SECRET} | sudo {SCRIPT} authenticate put")

    def wait_for_workers(self, *, timeout: float = PATIENCE) -> float:
        """Wait until the master has every worker ALIVE. Return the seconds since its power came on."""
        expected = {machine.address for machine in self.workers}
        return self["master"].wait_for("workers", lambda: self.alive() == expected, timeout=timeout)

    def alive(self) -> set[str]:
        """Return the addresses of the workers that are ALIVE for their master."""
        return {worker["host"] for worker in self.registered()}

    def registered(self) -> list[dict[str, Any]]:
        """Return the workers that are ALIVE for their master, as it describes them; none if it does not answer.

        Each has an ``id`` of its own at every start; for a minute, the master may list a killed worker twice.
        """
        try:
            workers = self.master_status()["workers"]
        except OSError:
            return []
        return [worker for worker in workers if worker["state"] == "ALIVE"]

    def master_status(self) -> dict[str, Any]:
        """Return the status that Spark's master reports.

        Raises:
            OSError: it does not answer.
        """
        with urllib.request.urlopen(f"http://{self['master'].address}:8080/json/", timeout=5) as answer:
            status: dict[str, Any] = json.load(answer)
        return status


def _has_script(machine: Machine) -> bool:
    return machine.try_to_run(f"test -x {SCRIPT}")[0] == 0
