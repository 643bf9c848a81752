"""The command line of `pio train`, and the Spark settings of a run.

PIO itself reads ``--master`` and ``--deploy-mode``, and only in the form ``--key value``: with ``--key=value`` it takes
the master for "local". And ``bin/pio`` expands its arguments again, unquoted: a blank in a value splits it.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pio_tf.config.components import find_block
from pio_tf.config.storage import HdfsBlock
from pio_tf.config.uri_hosts import URI_HOST, find_bad_host
from pio_tf.errors import ConfigError
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs

_WITHOUT_VALUE = frozenset({"--verbose", "--supervise"})
_SHORT = {"-c": "--conf", "-v": "--verbose"}
_OPTION_OF = {
    "spark.master": "--master",
    "spark.submit.deployMode": "--deploy-mode",
    "spark.driver.memory": "--driver-memory",
    "spark.executor.memory": "--executor-memory",
    "spark.executor.cores": "--executor-cores",
    "spark.cores.max": "--total-executor-cores",
    "spark.jars": "--jars",
    "spark.files": "--files",
}
"""Settings that have an option of their own. spark-submit prefers the option, whatever the order."""
_SETTING_OF = {option: name for name, option in _OPTION_OF.items()}

_OVERRIDDEN = "PIO gives its own {} after it, and spark-submit takes the last"
_REFUSED = {
    "--master": ("pio-tf gives the cluster's own master; with another one the cluster would be idle", "leave it out"),
    "--jars": (
        _OVERRIDDEN.format("--jars"),
        "put the jars into lib/spark of PIO on the driver or into the engine's assembly, or name them with --packages",
    ),
    "--files": (
        _OVERRIDDEN.format("--files"),
        "put the files where every worker finds them, or let the engine call SparkContext.addFile",
    ),
    "--class": (_OVERRIDDEN.format("--class"), "leave it out"),
    "--properties-file": (
        "spark-submit would read it instead of spark-defaults.conf, in which pio-tf writes the cluster's settings",
        "put its settings into spark.conf",
    ),
}
"""The cause and the next step for each option that would be lost without a warning, or take the training elsewhere."""

_INSTEAD_OF_TRAINING = frozenset({"--help", "-h", "--version", "--usage-error", "--status", "--kill"})
"""Options with which spark-submit prints something, or ends something, and trains nothing."""
_MEMORY = re.compile(r"[1-9]\d*[kmgt]", re.IGNORECASE)
"""A heap as the JVM reads it after ``-Xmx``, as spark-submit hands it on. Without a unit, it is in bytes."""
_EXPECTED = {
    "--driver-memory": (_MEMORY, 'a number with a unit, like "20g"'),
    "--executor-memory": (re.compile(r"[1-9]\d*([kmgtp]b?)?", re.IGNORECASE), 'a number with a unit, like "20g"'),
    "--driver-cores": (re.compile(r"[1-9]\d*"), "a number"),
    "--executor-cores": (re.compile(r"[1-9]\d*"), "a number"),
    "--total-executor-cores": (re.compile(r"[1-9]\d*"), "a number"),
    "--conf spark.driver.host": (
        re.compile(rf"{URI_HOST}|\[[0-9A-Fa-f:.]+\]"),
        "a host name of letters, digits, dots and hyphens, or an address: Java finds no other host in Spark's URIs",
    ),
}
"""The values that Spark or the JVM would refuse only once the machines run."""

_SIZE = re.compile(r"(\d+)\s*([kmgt]?)b?", re.IGNORECASE)
_MIB = {"": 1 / 1024**2, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
"""spark.executor.memory without a unit is in bytes (Utils.memoryStringToMb)."""
UI_PORT = 4040
"""Spark's default for the web page of its driver."""
_ON_THE_COMMAND_LINE = ("spark.master", "spark.driver.memory", "spark.executor.memory", "spark.driver.host")
"""Settings that are arguments, too. Without the argument --master, PIO trains on the driver alone, without a warning.
The others show the reader of a run's command where it ran, and with how much memory."""


