"""Files for machines, and the shell program that writes one: whole or not at all, and over nobody's work."""

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
    """What became of a file."""

    name: str
    path: str
    changed: bool
    """Whether it was written; its content and mode were right already where not."""
    kept: str = ""
    """Where a file that was not as pio-tf had left it was put aside, on the machine; empty: there was none."""


def write_program(file: RemoteFile) -> str:
    """A bash program that reads the content from its standard input; :func:`read_answer` reads what it prints.

    The content goes to a file beside the old one, with its mode, and is then renamed over it: a `pio` that is just
    starting reads the old file or the new one, and a broken connection or a full disk leaves the old one. A symbolic
    link is followed, so that a link to a file elsewhere stays a link. The checksum is compared because a shell cannot
    tell a connection that broke in mid-content from the content's end.

    ``~/.pio-tf/written`` has the checksum of what was written to each path last. A file with another one is somebody's
    work: it is kept beside the new one, as ``PATH.kept-20260131T120000Z``, by a hard link where the system allows one,
    so that it stays what it is, owner and mode included.
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
    """What :func:`write_program` printed, when it ended well."""
    word, _, kept = stdout.strip().partition("\n")
    return ProvisionedFile(file.name, file.path, changed=word == "changed", kept=kept)
