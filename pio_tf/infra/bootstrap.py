"""The script that prepares a machine, as text: what the module ``bootstrap`` puts into user data, for machines that are
there already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.config.components import components, find_elasticsearch
from pio_tf.infra.root_module import find_modules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.components import Component
    from pio_tf.config.schema import Config
    from pio_tf.model import Outputs, Role

PARTS = ("common", "machine", "install", "disks", "services", "bootstrap")
"""As in terraform/modules/bootstrap/main.tf."""
FOR_SPARK = ("java", "spark")
"""What master and workers get; the driver gets everything."""


@dataclass(frozen=True)
class Settings:
    """What stands above the script. The module's variables, and no others."""

    role: Role
    ssh_user: str
    service_user: str
    region: str
    components: tuple[Component, ...]
    hosts: Mapping[str, str]
    """Address by name."""
    master_host: str = "-"
    master_port: int = 7077
    master_ui_port: int = 8080
    elasticsearch_name: str = "elasticsearch"

    def lines(self) -> list[str]:
        """Assignments, quoted for bash, in the order in which Terraform gives them: by name."""
        wanted = [one for one in self.components if self.role == "driver" or one.name in FOR_SPARK]
        values = {
            "ROLE": self.role,
            "SSH_USER": self.ssh_user,
            "SERVICE_USER": self.service_user,
            "REGION": self.region,
            "MASTER_HOST": self.master_host,
            "MASTER_PORT": str(self.master_port),
            "MASTER_UI_PORT": str(self.master_ui_port),
            "ELASTICSEARCH_NAME": self.elasticsearch_name,
            "HOSTS": "\n".join(f"{self.hosts[name]} {name}" for name in sorted(self.hosts)),
            "COMPONENTS": "\n".join(
                "\t".join((one.name, one.version, one.home, one.sha512, " ".join(one.urls))) for one in wanted
            ),
        }
        return [f"{name}={_quoted(values[name])}" for name in sorted(values)]


def settings_for(config: Config, outputs: Outputs, machine: str) -> Settings:
    """The settings of one machine of a cluster that is there."""
    search = find_elasticsearch(config)
    one = next(found for found in outputs.machines if found.name == machine)
    return Settings(
        role=one.role,
        ssh_user=config.ssh.user,
        service_user=config.software.user,
        region=config.aws.region,
        components=components(config),
        hosts={host_name(found.name): found.private_ip for found in outputs.machines},
        master_host=outputs.master.private_ip if one.role == "worker" else "-",
        master_port=config.spark.master_port,
        master_ui_port=config.spark.master_ui_port,
        elasticsearch_name=search.cluster_name if search is not None else "elasticsearch",
    )


def host_name(machine: str) -> str:
    """What /etc/hosts calls a machine: ``driver``, ``spark-master``, ``spark-worker-1``."""
    return machine if machine == "driver" else f"spark-{machine}"


def render_script(settings: Settings) -> str:
    """The script. Terraform renders the same bytes."""
    directory = find_modules() / "bootstrap"
    parts = [(directory / f"{part}.sh").read_text(encoding="utf-8") for part in PARTS]
    return "\n".join(["#!/bin/bash", *settings.lines(), *parts])


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
