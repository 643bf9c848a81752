"""The script that prepares a machine, as text: for machines that exist, the same as in the module ``bootstrap``."""

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
"""The components of master and workers; the driver gets all."""


@dataclass(frozen=True)
class Settings:
    """The variables above the script: those of the module, and no others.

    Args:
        hosts: address by name.
    """

    role: Role
    ssh_user: str
    service_user: str
    region: str
    components: tuple[Component, ...]
    hosts: Mapping[str, str]
    master_host: str = "-"
    master_port: int = 7077
    master_ui_port: int = 8080
    elasticsearch_name: str = "elasticsearch"

    def lines(self) -> list[str]:
        """Return assignments, quoted for bash and sorted by name as Terraform sorts them."""
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
    """Return the settings of one machine of a cluster that exists."""
    role = next(one.role for one in outputs.machines if one.name == machine)
    return cluster_settings(
        config,
        role=role,
        hosts={host_name(one.name): one.private_ip for one in outputs.machines},
        master_host=outputs.master.private_ip if role == "worker" else "-",
    )


def cluster_settings(config: Config, *, role: Role, hosts: Mapping[str, str], master_host: str = "-") -> Settings:
    """Return the settings that a configuration gives to a machine of this role."""
    search = find_elasticsearch(config)
    return Settings(
        role=role,
        ssh_user=config.ssh.user,
        service_user=config.software.user,
        region=config.aws.region,
        components=components(config),
        hosts=hosts,
        master_host=master_host,
        master_port=config.spark.master_port,
        master_ui_port=config.spark.master_ui_port,
        elasticsearch_name=search.cluster_name if search is not None else "elasticsearch",
    )


def host_name(machine: str) -> str:
    """Return a machine's name in /etc/hosts: ``driver``, ``spark-master``, ``spark-worker-1``."""
    return machine if machine == "driver" else f"spark-{machine}"


def render_script(settings: Settings) -> str:
    """Return the script, byte for byte as Terraform renders it."""
    directory = find_modules() / "bootstrap"
    parts = [(directory / f"{part}.sh").read_text(encoding="utf-8") for part in PARTS]
    return "\n".join(["#!/bin/bash", *settings.lines(), *parts])


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
