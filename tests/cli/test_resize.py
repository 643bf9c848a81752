"""`pio-tf resize` shows what would change, and asks at a terminal."""

from __future__ import annotations

import os
import pty
import sys
from typing import TYPE_CHECKING

import pytest

from pio_tf.cli.app import app
from pio_tf.errors import ConfigError
from tests.cli.samples import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def type_at_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give the command a terminal as its input, in which a person types."""
    stand_in(monkeypatch, tmp_path)
    monkeypatch.delenv("CI", raising=False)
    keyboard, terminal = pty.openpty()
    with os.fdopen(terminal, encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield lambda text: (os.write(keyboard, text.encode()), None)[1]
    os.close(keyboard)


def resize(*options: str) -> None:
    app(["resize", "driver", "x9.huge", *options], prog_name="pio-tf", standalone_mode=False)


def test_a_person_sees_memory_cores_and_price_before_the_question(
    type_at_terminal: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    type_at_terminal("y\n")
    resize()
    shown = capsys.readouterr()
    assert shown.err.index("driver: r5.large (16 GiB, 2 cores, 0.126 USD/hour) -> x9.huge") < shown.err.index(
        "Change the"
    )
    assert "x9.huge (4 GiB, 2 cores, unknown price)" in shown.out


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_without_a_yes_nothing_changes(
    type_at_terminal: Callable[[str], None], capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    type_at_terminal(answer)
    with pytest.raises(ConfigError) as caught:
        resize()
    assert caught.value.next_step == "pio-tf resize driver x9.huge --yes"
    assert "i-0d" not in capsys.readouterr().out


def test_yes_changes_the_type_without_a_question(
    type_at_terminal: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    type_at_terminal("n\n")
    resize("--yes")
    shown = capsys.readouterr()
    assert "Change the type?" not in shown.err
    assert "i-0d" in shown.out
