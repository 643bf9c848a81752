"""Files for machines, and the shell program that writes one without a reader ever seeing half of it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pio_tf.remote.paths import shell_path


@dataclass(frozen=True)
class RemoteFile:
    """A file on a machine: ``path`` is absolute or begins with ``~/``; ``content`` is written as UTF-8."""

    name: str
    path: str
    content: str
    mode: int = 0o644


CHANGED = "changed"
SAME = "same"


def write_program(file: RemoteFile) -> str:
    """A bash program that reads the content from its standard input and prints ``changed`` or ``same``.

    The content goes to a file beside the old one, with its mode, and is then renamed over it: a `pio` that is just
    starting reads the old file or the new one, and a broken connection leaves the old one. A symbolic link is followed,
    so that a link to a file elsewhere stays a link. The size is checked because a shell cannot tell a connection that
    broke in mid-content from the content's end.
    """
    size = len(file.content.encode())
    return f"""\
set -eu
path={shell_path(file.path)}
mkdir -p -- "$(dirname -- "$path")"
umask 077
path=$(readlink -f -- "$path")
new=$(mktemp -- "$path.XXXXXX")
trap 'rm -f -- "$new"' EXIT
cat > "$new"
[ "$(stat -c %s -- "$new")" = {size} ] || {{ echo "only a part of the content arrived" >&2; exit 1; }}
chmod {file.mode:o} -- "$new"
if [ -f "$path" ] && cmp -s -- "$new" "$path" && [ "$(stat -c %a -- "$path")" = {shlex.quote(f"{file.mode:o}")} ]; then
  echo {SAME}
else
  mv -f -- "$new" "$path"
  echo {CHANGED}
fi
"""
