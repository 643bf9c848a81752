"""spark-submit arguments: read from the user's, and written in the form that PIO can read.

PIO itself reads ``--master`` and ``--deploy-mode``, and only in the form ``--key value``: with ``--key=value`` it takes
the master for "local". And ``bin/pio`` expands its arguments again, unquoted: a blank in a value splits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        check_word(value, option, where=where)
        if option == "--conf":
            name, equals, value = value.partition("=")
            if not equals:
                raise ConfigError(f"{where}: --conf {name} has no value", next_step="write `--conf NAME=VALUE`")
            option = _option_of(name)
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
    """Refuse a word that ``bin/pio`` would split or lose.

    Raises:
        ConfigError: it would.
    """
    if word and not any(character.isspace() for character in word):
        return
    raise ConfigError(
        f"{where}: {option}: the value {word!r} {'has a blank' if word else 'is empty'}",
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
