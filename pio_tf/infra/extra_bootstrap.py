"""The user's own script, which machines run at the end of their first boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pio_tf.config.schema import Config


def read_extra_bootstrap(config: Config) -> str:
    """Return the script that ``software.extra_bootstrap`` names; "" if it names none.

    Raises:
        ConfigError: the file cannot be read, or is not a text that begins with ``#!``.
    """
    path = config.software.extra_bootstrap
    if path is None:
        return ""
    option = f"{config.where('software.extra_bootstrap')}: software.extra_bootstrap"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{option}: cannot read {path}",
            cause=getattr(error, "strerror", None) or "it is not text",
            next_step="name a script on this computer, relative to pio-tf.hcl",
        ) from error
    if not text.startswith("#!") or "\0" in text:
        raise ConfigError(
            f"{option}: {path} is not a script",
            cause="its first line must name its program, like #!/bin/bash",
            next_step="add that line",
        )
    return text.rstrip("\n")
