"""spark-defaults.conf: pio-tf's settings for Spark on the driver, changed by the user's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.config.components import find_block
from pio_tf.config.storage import HdfsBlock
from pio_tf.errors import ConfigError
from pio_tf.pio.spark_arguments import check_setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs

UI_PORT = 4040
"""Spark's default for the web page of its driver."""


def spark_settings(config: Config, outputs: Outputs, sizing: Sizing) -> dict[str, str]:
    """Return all settings by name. Those of ``spark.conf`` win.

    ``spark.driver.host`` is the driver's private address, because the workers connect back to it and need not resolve
    its host name. ``spark.master`` always has its port, without which PIO does not find the master.

    Raises what :func:`check_settings` raises.
    """
    check_settings(config)
    settings = {
        "spark.master": f"spark://{outputs.master.private_ip}:{config.spark.master_port}",
        "spark.driver.host": outputs.driver.private_ip,
        "spark.driver.memory": sizing.driver_memory,
        "spark.executor.memory": sizing.executor_memory,
        "spark.executor.cores": str(sizing.executor_cores),
    }
    hdfs = find_block(config, HdfsBlock)
    if config.spark.event_log and hdfs is not None:  # the configuration requires HDFS for the event log
        settings["spark.eventLog.enabled"] = "true"
        settings["spark.eventLog.dir"] = f"hdfs://{hdfs.namenode}:{hdfs.port}{config.spark.event_log_dir}"
    return {**settings, **config.spark.conf}


def ui_port(settings: Mapping[str, str]) -> int:
    """Return the port that Spark's driver tries first for its web page. It then tries the next ones.

    Args:
        settings: those of :func:`pio_tf.pio.command.settings_in_force`, changed by engine.json's.
    """
    port = settings.get("spark.ui.port", "")
    return int(port) if re.fullmatch("[0-9]{1,5}", port) else UI_PORT


def check_settings(config: Config) -> None:
    """Check the settings in ``spark.conf``.

    Raises:
        ConfigError: a name is not one of Spark's, or a setting would be lost or take the training elsewhere.
    """
    for key, value in config.spark.conf.items():
        where = f"{config.where(f'spark.conf.{key}')}: spark.conf"
        if not re.fullmatch(r"spark\.[A-Za-z0-9._-]+", key):
            raise ConfigError(
                f"{where}: {key!r} is not a name of a Spark setting",
                cause='Spark ignores every name that does not begin with "spark."',
                next_step='name it like "spark.sql.shuffle.partitions"; a Hadoop setting is "spark.hadoop.NAME"',
            )
        check_setting(key, value, where=where)


def render_spark_defaults(config: Config, outputs: Outputs, sizing: Sizing) -> str:
    r"""Return spark-defaults.conf. Spark reads it as Java properties, in which ``\`` escapes.

    Raises what :func:`check_settings` raises.
    """
    settings = spark_settings(config, outputs, sizing)
    return "".join(f"{key} {_escape(value)}\n" for key, value in settings.items())


def _escape(value: str) -> str:
    # After the blank that ends the name, Java skips one = or :, too.
    return ("\\" if value.startswith(("=", ":")) else "") + value.replace("\\", "\\\\")
