# Writes standard input to a file, for bash on a machine. It prints "same", or "changed" and the path of what it kept.
#
# files.py puts the variables path, checksum and mode before this text. The script writes a file beside the old one,
# with its mode, and renames it: a `pio` that starts meanwhile reads the old file or the new one, and a broken connection
# or a full disk leaves the old one. It follows symbolic links, which stay links. It compares the checksum, because a
# shell cannot distinguish a broken connection from the end.
#
# ~/.pio-tf/written has the checksum of pio-tf's last version of each path. A file with another checksum is the work of
# others: the script keeps it as PATH.kept-20260131T120000Z. If the system allows it, that is a hard link, so that owner
# and mode stay the same.
# shellcheck shell=bash disable=SC2154 # the variables are files.py's

set -eu
directory=${path%/*}
[ -d "$directory/" ] || mkdir -p -- "$directory"
umask 077
path=$(readlink -f -- "$path")
if [ -e "$path" ] && [ ! -f "$path" ]; then echo "$path is not a file" >&2; exit 1; fi
memory=$HOME/.pio-tf/written
note=$(printf %s "$path" | sha256sum)
note=$memory/${note%% *}

look() { # set `known` and `old` to the checksums of pio-tf's last version and of the file, or to none
  known=none old=none
  [ ! -f "$note" ] || read -r known _ < "$note" || known=none
  [ -e "$path" ] || return 0
  old=$(sha256sum < "$path")
  old=${old%% *}
}
has_mode() { [ "$(stat -c %a -- "$path")" = "$mode" ]; }

look
if [ "$old" = "$checksum" ] && [ "$known" = "$checksum" ] && has_mode; then
  cat > /dev/null # the client still sends it
  echo same
  exit
fi
mkdir -p -- "$memory"
chmod 700 -- "$memory"

new='' new_note='' undo=''
trap 'rm -f -- "$new" "$new_note" "$undo"' EXIT
new=$(mktemp -- "$path.XXXXXX")
cat > "$new"
sum=$(sha256sum < "$new")
[ "${sum%% *}" = "$checksum" ] || { echo "only a part of the content arrived" >&2; exit 1; }
chmod "$mode" -- "$new"
sync -- "$new"
new_note=$(mktemp -- "$note.XXXXXX")
printf '%s  %s\n' "$checksum" "$path" > "$new_note"

kept=''
look # again: another program may have written meanwhile
if [ "$old" = "$checksum" ] && has_mode; then
  [ "$known" = "$checksum" ] || mv -fT -- "$new_note" "$note"
  echo same
  exit
fi
if [ "$old" != none ] && [ "$old" != "$checksum" ] && [ "$old" != "$known" ]; then
  aside=$path.kept-$(date -u +%Y%m%dT%H%M%SZ) n=1
  kept=$aside
  while [ -e "$kept" ] || [ -L "$kept" ]; do n=$((n + 1)) kept=$aside-$n; done
  if ! ln -T -- "$path" "$kept" 2> /dev/null; then
    undo=$(mktemp -- "$path.XXXXXX")
    cp -p -- "$path" "$undo"
    mv -nT -- "$undo" "$kept"
    [ ! -e "$undo" ] || { echo "$kept is in the way" >&2; exit 1; }
  fi
  undo=$kept
fi
mv -fT -- "$new" "$path"
undo=''
mv -fT -- "$new_note" "$note"
echo changed
echo "$kept"
