"""Values that must fit on one line of a file that PredictionIO, Hadoop or Spark reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pio_tf.config.schema import Config


def one_line(config: Config, name: str, value: str) -> str:
    """The value itself; ``name`` is its place in pio-tf.hcl, like ``elasticsearch.cluster_name``.

    Raises:
        ConfigError: it has a line break, or another control character.
    """
    if any(ord(character) < ord(" ") or character == "\x7f" for character in value):
        raise ConfigError(
            f"{config.where(name)}: {name}: must be one line without control characters, got {value!r}",
            next_step="remove line breaks and tabs",
        )
    return value
