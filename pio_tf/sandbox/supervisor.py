"""The supervisor of the machines: it keeps each in step with the state of its EC2 instance."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import PioTfError
from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, SCHEDULED_TAG, Role
from pio_tf.sandbox.layout import POWER_OFF, SCHEDULE_MARK, MachineStatus
from pio_tf.sandbox.machine import MachineSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from pio_tf.sandbox.ec2_models import LocalInstance
    from pio_tf.sandbox.software import Software

logger = logging.getLogger("pio_tf.sandbox")

_RETRY_SECONDS = 1.0
_LOOPBACK = ip_network("127.0.0.0/8")


class PoweredMachine(Protocol):
    """The machine behind an instance: :class:`pio_tf.sandbox.machine.SandboxMachine`, or a simpler one in tests."""

    async def start(self) -> None:
        """Switch on."""

    async def stop(self) -> None:
        """Switch off; files stay."""

    async def remove(self) -> None:
        """Switch off and remove its directory."""


MachineFactory: TypeAlias = "Callable[[MachineSpec], PoweredMachine]"
Power: TypeAlias = Literal["off", "starting", "on", "stopping", "failed"]


@dataclass
class Slot:
    """One instance and its machine."""

    instance: LocalInstance
    spec: MachineSpec
    machine: PoweredMachine
    reboots: int = 0
    """The instance's number of reboots when the machine was last switched on."""
    power: Power = "off"
    error: str = ""
    failed_at: float | None = None
    task: asyncio.Task[None] | None = None
    mark: str | None = None
    """The tag of a schedule that its metadata service shows; None: it has not been told yet."""


