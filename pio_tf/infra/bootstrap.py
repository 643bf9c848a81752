"""The script that prepares a machine: as text for machines that exist, and with a Packer template that bakes an image.

The text is the same as in the Terraform module ``bootstrap``.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.config.blocks import AmiFilter
from pio_tf.config.components import check_apaches_binary, components, find_elasticsearch
from pio_tf.config.hcl_writer import attributes
from pio_tf.errors import ConfigError
from pio_tf.infra.extra_bootstrap import read_extra_bootstrap
from pio_tf.infra.generated_files import write_files
from pio_tf.infra.root_module import find_modules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.components import Component
    from pio_tf.config.hcl_writer import Value
    from pio_tf.config.schema import Config
    from pio_tf.model import Outputs, Role

PARTS = ("common", "machine", "install", "disks", "services", "bootstrap")
"""The parts of the script, as in terraform/modules/bootstrap/main.tf."""
_COMMENT = re.compile(r"^ *# .*\n", re.MULTILINE)
"""A line that user data leave out, as the module does."""
USER_DATA_BYTES = 16384
"""AWS's limit, before base64."""
FOR_SPARK = ("java", "spark")
"""The components of master and workers; the driver gets all."""


_TEMPLATE = Path(__file__).parent / "image_template"
_HEADER = "# Written by pio-tf from {source}: change that file, or give Packer -var NAME=VALUE.\n\n"
_OWN_ACCOUNT = "self"
"""Owner of an image that was baked in this account: no image to start another one from."""


class Settings(Struct, frozen=True):
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
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: tuple[str, ...] = ()
    extra_bootstrap: str = ""
    scratch_volume: bool = False

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
            "HTTP_PROXY": self.http_proxy,
            "HTTPS_PROXY": self.https_proxy,
            "NO_PROXY": ",".join(self.no_proxy),
            "EXTRA_BOOTSTRAP": self.extra_bootstrap,
            "SCRATCH_VOLUME": "yes" if self.scratch_volume else "",
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
        http_proxy=config.software.http_proxy or "",
        https_proxy=config.software.https_proxy or "",
        no_proxy=tuple(config.software.no_proxy),
        extra_bootstrap=read_extra_bootstrap(config),
        scratch_volume=config.scratch_volume(role) is not None,
    )


def host_name(machine: str) -> str:
    """Return a machine's name in /etc/hosts: ``driver``, ``spark-master``, ``spark-worker-1``."""
    return machine if machine == "driver" else f"spark-{machine}"


def render_script(settings: Settings) -> str:
    """Return the script, byte for byte as Terraform renders it."""
    directory = find_modules() / "bootstrap"
    parts = [_COMMENT.sub("", (directory / f"{part}.sh").read_text(encoding="utf-8")) for part in PARTS]
    return "\n".join(["#!/bin/bash", *settings.lines(), *parts])


def check_user_data(config: Config) -> None:
    """Check that ``software.extra_bootstrap`` fits into the user data of a machine. The driver's are the longest.

    Raises:
        ConfigError: it does not; or as :func:`read_extra_bootstrap`.
    """
    if config.software.extra_bootstrap is None:
        return
    hosts = {host_name(name): "255.255.255.255" for name in config.machine_names}
    settings = cluster_settings(config, role="driver", hosts=hosts)
    size = len(gzip.compress(render_script(settings).encode()))
    if size > USER_DATA_BYTES:
        rest = len(gzip.compress(render_script(replace(settings, extra_bootstrap="")).encode()))
        raise ConfigError(
            f"{config.where('software.extra_bootstrap')}: software.extra_bootstrap: "
            f"{config.software.extra_bootstrap} is too long for user data",
            cause=f"with it, a driver's have {size} bytes, packed; AWS accepts {USER_DATA_BYTES}, and pio-tf's own "
            f"script takes {rest}",
            next_step="let the script download what it needs, or bake an image (`pio-tf generate --image`)",
        )


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def render_image(config: Config) -> dict[str, str]:
    """Return the files: relative path to text. `packer init` and `packer build` in their directory need no pio-tf.

    Raises:
        ConfigError: a driver of this image would have a PredictionIO that its Spark cannot run.
    """
    if config.driver.ami is None and _source_image(config) == AmiFilter():  # another one may have a PredictionIO
        check_apaches_binary(config)
    # A driver's script installs all that any machine gets; an image has no addresses of one cluster, nor its ports.
    settings = cluster_settings(config, role="driver", hosts={})
    settings = replace(settings, master_port=7077, master_ui_port=8080, extra_bootstrap="", scratch_volume=False)
    return {
        **{path.name: path.read_text(encoding="utf-8") for path in sorted(_TEMPLATE.glob("*.pkr.hcl"))},
        "pio-tf.auto.pkrvars.hcl": _HEADER.format(source=config.path.name) + attributes(_variables(config)),
        "bootstrap.sh": render_script(settings),
    }


def write_image(config: Config, directory: Path) -> Path:
    """Write the files into a directory, which is made if necessary. Return it.

    Raises:
        ConfigError: as :func:`render_image`; pio-tf did not write a file that it would overwrite; or the directory
            cannot be written.
    """
    write_files(directory, render_image(config), named="--image", what="the template", instead="another --out")
    return directory


def _source_image(config: Config) -> AmiFilter:
    wanted = config.driver.ami_filter
    return AmiFilter() if wanted is None or wanted.owner == _OWN_ACCOUNT else wanted


def _variables(config: Config) -> dict[str, Value]:
    role = config.aws.assume_role
    source = _source_image(config)
    return {
        "name": f"pio-tf-{config.cluster.name}",
        "region": config.aws.region,
        "profile": config.aws.profile,
        "role_arn": role.role_arn if role else None,
        "external_id": role.external_id if role else None,
        "source_ami": config.driver.ami,
        "source_owner": source.owner,
        "source_name": source.name,
        "instance_type": config.types("driver").first,
        "ssh_user": config.ssh.user,
        "vpc_id": config.network.vpc_id,
        "subnet_id": config.network.subnet_id,
        "tags": dict(sorted(config.cluster.tags.items())),
    }
