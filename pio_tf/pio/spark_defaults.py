"""Spark's settings for the driver: what pio-tf works out, then what the user asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError
from pio_tf.pio.sources import find_hdfs
from pio_tf.pio.spark_arguments import check_setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs

UI_PORT = 4040
"""Spark's default for the web page of its driver."""

_KEY = re.compile(r"spark\.[A-Za-z0-9._-]+")


def master_url(config: Config, outputs: Outputs) -> str:
    """``spark://10.0.0.11:7077``: always with the port, without which PIO does not find the master."""
    return f"spark://{outputs.master.private_ip}:{config.spark.master_port}"


def spark_settings(config: Config, outputs: Outputs, sizing: Sizing) -> dict[str, str]:
    """All settings by name; those of ``spark.conf`` win.

    ``spark.driver.host`` is the driver's private address, because the workers connect back to it, and a host name need
    not resolve there.

    Raises what :func:`check_settings` raises.
    """
    settings = {
        "spark.master": master_url(config, outputs),
        "spark.driver.host": outputs.driver.private_ip,
        "spark.driver.memory": sizing.driver_memory,
        "spark.executor.memory": sizing.executor_memory,
        "spark.executor.cores": str(sizing.executor_cores),
        **_event_log(config),
    }
    check_settings(config)
    return {**settings, **config.spark.conf}


def ui_port(settings: Mapping[str, str]) -> int:
    """Where Spark's driver shows its web page first; where the port is taken, Spark tries those after it.

    Args:
        settings: those that hold: of :func:`pio_tf.pio.command.settings_in_force`, with engine.json's over them.
    """
    port = settings.get("spark.ui.port", "")
    return int(port) if re.fullmatch("[0-9]{1,5}", port) else UI_PORT


def check_settings(config: Config) -> None:
    """Check the user's own settings.

    Raises:
        ConfigError: a name in ``spark.conf`` is not one of Spark's, or a setting would be lost or take the training
            elsewhere.
    """
    for key, value in config.spark.conf.items():
        where = f"{config.where(f'spark.conf.{key}')}: spark.conf"
        if not _KEY.fullmatch(key):
            raise ConfigError(
                f"{where}: {key!r} is not a name of a Spark setting",
                cause='Spark ignores every name that does not begin with "spark."',
                next_step='name it like "spark.sql.shuffle.partitions"; a Hadoop setting goes as "spark.hadoop.NAME"',
            )
        check_setting(key, value, where=where)


def render_spark_defaults(config: Config, outputs: Outputs, sizing: Sizing) -> str:
    r"""spark-defaults.conf. Spark reads it as Java properties, in which ``\`` escapes.

    Raises what :func:`check_settings` raises.
    """
    settings = spark_settings(config, outputs, sizing)
    return "".join(f"{key} {_escape(value)}\n" for key, value in settings.items())


def _event_log(config: Config) -> dict[str, str]:
    hdfs = find_hdfs(config)
    if not config.spark.event_log or hdfs is None:  # a configuration that asks for it has HDFS
        return {}
    directory = f"hdfs://{hdfs.namenode}:{hdfs.port}{config.spark.event_log_dir}"
    return {"spark.eventLog.enabled": "true", "spark.eventLog.dir": directory}


def _escape(value: str) -> str:
    # After the blank that ends the name, Java takes one = or : for the separator, too.
    return ("\\" if value.startswith(("=", ":")) else "") + value.replace("\\", "\\\\")