def read_arguments(arguments: Sequence[str], *, where: str) -> dict[str, str | None]:
    """Return the value of each option, or ``--conf NAME``; None for an option without a value. The last one wins.

    Args:
        arguments: as for spark-submit, in ``--key value`` or ``--key=value`` form.
        where: their place, for messages: ``pio-tf.hcl:40: train.spark_arguments``.

    Raises:
        ConfigError: a word is no option, an option has no value, ``bin/pio`` would break a value, or an option would
            be lost or take the training elsewhere.
    """
    found: dict[str, str | None] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        option = _SHORT.get(option, option)
        if option in _INSTEAD_OF_TRAINING:
            raise ConfigError(
                f"{where}: {word} would not train",
                cause="with it, spark-submit does something else and ends",
                next_step="leave it out; `pio-tf train --help` shows pio-tf's own options, and `spark-submit --help` "
                "on the driver shows Spark's",
            )
        if not option.startswith("--") or option == "--":
            raise ConfigError(
                f"{where}: {word!r} is not an option of spark-submit",
                cause="PIO gives spark-submit the application and its arguments itself",
                next_step="give options only, like `--executor-cores 4`",
            )
        if option in _WITHOUT_VALUE:
            found[option] = None
            continue
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"{where}: {option} has no value", next_step=f"write `{option} VALUE`")
            value = rest.pop(0)
        word, given = value, option
        if option == "--conf":
            name, equals, value = value.partition("=")
            if not equals:
                check_word(word, given, where=where)
                raise ConfigError(f"{where}: --conf {name} has no value", next_step="write `--conf NAME=VALUE`")
            option = _option_of(name)
        if option in _REFUSED:
            _check_meaning(option, value, where=where)
        check_word(word, given, where=where)
        _check_meaning(option, value, where=where)
        found[option] = value
    return found


def write_arguments(options: Mapping[str, str | None]) -> list[str]:
    """Return the words for PIO, in the form ``--key value`` only."""
    words: list[str] = []
    for key, value in options.items():
        if key.startswith("--conf "):
            words += ["--conf", f"{key.removeprefix('--conf ')}={value}"]
        else:
            words += [key] if value is None else [key, value]
    return words


def from_settings(settings: Mapping[str, str]) -> dict[str, str | None]:
    """Return options for Spark settings, each its own option if it has one."""
    return {_option_of(name): value for name, value in settings.items()}


def to_settings(options: Mapping[str, str | None]) -> dict[str, str]:
    """Return the Spark settings among options, by name: the reverse of :func:`from_settings`."""
    named = {_SETTING_OF.get(key, key.removeprefix("--conf ")): value for key, value in options.items()}
    return {name: value for name, value in named.items() if value is not None and not name.startswith("--")}


def check_setting(name: str, value: str, *, where: str) -> None:
    """Refuse a setting that would take the training elsewhere.

    Raises:
        ConfigError: it would.
    """
    _check_meaning(_option_of(name), value, where=where)


def check_word(word: str, option: str, *, where: str) -> None:
    """Refuse a word that ``bin/pio`` would split, lose, or replace with the names of files.

    Raises:
        ConfigError: it would.
    """
    wildcards = "".join(character for character in "*?[" if character in word)
    blank = any(character.isspace() for character in word)
    if word and not blank and not wildcards:
        return
    wrong = "has a blank" if blank else f"has the wildcard {wildcards[0]}" if wildcards else "is empty"
    raise ConfigError(
        f"{where}: {option}: the value {word!r} {wrong}",
        cause="bin/pio expands its arguments again without quotes, which would change it",
        next_step="put it into spark.conf, which is written to spark-defaults.conf, as the Spark setting of that name",
    )


def _option_of(setting: str) -> str:
    return _OPTION_OF.get(setting, f"--conf {setting}")


