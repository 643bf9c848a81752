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
}
"""Settings that have an option of their own. spark-submit prefers the option, whatever the order."""


def read_arguments(arguments: Sequence[str], *, where: str) -> dict[str, str | None]:
    """What was asked for: option, or ``--conf NAME``, -> value; None for an option without one. The last one wins.

    Args:
        arguments: as for spark-submit, in ``--key value`` or ``--key=value`` form.
        where: where they stand, for messages: ``pio-tf.hcl:40: train.spark_arguments``.

    Raises:
        ConfigError: not an option, an option without its value, a value that ``bin/pio`` would break, or deploy mode
            "cluster".
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
                next_step="give options only, like `--executor-cores 4`; files go with --files or --jars",
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
    if key == "--deploy-mode" and value != "client":
        raise ConfigError(
            f"{where}: --deploy-mode {value} cannot work",
            cause="PredictionIO refuses it with a standalone master: the Spark driver runs on the driver machine",
            next_step="leave --deploy-mode out",
        )
    if key == "--master" and value.startswith("spark://") and ":" not in value.removeprefix("spark://"):
        raise ConfigError(
            f"{where}: --master {value} has no port",
            cause="without one, Spark does not take it for a master",
            next_step=f"write --master {value}:7077, or leave --master out",
        )
