"""The command line that trains a model."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError
from pio_tf.pio.spark_arguments import (
    check_words,
    from_settings,
    merge,
    read_arguments,
    to_settings,
    write_arguments,
)
from pio_tf.pio.spark_defaults import check_settings, spark_settings
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs

_ON_THE_COMMAND_LINE = ("spark.master", "spark.driver.memory", "spark.executor.memory", "spark.driver.host")
"""Settings that are given as arguments too. PIO wants the master there: without it, it trains on the driver alone, in
silence. And whoever reads the run's command sees at a glance where it ran and with how much memory."""


def train_command(config: Config, outputs: Outputs, sizing: Sizing, *, extra: Sequence[str] = ()) -> str:
    """``cd ENGINE && PIO_HOME/bin/pio train [pio arguments] -- [spark-submit arguments]``, as bash text for the driver.

    Of the spark-submit arguments ``extra`` wins over ``train.spark_arguments``, both win over ours, and none is given
    twice.

    Raises:
        ConfigError: an argument that would not arrive at spark-submit as it is, or would take the training elsewhere.
    """
    settings = spark_settings(config, outputs, sizing)
    ours = from_settings({name: settings[name] for name in _ON_THE_COMMAND_LINE})
    spark = merge(ours, _asked_for(config, extra))
    words = ["train", *_pio_arguments(config), "--", *write_arguments(spark)]
    pio = shell_path(f"{config.pio.home}/bin/pio")
    return f"cd {shell_path(config.pio.engine_dir)} && {pio} {shlex.join(words)}"


def settings_in_force(config: Config, outputs: Outputs, sizing: Sizing, *, extra: Sequence[str] = ()) -> dict[str, str]:
    """The Spark settings of a run by name: spark-defaults.conf's, and over them those given as arguments.

    What engine.json says on top of them: :func:`pio_tf.pio.engine.with_engine`.

    Raises what :func:`train_command` raises.
    """
    return {**spark_settings(config, outputs, sizing), **to_settings(_asked_for(config, extra))}


def check_arguments(config: Config, *, extra: Sequence[str] = ()) -> None:
    """Find the mistakes that :func:`train_command` and ``render_files`` would, before a machine is started for it.

    Raises:
        ConfigError: as they do.
    """
    check_settings(config)
    _pio_arguments(config)
    _asked_for(config, extra)


def _asked_for(config: Config, extra: Sequence[str]) -> dict[str, str | None]:
    where = f"{config.where('train.spark_arguments')}: train.spark_arguments"
    return merge(
        read_arguments(config.train.spark_arguments, where=where),
        read_arguments(extra, where="spark-submit arguments after --"),
    )


def _pio_arguments(config: Config) -> list[str]:
    where = f"{config.where('train.pio_arguments')}: train.pio_arguments"
    arguments = config.train.pio_arguments
    check_words(arguments, where=where)
    if "--" in arguments:
        raise ConfigError(
            f"{where}: must not hold `--`",
            cause="what follows it are spark-submit's arguments",
            next_step="put those into train.spark_arguments",
        )
    return list(arguments)
