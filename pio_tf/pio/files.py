"""The files that make a machine the driver of this cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.pio.env_file import hadoop_conf_dir, hbase_conf_dir, render_pio_env
from pio_tf.pio.hadoop import render_core_site, render_hbase_site
from pio_tf.pio.spark_defaults import render_spark_defaults
from pio_tf.remote.files import RemoteFile

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.infra.outputs import Outputs

__all__ = ["RemoteFile", "render_files"]

_PRIVATE = 0o600
"""Mode of files that may hold secrets (``spark.authenticate.secret``, keys of an object store)."""


def render_files(config: Config, outputs: Outputs, sizing: Sizing) -> tuple[RemoteFile, ...]:
    """The files for the driver; the same input gives the same bytes.

    Raises:
        ConfigError: a value cannot be written in the file's format.
    """
    return (
        RemoteFile("pio-env.sh", f"{config.pio.home}/conf/pio-env.sh", render_pio_env(config), _PRIVATE),
        RemoteFile("core-site.xml", f"{hadoop_conf_dir(config)}/core-site.xml", render_core_site(config)),
        RemoteFile("hbase-site.xml", f"{hbase_conf_dir(config)}/hbase-site.xml", render_hbase_site(config)),
        RemoteFile(
            "spark-defaults.conf",
            f"{config.spark.home}/conf/spark-defaults.conf",
            render_spark_defaults(config, outputs, sizing),
            _PRIVATE,
        ),
    )
