"""What a machine says of its preparation, and preparing it again: the script of the module ``bootstrap``, over SSH."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pio_tf.errors import NotReady, RemoteError
from pio_tf.events import MachineProgress, Reporter, silent
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pio_tf.remote.commands import CompletedCommand
    from pio_tf.remote.ssh import ClusterConnection

STATE = "/var/lib/pio-tf"
"""Where the script keeps what it says of itself."""
SCRIPT = "/usr/local/sbin/pio-tf-bootstrap"
_IN_MEMORY = "/run/pio-tf"
"""And where, when the disk is full."""
_SAYS = "pio-tf: "
_LAST_LINES = 5


@dataclass(frozen=True)
class BootstrapFailure:
    """A step that failed at the boot that is still going on."""

    machine: str
    step: str
    reason: str

    def error(self) -> NotReady:
        """For whoever waits for the machine."""
        return NotReady(
            f"{self.machine} could not prepare itself: step {self.step} failed",
            cause=self.reason,
            next_step=_repair(self.machine),
            details={"machine": self.machine, "step": self.step, "reason": self.reason},
        )


@dataclass(frozen=True)
class ProvisionedMachine:
    """A machine that is as pio-tf.hcl wants it."""

    machine: str
    versions: Mapping[str, str] = field(default_factory=dict)


async def refuse_failed(remote: ClusterConnection, machines: Iterable[str], *, state: str = STATE) -> None:
    """Do not wait for a machine that has given up.

    Raises:
        NotReady: the first boot of one of these machines has failed; the step, and why.
        RemoteError: one could not be asked.
    """
    for failure in await asyncio.gather(*(_failure(remote, one, state) for one in machines)):
        if failure is not None:
            raise failure.error()


async def _failure(remote: ClusterConnection, machine: str, state: str) -> BootstrapFailure | None:
    where = f"{shell_path(_IN_MEMORY + '/failed.json')} {shell_path(state + '/failed.json')}"
    done = await remote.run(machine, f"cat /proc/sys/kernel/random/boot_id; cat {where} 2>/dev/null; true")
    boot, _, text = done.stdout.partition("\n")
    said = _object(text.partition("\n")[0])
    if said.get("boot_id") != boot:  # of an earlier boot: it tries again at this one
        return None
    return BootstrapFailure(machine, str(said.get("step")), str(said.get("reason")))


async def provision(
    remote: ClusterConnection, machine: str, script: str, *, reporter: Reporter = silent
) -> ProvisionedMachine:
    """Run the script on a machine, as root.

    Raises:
        RemoteError: nobody is root there; a step failed; the connection was lost.
    """
    await _must_be_root(remote, machine)
    put = await remote.run(
        machine,
        'umask 077; file=$(mktemp /tmp/pio-tf-bootstrap.XXXXXX) && cat >"$file" && echo "$file"',
        content=script.encode(),
    )
    path = put.stdout.strip()
    if put.exit_status != 0 or not path:
        raise _unwritten(machine, put)
    file = shell_path(path)
    return await _run(remote, machine, f"sudo -n bash {file}; status=$?; rm -f {file}; exit $status", reporter)


async def roll_back(
    remote: ClusterConnection, machine: str, component: str, *, reporter: Reporter = silent
) -> ProvisionedMachine:
    """Go back to the version of a component that was in use before. Raises what :func:`provision` does."""
    await _must_be_root(remote, machine)
    return await _run(remote, machine, f"sudo -n {SCRIPT} rollback {component}", reporter)


async def complete_hosts(remote: ClusterConnection, machines: Iterable[str], hosts: Mapping[str, str]) -> None:
    """Give these machines the names of all: those whose addresses AWS has chosen, and those of new workers.

    A machine without the script, or without root, has no names of ours; that is no error.

    Args:
        hosts: address by name.
    """
    lines = "".join(f"{hosts[name]} {name}\n" for name in sorted(hosts))
    command = (
        f"names=$(cat); [ -x {SCRIPT} ] || exit 0\n"
        '[ "$(sort /etc/pio-tf/hosts 2>/dev/null)" != "$(sort <<<"$names")" ] || exit 0\n'
        f'sudo -n {SCRIPT} hosts <<<"$names" >/dev/null'
    )
    await asyncio.gather(*(remote.run(machine, command, content=lines.encode()) for machine in machines))


async def _run(remote: ClusterConnection, machine: str, command: str, reporter: Reporter) -> ProvisionedMachine:
    last: list[str] = []

    def on_line(line: str) -> None:
        if line.startswith(_SAYS):
            reporter(MachineProgress(machine, line.removeprefix(_SAYS)))
        last.append(line)
        del last[:-_LAST_LINES]

    status = await remote.stream(machine, command, on_line)
    if status != 0:
        said = await remote.run(machine, f"cat {_IN_MEMORY}/failed.json {STATE}/failed.json 2>/dev/null; true")
        raise _failed(machine, status, last, _object(said.stdout.partition("\n")[0]))
    done = await remote.run(machine, f"cat {STATE}/ready.json 2>/dev/null; true")
    ready = _object(done.stdout)
    versions = ready.get("versions")
    reporter(MachineProgress(machine, "ready", ready=True))
    return ProvisionedMachine(
        machine,
        versions={str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {},
    )


async def _must_be_root(remote: ClusterConnection, machine: str) -> None:
    asked = await remote.run(machine, "sudo -n true")
    if asked.exit_status != 0:
        raise RemoteError(
            f"{machine} cannot be provisioned: its user may not become root there",
            cause=asked.stderr.strip() or "sudo -n true failed",
            next_step=f"let the user of ssh.user run sudo without a password on {machine}, as cloud images do",
            details={"machine": machine, "kind": "sudo"},
        )


def _unwritten(machine: str, put: CompletedCommand) -> RemoteError:
    return RemoteError(
        f"the script could not be written to /tmp on {machine}",
        cause=put.stderr.strip() or f"exit status {put.exit_status}",
        next_step="look whether its disk is full: df -h",
        details={"machine": machine, "kind": "write"},
    )


def _failed(machine: str, status: int, last: list[str], said: Mapping[str, Any]) -> RemoteError:
    step = str(said.get("step", ""))
    return RemoteError(
        f"{machine}: step {step} failed" if step else f"{machine}: the script ended with {status}",
        cause=str(said.get("reason", "")) or " / ".join(line for line in last if line.strip()),
        next_step=_repair(machine),
        details={"machine": machine, "kind": "provision", "step": step, "exit_status": status},
    )


def _repair(machine: str) -> str:
    return f"once the reason is gone: pio-tf provision {machine}; /var/log/pio-tf.log there has all steps"


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
