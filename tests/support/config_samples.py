"""Configurations for the tests of this directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config

BLOCKS = {
    "cluster": 'cluster {\n  name = "trainer"\n}\n',
    "aws": 'aws {\n  region = "eu-west-1"\n}\n',
    "network": 'network {\n  cidr = "10.20.0.0/24"\n}\n',
    "ssh": 'ssh {\n  key = "id_ed25519"\n}\n',
    "pio": 'pio {\n  engine_dir = "/opt/engine"\n}\n',
    "elasticsearch": 'elasticsearch {\n  hosts = ["es-1"]\n}\n',
    "hbase": 'hbase {\n  hosts = ["hbase-1"]\n}\n',
    "hdfs": 'hdfs {\n  namenode = "hdfs-1"\n}\n',
}
"""The blocks that every configuration needs, each as short as it can be."""


def text_with(**blocks: str) -> str:
    """Return a valid configuration, with other text for some blocks.

    The given ones come first, so that line 1 is known.
    """
    return "".join(blocks.values()) + "".join(text for name, text in BLOCKS.items() if name not in blocks)


def load_text(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    """Load a text as a file pio-tf.hcl of the directory, with an environment of its own."""
    (directory / "pio-tf.hcl").write_text(text, encoding="utf-8")
    return load_config(directory / "pio-tf.hcl", environ=environ or {})


def mistakes(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the lines of the error that a text gives."""
    with pytest.raises(ConfigError) as caught:
        load_text(directory, text, environ)
    assert str(directory / "pio-tf.hcl") in caught.value.next_step
    return caught.value.what.splitlines()