@dataclass(kw_only=True)
class Supervisor:
    """Follows a list of instances with machines."""

    directory: Path
    """The parent of the machines' directories, which are named by the instance's id."""
    make_machine: MachineFactory
    """Constructor of a machine."""
    ssh_port: int
    """Port of every machine's SSH server."""
    user: str
    """The user of pio-tf's machines. On others, any user may log in."""
    software: Software | None = None
    """Java and Spark of the machines; None: those of the installed packages."""
    clock: Callable[[], float] = time.monotonic
    """Seconds, monotonic."""
    _slots: dict[str, Slot] = field(default_factory=dict, init=False)
    _gone: set[str] = field(default_factory=set, init=False)

    def follow(self, instances: Sequence[LocalInstance]) -> None:
        """Start the tasks that bring the machines nearer to EC2's states, and return. Call it repeatedly."""
        masters = {
            instance.tags.get(CLUSTER_TAG): instance.private_ip
            for instance in instances
            if instance.tags.get(ROLE_TAG) == "master" and instance.state not in ("shutting-down", "terminated")
        }
        for instance in instances:
            slot = self._slots.get(instance.instance_id)
            # What a machine runs is decided when it is made. A tag that comes later changes nothing on it.
            role = slot.spec.role if slot else _role(instance)
            if instance.instance_id in self._gone or not (role or _can_be_bare(instance)):
                continue
            spec = self._spec(instance, role=role, master=masters.get(instance.tags.get(CLUSTER_TAG)))
            if slot is None:
                slot = self._slots[instance.instance_id] = Slot(instance, spec, self.make_machine(spec))
            slot.instance = instance
            self._show_mark(slot)
            if slot.task is None or slot.task.done():
                work = self._next_work(slot, spec)
                slot.task = asyncio.create_task(work) if work is not None else None

    def statuses(self) -> tuple[MachineStatus, ...]:
        """Return the status of every machine, for ``sandbox status``."""
        return tuple(
            MachineStatus(
                cluster=slot.instance.tags.get(CLUSTER_TAG, ""),
                name=slot.spec.name,
                role=slot.spec.role or "",
                instance_id=slot.instance.instance_id,
                state=slot.instance.state,
                address=slot.spec.address,
                power=slot.power,
                error=slot.error,
            )
            for slot in self._slots.values()
        )

    def powered_off(self) -> tuple[str, ...]:
        """Return the instances whose machines have powered themselves off."""
        return tuple(
            instance_id
            for instance_id, slot in self._slots.items()
            if slot.power == "on" and (slot.spec.directory / POWER_OFF).exists()
        )

    def _show_mark(self, slot: Slot) -> None:
        """Let the machine's metadata service show the tag of the schedule that has started it, or show none."""
        mark = slot.instance.tags.get(SCHEDULED_TAG, "")
        if mark != slot.mark and slot.spec.directory.exists():
            write_atomically(slot.spec.directory / SCHEDULE_MARK, mark)
            slot.mark = mark

    async def close(self) -> None:
        """Switch every machine off."""
        await asyncio.gather(*(self._finish(slot) for slot in self._slots.values()))

    async def _finish(self, slot: Slot) -> None:
        if slot.task is not None:
            slot.task.cancel()
            await asyncio.wait([slot.task])
        await self._stop(slot)

    def _spec(self, instance: LocalInstance, *, role: Role | None, master: str | None) -> MachineSpec:
        return MachineSpec(
            directory=self.directory / instance.instance_id,
            role=role,
            name=instance.tags.get(MACHINE_TAG, instance.instance_id),
            address=instance.private_ip,
            user=self.user if role else None,
            authorized_keys=(instance.public_key,) if instance.public_key else (),
            memory_mib=instance.memory_mib,
            vcpus=instance.vcpus,
            master_address=master if role == "worker" else None,
            ssh_port=self.ssh_port,
            software=self.software,
        )

    def _next_work(self, slot: Slot, spec: MachineSpec) -> Coroutine[Any, Any, None] | None:
        """Return the next work for a machine without a task, if there is any."""
        if slot.failed_at is not None and self.clock() < slot.failed_at + _RETRY_SECONDS:
            return None
        state = slot.instance.state
        if state == "terminated":
            return self._remove(slot)
        if state == "running":
            # A worker that started before its master gets its address now. Nothing else of a running machine changes.
            settled = slot.power == "on" and slot.spec.master_address == spec.master_address
            if settled and slot.reboots != slot.instance.reboots:
                return self._reboot(slot, spec)
            return None if settled else self._start(slot, spec)
        return None if state == "pending" or slot.power == "off" else self._stop(slot)

    async def _reboot(self, slot: Slot, spec: MachineSpec) -> None:
        await self._stop(slot)
        await self._start(slot, spec)

    async def _start(self, slot: Slot, spec: MachineSpec) -> None:
        with self._recorded(slot, "starting", "on"):
            slot.reboots = slot.instance.reboots
            if slot.spec != spec:
                await slot.machine.stop()
                slot.spec, slot.machine = spec, self.make_machine(spec)
            await slot.machine.start()

    async def _stop(self, slot: Slot) -> None:
        with self._recorded(slot, "stopping", "off"):
            await slot.machine.stop()

    async def _remove(self, slot: Slot) -> None:
        with self._recorded(slot, "stopping", "off"):
            await slot.machine.remove()
            self._gone.add(slot.instance.instance_id)
            del self._slots[slot.instance.instance_id]

    @contextmanager
    def _recorded(self, slot: Slot, during: Power, after: Power) -> Iterator[None]:
        """Record a machine's power. A failure is logged, shown by the status and retried; other machines continue."""
        slot.power = during
        try:
            yield
        except Exception as error:
            slot.power, slot.error, slot.failed_at = "failed", str(error), self.clock()
            logger.warning("%s: %s", slot.spec.name, error, exc_info=not isinstance(error, PioTfError))
        else:
            slot.power, slot.error, slot.failed_at = after, "", None


def _role(instance: LocalInstance) -> Role | None:
    """Return the role of a cluster's instance; None if pio-tf did not make it."""
    role = instance.tags.get(ROLE_TAG)
    return next((known for known in get_args(Role) if known == role), None)


def _can_be_bare(instance: LocalInstance) -> bool:
    """Return whether an instance that pio-tf did not make has a machine: one may log in to it, and it is local."""
    return bool(instance.public_key) and ip_address(instance.private_ip) in _LOOPBACK
