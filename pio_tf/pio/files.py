"""The files that make a machine the driver of this cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.pio.env_file import hadoop_conf_dir, hbase_conf_dir, render_pio_env
from pio_tf.pio.hadoop import render_core_site, render_hbase_site
from pio_tf.pio.sources import find_hbase, find_hdfs
from pio_tf.pio.spark_defaults import render_spark_defaults
from pio_tf.remote.files import RemoteFile

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.secrets import Secrets

__all__ = ["RemoteFile", "render_files"]

_PRIVATE = 0o600
"""Mode of files that may hold secrets (passwords, ``spark.authenticate.secret``, keys of an object store)."""


def render_files(config: Config, outputs: Outputs, sizing: Sizing, secrets: Secrets) -> tuple[RemoteFile, ...]:
    """The files for the driver; the same input gives the same bytes.

    Args:
        config: the configuration.
        outputs: the cluster's machines.
        sizing: heaps and cores.
        secrets: the values of its passwords.

    Raises:
        ConfigError: a value cannot be written in the file's format.
    """
    pio_env = render_pio_env(config, secrets)
    files = [RemoteFile("pio-env.sh", f"{config.pio.home}/conf/pio-env.sh", pio_env, _PRIVATE)]
    hdfs, hbase = find_hdfs(config), find_hbase(config)
    if hdfs is not None:
        files.append(RemoteFile("core-site.xml", f"{hadoop_conf_dir(hdfs)}/core-site.xml", render_core_site(hdfs)))
        if hbase is not None:
            site = render_hbase_site(hbase, hdfs)
            files.append(RemoteFile("hbase-site.xml", f"{hbase_conf_dir(hbase)}/hbase-site.xml", site))
    settings = render_spark_defaults(config, outputs, sizing)
    files.append(RemoteFile("spark-defaults.conf", f"{config.spark.home}/conf/spark-defaults.conf", settings, _PRIVATE))
    return tuple(files)
