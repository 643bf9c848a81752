"""The meaning of each word of `pio-tf ssh`."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from pio_tf.cli.app import app


@pytest.mark.parametrize(
    ("words", "machine", "command"),
    [
        ([], "driver", []),
        (["worker-2"], "worker-2", []),
        (["--", "ls"], "driver", ["ls"]),
        (["master", "--", "ls", "-l", "--json", "--", "x"], "master", ["ls", "-l", "--json", "--", "x"]),
        (["-c", "other.hcl", "--", "ls", "-c", "mine"], "driver", ["ls", "-c", "mine"]),
        (["worker-1", "uptime"], "worker-1", ["uptime"]),
    ],
)
def test_what_stands_after_the_dashes_is_the_command(words: list[str], machine: str, command: list[str]) -> None:
    root: Any = typer.main.get_command(app)
    context = root.commands["ssh"].make_context("ssh", list(words))
    assert (context.params["machine"], context.params["command"]) == (machine, command)
