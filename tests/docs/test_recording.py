"""The picture of a training in the README: nothing of this computer in it, and nothing that a browser fetches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.recording import GAP, PICTURE, PROMPT, draw, read_lines, record
from tests.docs.test_docs import ROOT, parse

TERMINAL = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def test_the_readme_shows_the_picture() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"]({PICTURE.relative_to(ROOT)})" in readme.partition("## Install")[0]


def test_the_command_of_the_picture_exists() -> None:
    first = read_lines(PICTURE.read_text(encoding="utf-8"))[0]
    assert first.startswith(PROMPT)
    parse(first.removeprefix(PROMPT))


def test_the_picture_names_no_path_of_a_computer_and_fetches_nothing() -> None:
    picture = PICTURE.read_text(encoding="utf-8")
    assert set(re.findall(r"\w+://[^\s\"']+", picture)) == {"http://www.w3.org/2000/svg"}
    assert "@" not in picture
    assert set(re.findall(r"url\((.)", picture)) <= {"#"}
    assert not [line for line in read_lines(picture) if re.search(r"(^|\s)[~/]+\w", line)]


def test_a_picture_has_the_last_state_of_each_line_with_its_colour() -> None:
    script = r"printf 'Waiting for SSH\r\033[K\033[32m✓ ready\033[0m\n\n\033[1mStopping\033[0m\n'"
    lines = record(["/bin/sh", "-c", script], Path("/"), TERMINAL)
    picture = draw(lines)
    assert read_lines(picture) == ["✓ ready", "Stopping"]
    assert "#98e024" in picture
    assert "font-weight: bold" in picture


def test_a_long_picture_has_its_beginning_and_its_end() -> None:
    lines = record(["/usr/bin/seq", "100"], Path("/"), TERMINAL)
    shown = read_lines(draw(lines))
    assert shown[0] == "1"
    assert shown[-1] == "100"
    assert shown.count(GAP) == 1
    assert len(shown) < 30


def test_a_failed_command_is_not_drawn() -> None:
    with pytest.raises(SystemExit, match=r"(?s)ended with 3.*no machines"):
        record(["/bin/sh", "-c", "echo no machines; exit 3"], Path("/"), TERMINAL)
