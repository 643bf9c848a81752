"""The pio-tf.hcl of the sandbox: ordinary options only, so that everything else takes the sandbox for AWS."""

from __future__ import annotations

import json
import os
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from pio_tf.config.template import write_new
from pio_tf.sandbox.control import write_credentials

if TYPE_CHECKING:
    from pio_tf.sandbox.layout import SandboxInfo

CREDENTIALS = Path(".pio-tf", "sandbox_credentials")
"""The sandbox's credentials, from the directory of pio-tf.hcl."""
DEFAULT_CIDR = "127.77.0.0/24"
"""On loopback, where a Linux machine can listen on any address without being root."""

_TEMPLATE = Template("""\
# A cluster on the sandbox: a local stand-in for AWS. `pio-tf init` without --sandbox writes one for AWS.

cluster {
  name = $cluster
}

aws {
  # Where the sandbox answers, and its credentials (any will do there). On AWS only the region is needed.
  region           = $region
  endpoint_url     = $url
  profile          = $profile
  credentials_file = $credentials_file
}

network {
  # A network on loopback: every machine listens on an address of its own, from .10 on: the driver, then the
  # Spark master, then the workers.
  cidr = $cidr
}

driver {
  # On AWS the driver should be an r5.xlarge or larger; here nothing but a small sample is trained on.
  instance_type      = "t3.medium"
  allow_small_memory = true
}

spark {
  workers       = 2
  instance_type = "t3.medium"

  # Spark comes with the sandbox; `home` is the one place in this file where it is, on every machine.
  home = "~/spark"

  conf = {
    # The sample is small: Spark's default of 200 partitions would be 200 almost empty tasks a shuffle.
    "spark.sql.shuffle.partitions" = "4"
    "spark.default.parallelism"    = "4"
  }
}

ssh {
  user    = $user
  key     = $key
  port    = $port
  address = "private"
}

pio {
  # A small stand-in for PredictionIO, which says so: it trains on a sample that comes with it.
  home       = "~/pio"
  engine_dir = "~/engine"
}

# The services that PredictionIO connects to are small stand-ins, too. Their client files go to the machine's home: it
# shares /usr/local with this computer.
elasticsearch {
  hosts = [$services]
  port  = $elasticsearch_port
  home  = "~/elasticsearch"
}

hbase {
  hosts          = [$services]
  zookeeper_port = $zookeeper_port
  home           = "~/hbase"
}

hdfs {
  namenode    = $services
  port        = $namenode_port
  hadoop_home = "~/hadoop"
}

terraform {
  # Takes the AWS provider from the sandbox's own copy.
  cli_config_file = $cli_config_file
}
""")


def render_sandbox_config(info: SandboxInfo, *, cluster: str, key: Path, cidr: str = DEFAULT_CIDR) -> str:
    """The text of a pio-tf.hcl for the running sandbox.

    Args:
        info: the sandbox.
        cluster: name of the cluster.
        key: private SSH key; relative: from the directory of pio-tf.hcl.
        cidr: network of the machines, in 127.0.0.0/8. Two clusters at once need two.
    """
    return _TEMPLATE.substitute(
        cluster=_quote(cluster),
        region=_quote(info.region),
        url=_quote(info.url),
        profile=_quote(info.profile),
        credentials_file=_quote(CREDENTIALS),
        cidr=_quote(cidr),
        user=_quote(info.ssh_user),
        key=_quote(key),
        port=info.ssh_port,
        services=_quote(info.services.host),
        elasticsearch_port=info.services.elasticsearch,
        zookeeper_port=info.services.zookeeper,
        namenode_port=info.services.namenode,
        cli_config_file=_quote(info.cli_config_file),
    )


def prepare_project(directory: Path, info: SandboxInfo, *, cluster: str, cidr: str = DEFAULT_CIDR) -> Path:
    """Write pio-tf.hcl for the sandbox, and a new SSH key for its machines in ``.pio-tf`` beside it.

    Args:
        directory: where; made when missing.
        info: the sandbox.
        cluster: name of the cluster.
        cidr: network of the machines, in 127.0.0.0/8.

    Returns:
        The path of pio-tf.hcl.

    Raises:
        ConfigError: there is a pio-tf.hcl already; nothing was written.
    """
    key = Path(".pio-tf", "sandbox_key")
    path = write_new(directory, render_sandbox_config(info, cluster=cluster, key=key, cidr=cidr))
    _make_key(directory / key)
    # Not the sandbox's own: they outlive it, so that a command without it says that nothing answers there.
    write_credentials(directory / CREDENTIALS)
    return path


def _make_key(path: Path) -> None:
    """A new Ed25519 key pair, unless there is one: private 0600, public beside it with .pub."""
    public = path.with_name(f"{path.name}.pub")
    if path.exists() and public.exists():
        return
    import asyncssh

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # half of a pair: an earlier call was interrupted
    key = asyncssh.generate_private_key("ssh-ed25519", comment="pio-tf sandbox")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(key.export_private_key())
    public.write_bytes(key.export_public_key())


def _quote(value: str | Path) -> str:
    """As a quoted HCL string: JSON's escapes are HCL's, and interpolation must be escaped."""
    return json.dumps(str(value), ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
