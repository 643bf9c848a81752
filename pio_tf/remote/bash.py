"""Text for bash on a machine."""

from __future__ import annotations

import re
import shlex


def shell_path(path: str) -> str:
    r"""A path for bash: ``~/x`` is the caller's home, ``"$HOME/x"``; everything else stands as it is, quoted.

    In double quotes bash still acts on ``\``, ``"``, ``$`` and `````: they are escaped.
    """
    if path.startswith("~/"):
        return '"$HOME/' + re.sub(r'([\\"$`])', r"\\\1", path[2:]) + '"'
    return shlex.quote(path)


def in_bash(command: str, *, login: bool = False) -> str:
    """Return the command line that runs a bash text, whatever shell the user has. ``login``: load the profile first."""
    return f"exec bash {'-lc' if login else '-c'} {shlex.quote(command)}"
