"""Text for bash on a machine."""

from __future__ import annotations

import re
import shlex


def shell_path(path: str) -> str:
    r"""Return a path for bash, quoted. ``~/x`` becomes ``"$HOME/x"``, in the home of the machine's user.

    In double quotes, bash still interprets ``\``, ``"``, ``$`` and `````: they are escaped.
    """
    if path.startswith("~/"):
        return '"$HOME/' + re.sub(r'([\\"$`])', r"\\\1", path[2:]) + '"'
    return shlex.quote(path)


def in_bash(command: str, *, login: bool = False) -> str:
    """Return the command line that runs a bash text, whatever shell the user has. ``login``: load the profile first."""
    return f"exec bash {'-lc' if login else '-c'} {shlex.quote(command)}"
