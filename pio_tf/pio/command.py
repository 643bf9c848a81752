"""The command line of `pio train`, and the Spark settings of a run."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pio_tf.config.components import find_block
from pio_tf.config.storage import HdfsBlock
from pio_tf.errors import ConfigError
from pio_tf.pio.spark_arguments import (
    check_setting,
    check_word,
    from_settings,
    read_arguments,
    to_settings,
    write_arguments,
)
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs

UI_PORT = 4040
"""Spark's default for the web page of its driver."""
_ON_THE_COMMAND_LINE = ("spark.master", "spark.driver.memory", "spark.executor.memory", "spark.driver.host")
"""Settings that are arguments, too. Without the argument --master, PIO trains on the driver alone, without a warning.
The others show the reader of a run's command where it ran, and with how much memory."""


def train_command(config: Config, outputs: Outputs, sizing: Sizing, *, extra: Sequence[str] = ()) -> str:
    """Return ``cd ENGINE && PIO_HOME/bin/pio train [pio arguments] -- [spark-submit arguments]``, as bash text.

    Of the spark-submit arguments, ``extra`` wins over ``train.spark_arguments``, and both win over pio-tf's own. Each
    stands there once.

    Raises:
        ConfigError: an argument would not arrive at spark-submit unchanged, or would take the training elsewhere.
    """
    settings = spark_settings(config, outputs, sizing)
    ours = from_settings({name: settings[name] for name in _ON_THE_COMMAND_LINE})
    spark = {**ours, **_user_arguments(config, extra)}
    words = ["train", *_pio_arguments(config), "--", *write_arguments(spark)]
    pio = shell_path(f"{config.pio.home}/bin/pio")
    return f"cd {shell_path(config.pio.engine_dir)} && {pio} {shlex.join(words)}"


def settings_in_force(config: Config, outputs: Outputs, sizing: Sizing, *, extra: Sequence[str] = ()) -> dict[str, str]:
    """Return the Spark settings of a run by name: those of spark-defaults.conf, changed by the arguments.

    engine.json changes them further: :func:`pio_tf.pio.engine.with_engine`. Raises what :func:`train_command` raises.
    """
    return {**spark_settings(config, outputs, sizing), **to_settings(_user_arguments(config, extra))}


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
        settings: those of :func:`settings_in_force`, changed by engine.json's.
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


def check_arguments(config: Config, *, extra: Sequence[str] = ()) -> None:
    """Check for the mistakes that :func:`train_command` and ``render_files`` refuse, before a machine starts.

    Raises:
        ConfigError: as they do.
    """
    check_settings(config)
    _pio_arguments(config)
    _user_arguments(config, extra)


def _user_arguments(config: Config, extra: Sequence[str]) -> dict[str, str | None]:
    where = f"{config.where('train.spark_arguments')}: train.spark_arguments"
    return {
        **read_arguments(config.train.spark_arguments, where=where),
        **read_arguments(extra, where="spark-submit arguments after --"),
    }


def _pio_arguments(config: Config) -> list[str]:
    where = f"{config.where('train.pio_arguments')}: train.pio_arguments"
    arguments = config.train.pio_arguments
    for word in arguments:
        check_word(word, "argument", where=where)
    if "--" in arguments:
        raise ConfigError(
            f"{where}: must not contain `--`",
            cause="the arguments after it are spark-submit's",
            next_step="put those into train.spark_arguments",
        )
    return list(arguments)
