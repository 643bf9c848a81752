"""The sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.cli.output import Rows

if TYPE_CHECKING:
    from pio_tf.cli.schemas.sandbox import SandboxData, SandboxMachineData, SandboxResult, SandboxStopResult
    from pio_tf.sandbox.control import SandboxStatus
    from pio_tf.sandbox.layout import SandboxInfo


def sandbox_rows(status: SandboxStatus) -> Rows:
    """``pio-tf sandbox status``."""
    info = status.info
    machines: list[SandboxMachineData] = [
        {
            "cluster": m.cluster,
            "name": m.name,
            "role": m.role,
            "instance_id": m.instance_id,
            "state": m.state,
            "address": m.address,
            "power": m.power,
            "error": m.error,
        }
        for m in status.machines
    ]
    data: SandboxResult = {
        "version": 1,
        "state": status.state,
        "info": _sandbox_data(info) if info else None,
        "machines": machines,
    }
    return Rows(
        columns=("CLUSTER", "NAME", "ID", "STATE", "ADDRESS"),
        rows=tuple((m.cluster, m.name, m.instance_id, m.state, m.address) for m in status.machines),
        data=data,
        closing=f"running at {info.url}, process {info.pid}, files in {info.directory}" if info else "not running",
    )


def sandbox_stop_rows(*, stopped: bool) -> Rows:
    """``pio-tf sandbox stop``, which has said the rest."""
    data: SandboxStopResult = {"version": 1, "stopped": stopped}
    return Rows((), (), data)


def _sandbox_data(info: SandboxInfo) -> SandboxData:
    services = info.services
    return {
        "url": info.url,
        "pid": info.pid,
        "directory": str(info.directory),
        "region": info.region,
        "profile": info.profile,
        "credentials_file": str(info.credentials_file),
        "cli_config_file": str(info.cli_config_file),
        "ssh_port": info.ssh_port,
        "ssh_user": info.ssh_user,
        "services": {
            "host": services.host,
            "elasticsearch": services.elasticsearch,
            "zookeeper": services.zookeeper,
            "namenode": services.namenode,
        },
        "log_file": str(info.log_file),
    }
