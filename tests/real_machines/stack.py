"""Terraform's machines of a pio-tf.hcl in EC2: their addresses and user data."""

from __future__ import annotations

import base64
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from pio_tf.config.load import load_config
from tests.real_machines.machine import Launch
from tests.real_machines.software import PIO, SHORT_LIVED, VERSIONS
from tests.support.deployments import deployment
from tests.support.shell import ec2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Network
    from pathlib import Path

    from pio_tf.config.schema import Config
    from tests.real_machines.software import Archive
    from tests.support.site import Site


def write_config(
    site: Site,
    *,
    network: IPv4Network,
    mirrors: Sequence[str],
    archives: Mapping[str, Archive],
    public_key: Path,
    workers: int = 2,
) -> Config:
    """Write a pio-tf.hcl for a cluster that installs everything from these mirrors."""
    sums = {name: archive.sha512 for name, archive in archives.items()}
    software = "\n".join(
        f'  {name} {{\n    sha512 = "{sums[name]}"\n  }}' for name in ("hadoop", "hbase", "pio") if name in sums
    )
    options = ", ".join(f'"spark.{one}.extraJavaOptions" = "{SHORT_LIVED}"' for one in ("driver", "executor"))
    site.write(
        network=f'cidr = "{network}"',
        spark=f'workers = {workers}\nexecutor_memory = "1g"\nconf = {{ {options} }}\n'
        f'version = "{VERSIONS["spark"]}"\ndownload_sha512 = "{sums["spark"]}"',
        more=f"software {{\n  mirrors = {str(list(mirrors)).replace(chr(39), chr(34))}\n{software}\n}}\n"
        'train {\n  linger = "10s"\n}\nschedule {\n}\n',
    )
    (site.directory / "id.pub").write_text(public_key.read_text())
    path = site.directory / "pio-tf.hcl"
    path.write_text(
        path.read_text().replace(
            "driver {\n",
            'driver {\n  allow_small_memory = true\n  memory = "1g"\n  scratch_volume {\n    gib = 1\n  }\n',
        )
    )
    config = load_config(path, environ={})
    assert config.pio.version == PIO
    return config


def apply(site: Site, config: Config) -> dict[str, Launch]:
    """Apply the configuration's stack. Return the launch arguments of each machine, by its name."""
    cluster = deployment(config)
    cluster.apply(cluster.plan())
    return {name: _launch(site, name, instance) for name, instance in site.instances().items()}


def _launch(site: Site, name: str, instance: Mapping[str, str]) -> Launch:
    attribute = ec2(site.url).describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    return Launch(
        name=name,
        instance_id=instance["InstanceId"],
        address=IPv4Address(instance["PrivateIpAddress"]),
        user_data=base64.b64decode(attribute["UserData"]["Value"]),
    )
