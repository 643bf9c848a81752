"""spark-submit arguments: read from what the user wrote, merged, and written as PIO can read them.

PIO itself reads some of them (``--master``, ``--deploy-mode``) and knows only the form ``--key value``; with
``--key=value`` it takes the master for "local". And ``bin/pio`` expands its arguments again, unquoted: a blank in a
value splits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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

_REFUSED = {
    "--master": (
        "pio-tf gives the cluster's own master; with another one, or with local, the cluster would stand idle",
        "leave it out",
    ),
    "--jars": (
        "PIO gives its own --jars after it, and spark-submit takes the last",
        "put the jars into lib/spark of PIO on the driver or into the engine's assembly, or name them with --packages",
    ),
    "--files": (
        "PIO gives its own --files after it, and spark-submit takes the last",
        "put the files where every worker finds them, or let the engine call SparkContext.addFile",
    ),
    "--class": ("PIO gives its own --class after it, and spark-submit takes the last", "leave it out"),
    "--properties-file": (
        "spark-submit would read it instead of spark-defaults.conf, in which pio-tf writes the cluster's settings",
        "put its settings into spark.conf",
    ),
}
"""Options that would take the training elsewhere, or be lost without a word: why, and what to do instead."""


def read_arguments(arguments: Sequence[str], *, where: str) -> dict[str, str | None]:
    """What was asked for: option, or ``--conf NAME``, -> value; None for an option without one. The last one wins.

    Args:
        arguments: as for spark-submit, in ``--key value`` or ``--key=value`` form.
        where: where they stand, for messages: ``pio-tf.hcl:40: train.spark_arguments``.

    Raises:
        ConfigError: not an option, an option without its value, a value that ``bin/pio`` would break, or an option that
            would be lost or take the training elsewhere.
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
        key, checked = _key(option, value, where=where)
        _check_meaning(key, checked, where=where)
        found[key] = checked
    return found


def merge(*layers: Mapping[str, str | None]) -> dict[str, str | None]:
    """Later layers win; each option stands where it was first named."""
    merged: dict[str, str | None] = {}
    for layer in layers:
        merged.update(layer)
    return merged


def write_arguments(options: Mapping[str, str | None]) -> list[str]:
    """The words for PIO, in the form ``--key value`` only."""
    words: list[str] = []
    for key, value in options.items():
        if key.startswith("--conf "):
            words += ["--conf", f"{key.removeprefix('--conf ')}={value}"]
        else:
            words += [key] if value is None else [key, value]
    return words


def from_settings(settings: Mapping[str, str]) -> dict[str, str | None]:
    """Spark settings -> options, each by its own option where it has one."""
    return {_OPTION_OF.get(name, f"--conf {name}"): value for name, value in settings.items()}


def to_settings(options: Mapping[str, str | None]) -> dict[str, str]:
    """The Spark settings among options, by name: what :func:`from_settings` takes."""
    named = {_SETTING_OF.get(key, key.removeprefix("--conf ")): value for key, value in options.items()}
    return {name: value for name, value in named.items() if value is not None and not name.startswith("--")}


def check_setting(name: str, value: str, *, where: str) -> None:
    """Refuse a setting that would take the training elsewhere.

    Raises:
        ConfigError: it would.
    """
    _check_meaning(_OPTION_OF.get(name, f"--conf {name}"), value, where=where)


def check_word(word: str, option: str, *, where: str) -> None:
    """Refuse what ``bin/pio`` would split or lose.

    Raises:
        ConfigError: it would.
    """
    if word and not any(character.isspace() for character in word):
        return
    raise ConfigError(
        f"{where}: {option}: the value {word!r} {'has a blank' if word else 'is empty'}",
        cause="bin/pio expands its arguments again without quotes, so that it would not arrive as it is",
        next_step="put it into spark.conf, which is written to spark-defaults.conf, as the Spark setting of that name",
    )


def check_words(words: Iterable[str], *, where: str) -> None:
    """:func:`check_word` for arguments without an option, such as those of `pio train` itself."""
    for word in words:
        check_word(word, "argument", where=where)


def _key(option: str, value: str, *, where: str) -> tuple[str, str]:
    if option != "--conf":
        return option, value
    name, equals, setting = value.partition("=")
    if not equals:
        raise ConfigError(f"{where}: --conf {value} has no value", next_step="write `--conf NAME=VALUE`")
    return _OPTION_OF.get(name, f"--conf {name}"), setting


def _check_meaning(key: str, value: str, *, where: str) -> None:
    if key in _REFUSED:
        cause, next_step = _REFUSED[key]
        raise ConfigError(f"{where}: {key} {value} cannot work", cause=cause, next_step=next_step)
    if key == "--deploy-mode" and value != "client":
        raise ConfigError(
            f"{where}: {key} {value} cannot work",
            cause="PredictionIO refuses it with a standalone master: the Spark driver runs on the driver machine",
            next_step="leave it out",
        )
