"""The bootstrap script on machines: its result at the first boot, and running it again over SSH.

The script is that of the Terraform module ``bootstrap``.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from pio_tf.errors import RemoteError
from pio_tf.events import MachineProgress, Reporter, silent
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pio_tf.remote.ssh import ClusterConnection

STATE = "/var/lib/pio-tf"
"""Directory of the script's result."""
SCRIPT = "/usr/local/sbin/pio-tf-bootstrap"
IN_MEMORY = "/run/pio-tf"
"""Directory of its result when the disk is full."""
_PREFIX = "pio-tf: "
_LAST_LINES = 5


class ProvisionedMachine(Struct, frozen=True):
    """A machine on which the script has succeeded."""

    machine: str
    versions: Mapping[str, str] = field(default_factory=dict)


async def provision(
    remote: ClusterConnection, machine: str, script: str, *, reporter: Reporter = silent
) -> ProvisionedMachine:
    """Run the script on a machine, as root.

    Raises:
        RemoteError: the user may not become root there; a step failed; the connection was lost.
    """
    await _require_root(remote, machine)
    put = await remote.run(
        machine,
        'umask 077; file=$(mktemp /tmp/pio-tf-bootstrap.XXXXXX) && cat >"$file" && echo "$file"',
        content=script.encode(),
    )
    path = put.stdout.strip()
    if put.exit_status != 0 or not path:
        raise RemoteError(
            f"could not write the bootstrap script to /tmp on {machine}",
            cause=put.stderr.strip() or f"exit status {put.exit_status}",
            next_step="check whether its disk is full: df -h",
            details={"machine": machine, "kind": "write"},
        )
    file = shell_path(path)
    return await _run(remote, machine, f"sudo -n bash {file}; status=$?; rm -f {file}; exit $status", reporter)


async def roll_back(
    remote: ClusterConnection, machine: str, component: str, *, reporter: Reporter = silent
) -> ProvisionedMachine:
    """Switch a component back to its previous version. Raises what :func:`provision` does."""
    await _require_root(remote, machine)
    return await _run(remote, machine, f"sudo -n {SCRIPT} rollback {component}", reporter)


async def complete_hosts(remote: ClusterConnection, machines: Iterable[str], hosts: Mapping[str, str]) -> None:
    """Write the names of all machines into each one's hosts file: AWS chose some addresses after the first boot.

    A machine without the script, or without root, keeps its hosts file; that is no error.

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
        if line.startswith(_PREFIX):
            reporter(MachineProgress(machine, line.removeprefix(_PREFIX)))
        last.append(line)
        del last[:-_LAST_LINES]

    status = await remote.stream(machine, command, on_line)
    if status != 0:
        done = await remote.run(machine, f"cat {IN_MEMORY}/failed.json {STATE}/failed.json 2>/dev/null; true")
        result = parse_object(done.stdout.partition("\n")[0])
        step = str(result.get("step", ""))
        raise RemoteError(
            f"{machine}: step {step} failed" if step else f"{machine}: the script ended with {status}",
            cause=str(result.get("reason", "")) or " / ".join(line for line in last if line.strip()),
            next_step=how_to_repair(machine),
            details={"machine": machine, "kind": "provision", "step": step, "exit_status": status},
        )
    done = await remote.run(machine, f"cat {STATE}/ready.json 2>/dev/null; true")
    versions = parse_object(done.stdout).get("versions")
    reporter(MachineProgress(machine, "ready", ready=True))
    return ProvisionedMachine(
        machine, {str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}
    )


async def _require_root(remote: ClusterConnection, machine: str) -> None:
    asked = await remote.run(machine, "sudo -n true")
    if asked.exit_status != 0:
        raise RemoteError(
            f"could not provision {machine}: its user may not become root",
            cause=asked.stderr.strip() or "sudo -n true failed",
            next_step=f"allow the user of ssh.user to run sudo without a password on {machine}, as cloud images do",
            details={"machine": machine, "kind": "sudo"},
        )


def how_to_repair(machine: str) -> str:
    """Return the next step for a machine whose bootstrap has failed."""
    return f"fix the cause, then run `pio-tf provision {machine}`; /var/log/pio-tf.log there has all steps"


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a file of the script; empty if it is not one."""
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
