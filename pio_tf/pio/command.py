"""The command line of `pio train`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError
from pio_tf.pio.spark_arguments import check_word, from_settings, read_arguments, to_settings, write_arguments
from pio_tf.pio.spark_defaults import check_settings, spark_settings
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs

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
