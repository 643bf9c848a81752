"""CI jobs: whether this process is part of one, and what one must not take from its checkout.

The author of a pull request decides what a checkout contains, pio-tf.hcl included. A job runs Terraform with its
credentials, and Terraform and botocore run the programs that their settings name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL")
_FALSE = {"", "0", "false", "no", "off"}
_PROCESS = re.compile(r"^\s*credential_process\b", re.MULTILINE)


def is_true(environ: Mapping[str, str], name: str) -> bool:
    """Return whether a variable is set, and not to a word for no."""
    return environ.get(name, "").strip().lower() not in _FALSE


def in_ci(environ: Mapping[str, str]) -> bool:
    """Return whether this is a CI job."""
    return any(is_true(environ, name) for name in _VARIABLES)


def refuse_from_checkout(path: Path, what: str, *, start: Path, environ: Mapping[str, str], instead: str) -> None:
    """Refuse a file of the checkout in a CI job.

    Args:
        path: of the file; links are followed.
        what: the option or variable that names it, with its place.
        start: a directory in the checkout. The root is the nearest directory above with ``.git``, else this one.
        instead: what to do.

    Raises:
        ConfigError: the file is below the checkout's root, directly or through a link.
    """
    if not in_ci(environ):
        return
    root = _repository(start) or start.absolute()
    if any(one.is_relative_to(place) for one in (path.absolute(), path.resolve()) for place in (root, root.resolve())):
        raise ConfigError(
            f"{what} is {path}, which is inside the checkout {root}",
            cause="a pull request could change it, and this CI job would run it with the job's credentials",
            next_step=instead,
        )


def refuse_credential_process(path: Path, *, start: Path | None = None, environ: Mapping[str, str]) -> None:
    """Refuse a credentials file of the checkout that names a program, in a CI job.

    Args:
        start: as for :func:`refuse_from_checkout`; without it, the checkout is the repository that contains the file.

    Raises:
        ConfigError: the file is below the checkout's root, and has ``credential_process``.
    """
    start = start or _repository(path.parent)
    if start is None or not in_ci(environ) or not path.is_file():
        return
    if _PROCESS.search(path.read_text(encoding="utf-8", errors="replace")):
        what = "the file that names a credential_process (aws.credentials_file)"
        refuse_from_checkout(path, what, start=start, environ=environ, instead="give the job a role instead")


def _repository(directory: Path) -> Path | None:
    """Return the root of the repository that contains a directory, if one does."""
    start = directory.absolute()
    return next((one for one in (start, *start.parents) if (one / ".git").exists()), None)
