"""The power of machines, as EC2's instances have it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.sandbox.aws import LocalAws
    from tests.real_machines.machine import Machine

_LOOK_SECONDS = 1.0
"""How often the board looks for machines that have powered themselves off."""


class PowerBoard:
    """The board that switches a machine when the state of its instance changes, and only then.

    If a test itself changes a machine, that stays, as does in EC2 what happens to a host.
    """

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}
        self._on: dict[str, bool] = {}
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._aws: LocalAws | None = None

    def connect(self, machine: Machine) -> None:
        """Start to follow the machine's instance, which runs."""
        self._machines[machine.launch.instance_id] = machine
        self._on[machine.launch.instance_id] = True

    def console(self, instance_id: str) -> str:
        """Return the console for GetConsoleOutput."""
        return self._machines[instance_id].console()

    def tags(self, instance_id: str) -> Mapping[str, str]:
        """Return the tags of an instance, for the machines' metadata."""
        found = self._aws.instances() if self._aws is not None else []
        return next((one.tags for one in found if one.instance_id == instance_id), {})

    def instance_changed(self) -> None:
        """Note a change, for :class:`LocalAws`, which waits for it."""
        self._changed.set()

    def watch(self, aws: LocalAws) -> None:
        """Watch from now on, until the process ends."""
        self._aws = aws
        threading.Thread(target=self._switch, daemon=True, name="power").start()

    def settle(self) -> None:
        """Wait until every machine is as its instance was seen last.

        Raises:
            AssertionError: one could not be switched.
        """
        with self._lock:
            if self._error is not None:
                raise self._error

    def _switch(self) -> None:
        while True:
            self._changed.wait(timeout=_LOOK_SECONDS)
            with self._lock:
                self._changed.clear()
                try:
                    self._stop_instances()
                    self._follow()
                except Exception as error:  # noqa: BLE001 - the test sees it
                    self._error = error

    def _stop_instances(self) -> None:
        """Stop the instances of machines that have powered themselves off, as EC2 does."""
        assert self._aws is not None
        off = [name for name, machine in self._machines.items() if self._on[name] and machine.has_powered_itself_off]
        if off:
            self._aws.power_off(off)

    def _follow(self) -> None:
        assert self._aws is not None
        states = {one.instance_id: one.state in ("pending", "running") for one in self._aws.instances()}
        changed = [name for name, on in self._on.items() if states[name] != on]
        ending = [self._machines[name] for name in changed if not states[name]]
        for machine in ending:
            machine.begin_to_stop()
        for machine in ending:
            machine.wait_until_off()
        for name in changed:
            self._on[name] = states[name]
            if states[name]:
                self._machines[name].power_on()
