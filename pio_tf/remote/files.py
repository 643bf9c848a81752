"""Files for machines, and the bash program that writes one atomically and keeps versions that others wrote."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from pio_tf.remote.bash import shell_path


@dataclass(frozen=True)
class RemoteFile:
    """A file on a machine: ``path`` is absolute or begins with ``~/``; ``content`` is written as UTF-8."""

    name: str
    path: str
    content: str = field(repr=False)  # may hold passwords
    mode: int = 0o644


@dataclass(frozen=True)
class ProvisionedFile:
    """The result of writing a file."""

    name: str
    path: str
    changed: bool
    """Whether it was written. If not, its content and mode were right already."""
    kept: str = ""
    """The path on the machine of the version that pio-tf had not written; empty: there was none."""


def write_program(file: RemoteFile) -> str:
    """Return a bash program that writes its standard input to a file. :func:`read_answer` reads its output.

    The program writes a file beside the old one, with its mode, and renames it: a `pio` that starts meanwhile reads the
    old file or the new one, and a broken connection or a full disk leaves the old one. It follows symbolic links,
    which stay links. It compares the checksum, because a shell cannot distinguish a broken connection from the end.

    ``~/.pio-tf/written`` has the checksum of pio-tf's last version of each path. A file with another checksum is the
    work of others: the program keeps it as ``PATH.kept-20260131T120000Z``. If the system allows it, that is a hard
    link, so that owner and mode stay the same.
    """
    checksum = hashlib.sha256(file.content.encode()).hexdigest()
    return f"""\
set -eu
path={shell_path(file.path)}
mkdir -p -- "$(dirname -- "$path")"
umask 077
path=$(readlink -f -- "$path")
if [ -e "$path" ] && [ ! -f "$path" ]; then echo "$path is not a file" >&2; exit 1; fi
memory=$HOME/.pio-tf/written
mkdir -p -- "$memory"
chmod 700 -- "$memory"
note=$(printf %s "$path" | sha256sum)
note=$memory/${{note%% *}}

new= new_note= undo=
trap 'rm -f -- "$new" "$new_note" "$undo"' EXIT
new=$(mktemp -- "$path.XXXXXX")
cat > "$new"
sum=$(sha256sum < "$new")
[ "${{sum%% *}}" = {checksum} ] || {{ echo "only a part of the content arrived" >&2; exit 1; }}
chmod {file.mode:o} -- "$new"
sync -- "$new"
new_note=$(mktemp -- "$note.XXXXXX")
printf '%s  %s\\n' {checksum} "$path" > "$new_note"

known=none old=none kept=
[ ! -f "$note" ] || read -r known _ < "$note" || known=none
if [ -e "$path" ]; then
  old=$(sha256sum < "$path")
  old=${{old%% *}}
fi
if [ "$old" = {checksum} ] && [ "$(stat -c %a -- "$path")" = {file.mode:o} ]; then
  [ "$known" = {checksum} ] || mv -fT -- "$new_note" "$note"
  echo same
  exit
fi
if [ "$old" != none ] && [ "$old" != {checksum} ] && [ "$old" != "$known" ]; then
  aside=$path.kept-$(date -u +%Y%m%dT%H%M%SZ) n=1
  kept=$aside
  while [ -e "$kept" ] || [ -L "$kept" ]; do n=$((n + 1)) kept=$aside-$n; done
  if ! ln -T -- "$path" "$kept" 2> /dev/null; then
    undo=$(mktemp -- "$path.XXXXXX")
    cp -p -- "$path" "$undo"
    mv -nT -- "$undo" "$kept"
    [ ! -e "$undo" ] || {{ echo "$kept is in the way" >&2; exit 1; }}
  fi
  undo=$kept
fi
mv -fT -- "$new" "$path"
undo=
mv -fT -- "$new_note" "$note"
echo changed
echo "$kept"
"""


def read_answer(file: RemoteFile, stdout: str) -> ProvisionedFile:
    """Return the result that a successful :func:`write_program` printed."""
    word, _, kept = stdout.strip().partition("\n")
    return ProvisionedFile(file.name, file.path, changed=word == "changed", kept=kept)
