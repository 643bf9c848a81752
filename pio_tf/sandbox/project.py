"""A project on the sandbox: a pio-tf.hcl with ordinary options only, so that every command treats it as AWS."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.config.template import fill_template, write_new
from pio_tf.sandbox.access_key import AccessKey

if TYPE_CHECKING:
    from pio_tf.sandbox.layout import SandboxInfo

CREDENTIALS = Path(".pio-tf", "sandbox_credentials")
"""The sandbox's credentials, relative to the directory of pio-tf.hcl."""

_SPARK_VERSIONS = {"2.4": "2.4.8"}
"""The full versions of Spark that PredictionIO knows."""
_EMPTY_PARAGRAPH = re.compile(
    r'\n  # .*\n(?:  \w+ += ""\n)+|# .*\nsoftware \{\n  pio \{\n    spark_version = ""\n  \}\n\}\n\n'
)


def render_sandbox_config(info: SandboxInfo, *, cluster: str, key: Path, cidr: str = "") -> str:
    """Return the text of a pio-tf.hcl for the running sandbox.

    Args:
        info: the sandbox.
        cluster: name of the cluster.
        key: private SSH key; a relative path starts at the directory of pio-tf.hcl.
        cidr: network of the machines, in 127.0.0.0/8. Two clusters at once need two networks. Default: the first 256
            addresses of the sandbox's own.
    """
    password_file = info.services.elasticsearch_password_file
    password = password_file.read_text(encoding="ascii") if password_file else ""
    values = {
        "cluster": cluster,
        "region": info.region,
        "url": info.url,
        "profile": info.profile,
        "credentials_file": CREDENTIALS,
        "cidr": cidr or next(IPv4Network(info.network).subnets(new_prefix=24)),
        "user": info.ssh_user,
        "key": key,
        "port": info.ssh_port,
        "services": info.services.host,
        "spark_version": _SPARK_VERSIONS.get(info.spark, ""),
        "elasticsearch_port": info.services.elasticsearch,
        "elasticsearch_user": info.services.elasticsearch_user or "",
        "elasticsearch_password": password,
        "zookeeper_port": info.services.zookeeper,
        "namenode_port": info.services.namenode,
        "cli_config_file": info.cli_config_file,
    }
    text = fill_template(Path(__file__).with_name("template.hcl"), values)
    return _EMPTY_PARAGRAPH.sub("", text)


def prepare_project(directory: Path, info: SandboxInfo, *, cluster: str, cidr: str = "") -> Path:
    """Write pio-tf.hcl for the sandbox, and a new SSH key for its machines in ``.pio-tf`` beside it.

    Args:
        directory: the project's directory, which is created if missing.
        info: the sandbox.
        cluster: name of the cluster.
        cidr: as for :func:`render_sandbox_config`.

    Returns:
        The path of pio-tf.hcl.

    Raises:
        ConfigError: there is a pio-tf.hcl already; nothing was written.
        SandboxError: the sandbox's credentials file has no access key.
    """
    access_key = AccessKey.read(info.credentials_file)
    key = Path(".pio-tf", "sandbox_key")
    path = write_new(directory, render_sandbox_config(info, cluster=cluster, key=key, cidr=cidr))
    _make_key(directory / key)
    # A copy that outlives the sandbox: a later command then reports that nothing answers at the sandbox's address.
    access_key.write(directory / CREDENTIALS)
    return path


def _make_key(path: Path) -> None:
    """Make an Ed25519 key pair unless it exists: the private key with mode 0600, the public one beside it with .pub."""
    public = path.with_name(f"{path.name}.pub")
    if path.exists() and public.exists():
        return
    from pio_tf.ssh_library import asyncssh

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # half of a pair: an earlier call was interrupted
    key = asyncssh.generate_private_key("ssh-ed25519", comment="pio-tf sandbox")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(key.export_private_key())
    public.write_bytes(key.export_public_key())
