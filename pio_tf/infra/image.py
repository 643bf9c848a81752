"""A Packer template that bakes an image for a cluster's machines, with the script that they run at their first boot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.config.blocks import AmiFilter
from pio_tf.config.components import components, find_elasticsearch
from pio_tf.infra.bootstrap import Settings, render_script
from pio_tf.infra.generated_files import write_files
from pio_tf.infra.hcl_writer import attributes

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.infra.hcl_writer import Value

_TEMPLATE = Path(__file__).parent / "image_template"
_HEADER = "# Written by pio-tf from {source}: change that file, or give Packer -var NAME=VALUE.\n\n"
OWN = "self"
"""Owner of an image that was baked in this account: it is not the one to begin another with."""


def render_image(config: Config) -> dict[str, str]:
    """The files: relative path to text. `packer init` and `packer build` work in their directory, without pio-tf."""
    return {
        **{path.name: path.read_text(encoding="utf-8") for path in sorted(_TEMPLATE.glob("*.pkr.hcl"))},
        "pio-tf.auto.pkrvars.hcl": _HEADER.format(source=config.path.name) + attributes(_variables(config)),
        "bootstrap.sh": render_script(_settings(config)),
    }


def write_image(config: Config, directory: Path) -> Path:
    """Write them into a directory, which is made if it is not there. Returns it.

    Raises:
        ConfigError: a file is in the way that pio-tf did not write, or the directory cannot be written.
    """
    write_files(directory, render_image(config), named="--image", what="the template", instead="another --out")
    return directory


def _settings(config: Config) -> Settings:
    """Those of a driver, which gets all that any machine gets; nothing of a single cluster's addresses."""
    search = find_elasticsearch(config)
    return Settings(
        role="driver",
        ssh_user=config.ssh.user,
        service_user=config.software.user,
        region=config.aws.region,
        components=components(config),
        hosts={},
        elasticsearch_name=search.cluster_name if search is not None else "elasticsearch",
    )


def _variables(config: Config) -> dict[str, Value]:
    role = config.aws.assume_role
    wanted = config.driver.ami_filter
    source = AmiFilter() if wanted is None or wanted.owner == OWN else wanted
    values: dict[str, Value] = {
        "name": f"pio-tf-{config.cluster.name}",
        "region": config.aws.region,
        "profile": config.aws.profile,
        "role_arn": role.role_arn if role else None,
        "external_id": role.external_id if role else None,
        "source_ami": config.driver.ami,
        "source_owner": source.owner,
        "source_name": source.name,
        "instance_type": config.driver.instance_type,
        "ssh_user": config.ssh.user,
        "vpc_id": config.network.vpc_id,
        "subnet_id": config.network.subnet_id,
        "tags": dict(sorted(config.cluster.tags.items())),
    }
    return {name: value for name, value in values.items() if value is not None}
