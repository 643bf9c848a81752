"""The picture of ``pio-tf train`` in the README: ``make recording`` trains on a sandbox and draws the terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import tempfile
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "train.svg"
PROMPT, GAP = "$ ", "⋮"
_PIO_TF = Path(sys.executable).with_name("pio-tf")
_COLUMNS, _ROWS = 240, 200
"""The terminal's size: no line breaks, nothing scrolls away."""
_WIDTH, _HEAD, _TAIL = 96, 11, 15
"""The picture's columns, and its lines from the beginning and the end."""
_SVG = "{http://www.w3.org/2000/svg}"
_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own format, without the font that it loads from the internet."""


def main() -> None:
    """Train on a sandbox of its own, and draw what the terminal showed."""
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory, "project")
        project.mkdir()
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
        environment |= {"PIO_TF_SANDBOX_DIR": f"{directory}/sandbox", "TERM": "xterm-256color"}

        def pio_tf(*words: str) -> None:
            subprocess.run([_PIO_TF, *words], cwd=project, env=environment, check=True)

        pio_tf("sandbox", "start")
        try:
            pio_tf("init", "trainer", "--sandbox")
            pio_tf("up", "--yes")
            pio_tf("down")
            shown = record([str(_PIO_TF), "train"], project, environment)
            pio_tf("destroy", "--confirm", "trainer")
        finally:
            pio_tf("sandbox", "stop")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw([Text(f"{PROMPT}pio-tf train"), *shown]), encoding="utf-8")


def record(command: list[str], directory: Path, environment: Mapping[str, str]) -> list[Text]:
    """Return the lines that a terminal shows after a command, with their colours, without empty ones.

    Raises:
        SystemExit: the command failed.
    """
    screen = pyte.Screen(_COLUMNS, _ROWS)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(_COLUMNS), "LINES": str(_ROWS)}
    with subprocess.Popen(
        command, cwd=directory, env={**environment, **size}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        while select.select([ours], [], [], 0.2)[0] or process.poll() is None:
            if select.select([ours], [], [], 0)[0]:
                stream.feed(os.read(ours, 65536))
    os.close(ours)
    os.close(theirs)
    shown = screen.display  # pyte draws all rows whenever it is asked
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}:\n" + "\n".join(shown).rstrip())
    return [_line(screen.buffer[row]) for row, text in enumerate(shown) if text.strip()]


def _line(row: Mapping[int, pyte.screens.Char]) -> Text:
    line = Text()
    for (fg, bold), chars in groupby((row[column] for column in range(_COLUMNS)), lambda char: (char.fg, char.bold)):
        color = {"brown": "yellow"}.get(fg, fg)
        line.append("".join(char.data for char in chars), Style(color=color, bold=bold))
    line.rstrip()
    return line


def draw(lines: list[Text]) -> str:
    """Return the SVG of the beginning and the end of what a terminal showed."""
    console = Console(record=True, width=_WIDTH, file=StringIO())
    gap = [Text(GAP)] if len(lines) > _HEAD + _TAIL else []
    for line in [*lines[:_HEAD], *gap, *lines[_HEAD:][-_TAIL:]]:
        console.print(line, no_wrap=True, overflow="ellipsis")
    return console.export_svg(title="", theme=MONOKAI, code_format=_FORMAT, unique_id="train")


def read_lines(picture: str) -> list[str]:
    """Return the lines of text in an SVG that ``draw`` has made."""
    texts = list(ET.fromstring(picture).iter(f"{_SVG}text"))  # noqa: S314, a file of this repository
    rows = groupby(texts, lambda text: text.get("y"))
    return ["".join(text.text or "" for text in row).replace("\xa0", " ").rstrip() for _, row in rows]


if __name__ == "__main__":
    main()