def _check_meaning(key: str, value: str, *, where: str) -> None:
    cause, next_step = _REFUSED.get(key, ("", ""))
    if key == "--deploy-mode" and value != "client":
        cause = "PredictionIO refuses it with a standalone master: the Spark driver runs on the driver machine"
        next_step = "leave it out"
    if cause:
        raise ConfigError(f"{where}: {key} {value} cannot work", cause=cause, next_step=next_step)
    if key in _EXPECTED and not _EXPECTED[key][0].fullmatch(value):
        raise ConfigError(f"{where}: {key}: {value!r} cannot work", next_step=f"give {_EXPECTED[key][1]}")
    if bad := find_bad_host(key.removeprefix("--conf "), value):
        raise ConfigError(
            f"{where}: {key}: {bad} cannot work",
            cause="Java finds no host in it: the name has an underscore, or begins with a digit after its last dot",
            next_step="give the host's address, or another name for it",
        )


def train_command(config: Config, outputs: Outputs, sizing: Sizing, *, extra: Sequence[str] = ()) -> str:
    """Return ``cd ENGINE && PIO_HOME/bin/pio train [pio arguments] -- [spark-submit arguments]``, as bash text.

    Of the spark-submit arguments, ``extra`` wins over ``train.spark_arguments``, and both win over pio-tf's own. Each
    stands there once.

    Raises:
        ConfigError: an argument would not arrive at spark-submit unchanged, or would take the training elsewhere.
    """
    settings = spark_settings(config, outputs, sizing)
    names = [*settings] if config.pio.keep_files else _ON_THE_COMMAND_LINE
    ours = from_settings({name: settings[name] for name in names})
    spark = {**ours, **_user_arguments(config, extra)}
    words = ["train", *_pio_arguments(config), "--", *write_arguments(spark)]
    pio = shell_path(f"{config.pio.home}/bin/pio")
    return f"cd {shell_path(config.pio.engine_dir)} && {pio} {shlex.join(words)}"


def settings_in_force(config: Config, outputs: Outputs, sizing: Sizing, *, extra: Sequence[str] = ()) -> dict[str, str]:
    """Return the Spark settings of a run by name: those of spark-defaults.conf, changed by the arguments.

    engine.json changes them further: :func:`pio_tf.pio.engine.with_engine`. Raises what :func:`train_command` raises.
    """
    return {**spark_settings(config, outputs, sizing), **to_settings(_user_arguments(config, extra))}


def limit_cores(config: Config, outputs: Outputs, sizing: Sizing, *, extra: Sequence[str]) -> tuple[str, ...]:
    """Return the extra arguments with a limit of cores, one executor for each worker, unless the user gives one."""
    settings = settings_in_force(config, outputs, sizing, extra=extra)
    cores = settings.get("spark.executor.cores", "")
    if "spark.cores.max" in settings or not cores.isdigit():
        return tuple(extra)
    return ("--total-executor-cores", str(len(outputs.workers) * int(cores)), *extra)


def spark_settings(config: Config, outputs: Outputs, sizing: Sizing) -> dict[str, str]:
    """Return all settings by name. Those of ``spark.conf`` win.

    ``spark.driver.host`` is the driver's private address, because the workers connect back to it and need not resolve
    its host name. ``spark.master`` always has its port: PIO needs it to find the master.

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
        settings["spark.eventLog.dir"] = f"{hdfs.url}{config.spark.event_log_dir}"
    return {**settings, **config.spark.conf}


def ui_port(settings: Mapping[str, str]) -> int:
    """Return the port that Spark's driver tries first for its web page. It then tries the next ones.

    Args:
        settings: those of :func:`settings_in_force`, changed by engine.json's.
    """
    port = settings.get("spark.ui.port", "")
    return int(port) if re.fullmatch("[0-9]{1,5}", port) else UI_PORT


def spark_mib(text: str) -> float:
    """Return the MiB of Spark's ``20g``, ``20gb``, ``26973m``; 0 for other text."""
    match = _SIZE.fullmatch(text.strip())
    return int(match[1]) * _MIB[match[2].lower()] if match else 0.0


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
