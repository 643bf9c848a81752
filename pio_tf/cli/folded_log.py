"""A training's log as a terminal shows it: its longest and emptiest lines shortened. The run's own log stays whole."""

from __future__ import annotations

_COMMAND = "Submission command: "
_SLF4J = "SLF4J: "
_WHOLE = "(whole in `pio-tf logs`)"


class FoldedLog:
    """Shortens one log, line by line."""

    def __init__(self) -> None:
        self._in_slf4j = False

    def line(self, text: str) -> str | None:
        """Return the line as it is shown; None: it is part of the line before.

        PredictionIO prints spark-submit's command with all jars and variables, some 4,000 characters. SLF4J prints
        five lines on the logging libraries that it found.
        """
        was_in_slf4j, self._in_slf4j = self._in_slf4j, text.startswith(_SLF4J)
        if self._in_slf4j:
            return None if was_in_slf4j else f"{_SLF4J}several logging libraries found {_WHOLE}"
        before, found, _ = text.partition(_COMMAND)
        return f"{before}{_COMMAND}spark-submit … {_WHOLE}" if found else text
