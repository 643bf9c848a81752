"""Spark's settings for the driver: what pio-tf works out, then what the user asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.infra.outputs import Outputs

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
    }
    check_settings(config)
    return {**settings, **config.spark.conf}


def check_settings(config: Config) -> None:
    """Check the user's own settings.

    Raises:
        ConfigError: a name in ``spark.conf`` is not one of Spark's.
    """
    for key in config.spark.conf:
        if not _KEY.fullmatch(key):
            raise ConfigError(
                f"{config.where(f'spark.conf.{key}')}: spark.conf: {key!r} is not a name of a Spark setting",
                cause='Spark ignores every name that does not begin with "spark."',
                next_step='name it like "spark.sql.shuffle.partitions"; a Hadoop setting goes as "spark.hadoop.NAME"',
            )


def render_spark_defaults(config: Config, outputs: Outputs, sizing: Sizing) -> str:
    r"""spark-defaults.conf. Spark reads it as Java properties, in which ``\`` escapes.

    Raises what :func:`check_settings` raises.
    """
    settings = spark_settings(config, outputs, sizing)
    return "".join(f"{key} {_escape(value)}\n" for key, value in settings.items())


def _escape(value: str) -> str:
    # After the blank that ends the name, Java takes one = or : for the separator, too.
    return ("\\" if value.startswith(("=", ":")) else "") + value.replace("\\", "\\\\")
