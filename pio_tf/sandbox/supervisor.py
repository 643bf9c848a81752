"""Keeps the machines in step with EC2: a running instance has a machine that is on, a terminated one has none."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

from pio_tf.errors import PioTfError
from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, Role
from pio_tf.sandbox.layout import MachineStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalInstance

logger = logging.getLogger("pio_tf.sandbox")

_RETRY_SECONDS = 1.0


class PoweredMachine(Protocol):
    """What stands behind an instance: :class:`pio_tf.sandbox.machine.SandboxMachine`, or a simpler one in tests."""

    async def start(self) -> None:
        """Switch on."""

    async def stop(self) -> None:
        """Switch off; files stay."""

    async def remove(self) -> None:
        """Switch off and remove its directory."""


class MachineFactory(Protocol):
    """Makes a machine: the constructor of :class:`pio_tf.sandbox.machine.SandboxMachine`."""

    def __call__(
        self,
        *,
        directory: Path,
        role: Role,
        name: str,
        address: str,
        ssh_port: int,
        user: str | None,
        authorized_keys: Sequence[str],
        memory_mib: int,
        vcpus: int,
        master_address: str | None,
    ) -> PoweredMachine: ...


Power: TypeAlias = Literal["off", "starting", "on", "stopping", "failed"]


@dataclass(frozen=True)
class Plug:
    """How a machine is to be built; another one needs another machine."""

    directory: Path
    role: Role
    name: str
    address: str
    authorized_keys: tuple[str, ...]
    memory_mib: int
    vcpus: int
    master_address: str | None


@dataclass
class Slot:
    """One instance and its machine."""

    plug: Plug
    machine: PoweredMachine
    instance: LocalInstance | None = None
    reboots: int = 0
    """The instance's, when the machine was last switched on."""
    power: Power = "off"
    error: str = ""
    failed_at: float | None = None
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Follows a list of instances with machines.

    Args:
        directory: where each machine has its own, named by the instance's id.
        make_machine: constructor of a machine.
        ssh_port: port of every machine's SSH server.
        user: who may log in.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        directory: Path,
        make_machine: MachineFactory,
        ssh_port: int,
        user: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._make_machine = make_machine
        self._ssh_port = ssh_port
        self._user = user
        self._clock = clock
        self._slots: dict[str, Slot] = {}
        self._gone: set[str] = set()

    def follow(self, instances: Sequence[LocalInstance]) -> None:
        """Begin whatever brings the machines nearer to what EC2 says; returns at once. Call it again and again."""
        masters = {
            instance.tags.get(CLUSTER_TAG): instance.private_ip
            for instance in instances
            if instance.tags.get(ROLE_TAG) == "master" and instance.state not in ("shutting-down", "terminated")
        }
        for instance in instances:
            role = _role(instance)
            if role is None or instance.instance_id in self._gone:
                continue
            plug = self._plug(instance, role=role, master=masters.get(instance.tags.get(CLUSTER_TAG)))
            slot = self._slots.get(instance.instance_id)
            if slot is None:
                slot = self._slots[instance.instance_id] = Slot(plug=plug, machine=self._build(plug))
            slot.instance = instance
            if slot.task is None or slot.task.done():
                work = self._next_work(slot, plug)
                slot.task = asyncio.create_task(work) if work is not None else None

    def statuses(self) -> tuple[MachineStatus, ...]:
        """Every machine that there is, for ``sandbox status``."""
        return tuple(
            MachineStatus(
                cluster=slot.instance.tags.get(CLUSTER_TAG, ""),
                name=slot.plug.name,
                role=slot.plug.role,
                instance_id=slot.instance.instance_id,
                state=slot.instance.state,
                address=slot.plug.address,
                power=slot.power,
                error=slot.error,
            )
            for slot in self._slots.values()
            if slot.instance is not None
        )

    async def close(self) -> None:
        """Switch every machine off."""
        await asyncio.gather(*(self._finish(slot) for slot in self._slots.values()))

    async def _finish(self, slot: Slot) -> None:
        if slot.task is not None:
            slot.task.cancel()
            await asyncio.wait([slot.task])
        await self._stop(slot)

    def _plug(self, instance: LocalInstance, *, role: Role, master: str | None) -> Plug:
        return Plug(
            directory=self._directory / instance.instance_id,
            role=role,
            name=instance.tags.get(MACHINE_TAG, instance.instance_id),
            address=instance.private_ip,
            authorized_keys=(instance.public_key,) if instance.public_key else (),
            memory_mib=instance.memory_mib,
            vcpus=instance.vcpus,
            master_address=master if role == "worker" else None,
        )

    def _build(self, plug: Plug) -> PoweredMachine:
        return self._make_machine(
            directory=plug.directory,
            role=plug.role,
            name=plug.name,
            address=plug.address,
            ssh_port=self._ssh_port,
            user=self._user,
            authorized_keys=plug.authorized_keys,
            memory_mib=plug.memory_mib,
            vcpus=plug.vcpus,
            master_address=plug.master_address,
        )

    def _next_work(self, slot: Slot, plug: Plug) -> Coroutine[Any, Any, None] | None:
        """What to do next for a machine that nothing is done to at the moment, if anything."""
        assert slot.instance is not None  # noqa: S101 - for the type checker
        if slot.failed_at is not None and self._clock() < slot.failed_at + _RETRY_SECONDS:
            return None
        state = slot.instance.state
        if state == "terminated":
            return self._remove(slot)
        if state == "running":
            # A worker that came before its master learns of it; nothing else of a running machine can change.
            settled = slot.power == "on" and slot.plug.master_address == plug.master_address
            if settled and slot.reboots != slot.instance.reboots:
                return self._reboot(slot, plug)
            return None if settled else self._start(slot, plug)
        return None if state == "pending" or slot.power == "off" else self._stop(slot)

    async def _reboot(self, slot: Slot, plug: Plug) -> None:
        await self._stop(slot)
        await self._start(slot, plug)

    async def _start(self, slot: Slot, plug: Plug) -> None:
        with self._recorded(slot, "starting", "on"):
            assert slot.instance is not None  # noqa: S101 - for the type checker
            slot.reboots = slot.instance.reboots
            if slot.plug != plug:
                await slot.machine.stop()
                slot.plug, slot.machine = plug, self._build(plug)
            await slot.machine.start()

    async def _stop(self, slot: Slot) -> None:
        with self._recorded(slot, "stopping", "off"):
            await slot.machine.stop()

    async def _remove(self, slot: Slot) -> None:
        with self._recorded(slot, "stopping", "off"):
            await slot.machine.remove()
            assert slot.instance is not None  # noqa: S101 - for the type checker
            self._gone.add(slot.instance.instance_id)
            del self._slots[slot.instance.instance_id]

    @contextmanager
    def _recorded(self, slot: Slot, during: Power, after: Power) -> Iterator[None]:
        """Notes a machine's power. A failure is logged, shown by the status and tried again; it harms no other one."""
        slot.power = during
        try:
            yield
        except Exception as error:
            slot.power, slot.error, slot.failed_at = "failed", str(error), self._clock()
            logger.warning("%s: %s", slot.plug.name, error, exc_info=not isinstance(error, PioTfError))
        else:
            slot.power, slot.error, slot.failed_at = after, "", None


def _role(instance: LocalInstance) -> Role | None:
    """The role of an instance of a cluster; None for an instance that pio-tf did not make: nothing stands behind it."""
    role = instance.tags.get(ROLE_TAG)
    return next((known for known in get_args(Role) if known == role), None)
