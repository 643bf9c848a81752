"""A Packer template that bakes an image for a cluster's machines, with the script of their first boot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.config.blocks import AmiFilter
from pio_tf.infra.bootstrap import cluster_settings, render_script
from pio_tf.infra.generated_files import write_files
from pio_tf.infra.hcl_writer import attributes

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.infra.hcl_writer import Value

_TEMPLATE = Path(__file__).parent / "image_template"
_HEADER = "# Written by pio-tf from {source}: change that file, or give Packer -var NAME=VALUE.\n\n"
_OWN_ACCOUNT = "self"
"""Owner of an image that was baked in this account: no image to start another one from."""


def render_image(config: Config) -> dict[str, str]:
    """Return the files: relative path to text. `packer init` and `packer build` in their directory need no pio-tf."""
    # A driver's script installs all that any machine gets; an image has no addresses of one cluster, nor its ports.
    settings = replace(cluster_settings(config, role="driver", hosts={}), master_port=7077, master_ui_port=8080)
    return {
        **{path.name: path.read_text(encoding="utf-8") for path in sorted(_TEMPLATE.glob("*.pkr.hcl"))},
        "pio-tf.auto.pkrvars.hcl": _HEADER.format(source=config.path.name) + attributes(_variables(config)),
        "bootstrap.sh": render_script(settings),
    }


def write_image(config: Config, directory: Path) -> Path:
    """Write the files into a directory, which is made if necessary. Return it.

    Raises:
        ConfigError: pio-tf did not write a file that it would overwrite, or the directory cannot be written.
    """
    write_files(directory, render_image(config), named="--image", what="the template", instead="another --out")
    return directory


def _variables(config: Config) -> dict[str, Value]:
    role = config.aws.assume_role
    wanted = config.driver.ami_filter
    source = AmiFilter() if wanted is None or wanted.owner == _OWN_ACCOUNT else wanted
    return {
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
