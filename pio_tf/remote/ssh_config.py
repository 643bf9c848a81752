"""The user's ~/.ssh/config, and pio-tf's defaults after it; the line of it that makes connections impossible."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.ssh_library import asyncssh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_PLACE = "check ~/.ssh/config, its certificates and the SSH agent: `ssh -v HOST` may say more"
"""The next step if no line of ~/.ssh/config causes an error."""

_PLACE = re.compile(r"(?P<path>/.*) line (?P<line>\d+): (?P<reason>.*)", re.DOTALL)
"""How asyncssh begins a message about a line that it cannot parse."""
_BIND = re.compile(rb"\s*bind(address|interface)\b", re.IGNORECASE)
_INCLUDE = re.compile(rb"\s*include\s+(?P<patterns>.+)", re.IGNORECASE)

_DEFAULTS = Path(__file__).with_name("ssh_defaults")


def config_files() -> tuple[str, ...]:
    """Return the files that asyncssh reads. The first value of an option counts: the user's, if there is one."""
    theirs = os.path.expanduser("~/.ssh/config")  # noqa: PTH111 - Path's raises without a home directory
    return (*((theirs,) if os.access(theirs, os.R_OK) else ()), str(_DEFAULTS))


def blame(error: BaseException) -> tuple[str, str]:
    """Return the place that causes an error of asyncssh's on this computer, and the reason.

    The place is ``/home/me/.ssh/config:3``, or empty: the cause is no line of that file, nor of one that it includes.
    """
    parsed = _PLACE.match(str(error))
    if parsed:
        return f"{parsed['path']}:{parsed['line']}", parsed["reason"]
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    filename = getattr(error, "filename", None)
    if filename:
        reason = f"{filename}: {reason}"
    return next(_places(_suspicion(error, filename)), ""), reason


def _suspicion(error: BaseException, filename: object) -> Callable[[bytes], bool]:
    """Return the test by which a line is recognised as an error's cause."""
    if isinstance(error, UnicodeDecodeError):
        return lambda line: bool(line.decode(error.encoding, errors="replace").encode() != line)
    if filename:
        name = Path(str(filename)).name.encode()
        return lambda line: name in line
    if isinstance(error, OSError):
        return lambda line: error.errno == errno.EADDRNOTAVAIL and bool(_BIND.match(line))
    return lambda line: _raises_alone(line, type(error))


def _raises_alone(line: bytes, kind: type[BaseException]) -> bool:
    """Return whether a configuration of this line alone raises the same kind of error."""
    if not line.strip() or line.lstrip().startswith(b"#"):
        return False
    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(line)
            file.flush()
            asyncssh.SSHClientConnectionOptions(config=file.name, host="driver", client_keys=None)
    except Exception as error:  # noqa: BLE001 - whatever it raises is compared; without space, no line is found
        return isinstance(error, kind)
    return False


def _places(suspect: Callable[[bytes], bool]) -> Iterator[str]:
    directory = os.path.expanduser("~/.ssh")  # noqa: PTH111 - Path's raises without a home directory
    files, read = [f"{directory}/config"], set[str]()
    while files:
        file = files.pop(0)
        if file in read:  # a file may include itself
            continue
        read.add(file)
        try:
            lines = Path(file).read_bytes().splitlines()
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            if suspect(line):
                yield f"{file}:{number}"
            included = _INCLUDE.match(line)
            for pattern in included["patterns"].decode(errors="replace").split() if included else ():
                path = os.path.join(directory, os.path.expanduser(pattern))  # noqa: PTH111, PTH118
                files += sorted(glob(path))  # noqa: PTH207 - Path's raises for "/"
