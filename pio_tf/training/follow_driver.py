"""The timers that stop master and workers once their driver is gone, written over SSH like the names of machines."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING

from pio_tf.errors import RemoteError
from pio_tf.events import Warned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.model import Outputs
    from pio_tf.remote.ssh import ClusterConnection

PATIENCE = 300
"""Seconds without an answer from the driver after which a machine stops: more than a restart of the driver takes."""
_FILE = "/usr/local/sbin/pio-tf-follow-driver"
INSTALL = f"sudo -n sh -c 'cat >{_FILE}.new && chmod 755 {_FILE}.new && {_FILE}.new install && mv {_FILE}.new {_FILE}'"
"""The command that takes the script as its input. The sandbox's sudo knows it."""
REMOVE = f"[ ! -e {_FILE} ] || sudo -n sh -c 'systemctl disable --now pio-tf-follow-driver.timer; rm -f {_FILE}'"


def render_script(config: Config, outputs: Outputs) -> str:
    """Return the script of all machines but the driver, with its settings."""
    settings = {
        "DRIVER": outputs.driver.private_ip,
        "SSH_PORT": config.ssh.port,
        "MASTER": outputs.master.private_ip,
        "UI_PORT": config.spark.master_ui_port,
        "GRACE": config.cluster.start_timeout + config.cluster.capacity_wait,
        "PATIENCE": PATIENCE,
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    return "\n".join(
        ["#!/bin/bash", *lines, resources.files(__package__).joinpath("follow_driver.sh").read_text("utf-8")]
    )


async def install_timers(
    remote: ClusterConnection, config: Config, outputs: Outputs, machines: Iterable[str], *, report: Reporter
) -> tuple[str, ...]:
    """Write script and timer where they differ. Warn of a machine that does not take them: the deadline is left.

    Args:
        machines: the running machines.

    Returns:
        The machines that have them. The driver follows no machine: it loses the timer of an image that was a worker's.
    """
    script = render_script(config, outputs).encode()
    command = f'new=$(cat); [ "$(cat {_FILE} 2>/dev/null)" != "$new" ] || exit 0; printf "%s\\n" "$new" | {INSTALL}'

    async def one(machine: str) -> str:
        if machine == remote.driver.name:
            await remote.run(machine, REMOVE)
            return ""
        try:
            done = await remote.run(machine, command, content=script)
        except RemoteError as error:
            why = error.cause or error.what
        else:
            if done.exit_status == 0:
                return machine
            why = (done.stderr.strip().splitlines() or [f"exit status {done.exit_status}"])[-1]
        report(Warned(f"{machine} does not stop by itself after its driver, only at the deadline: {why}"))
        return ""

    return tuple(filter(None, await asyncio.gather(*map(one, machines))))
