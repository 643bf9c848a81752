"""Where pio-tf runs: at a terminal where somebody sits, or in a CI job that nobody watches."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_FALSE = {"", "0", "false", "no", "off"}


def is_true(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable is set to anything that does not mean no."""
    return environ.get(name, "").strip().lower() not in _FALSE


def in_github(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a step of GitHub Actions, or of what works as it does."""
    return is_true(environ, "GITHUB_ACTIONS")


def in_gitlab(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a job of GitLab CI."""
    return is_true(environ, "GITLAB_CI")


def in_ci(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a CI job: then nobody answers, whatever standard input is."""
    return is_true(environ, "CI") or in_github(environ) or in_gitlab(environ)


def can_ask(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody is there to answer a question."""
    return not in_ci(environ) and sys.stdin is not None and sys.stdin.isatty()


def make_console(file: IO[str], environ: Mapping[str, str] = os.environ) -> Console:
    """A console whose lines are never broken: in colour on a terminal outside CI, and where FORCE_COLOR asks for it;
    never with NO_COLOR. Either counts when it is not empty, whatever it says."""
    from rich.console import Console

    class Unquitting(Console):
        """rich would end the program where nobody reads what it writes: amid a stop, machines would go on running."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    plain = bool(environ.get("NO_COLOR")) or (in_ci(environ) and not environ.get("FORCE_COLOR"))
    return Unquitting(
        file=file,
        highlight=False,
        markup=False,
        soft_wrap=True,
        color_system=None if plain else "auto",
        force_terminal=False if plain and in_ci(environ) else None,
    )
