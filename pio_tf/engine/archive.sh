# Archives of an engine, for bash on the driver: engine.sh stands above this text, and the variable pio, PIO_HOME.
#
# An archive has pio-tf-engine.json, which describes it; engine/, the engine's directory; home/, the caches of sbt in the
# user's home; and pio/sbt, the launcher of sbt, which PredictionIO downloads at its first build.
# shellcheck shell=bash disable=SC2154 # the variables are archive.py's

# .sbt/repositories belongs to them: Coursier finds a file by the address that it had when it was downloaded. It is left
# out if an address in it has a password.
CACHES=(.ivy2/cache .ivy2/local .sbt/boot .sbt/launchers .sbt/preloaded .sbt/repositories .cache/coursier .m2/repository)

survey() { # print what an archive would hold, and the room that there is for one
  local at=$engine part
  until [ -e "$at" ]; do at=$(dirname -- "$at"); done
  echo "path $(readlink -m -- "$engine")"
  echo "home $HOME"
  echo "room_engine $(df -k --output=avail,target -- "$at" | tail -n 1)"
  echo "room_home $(df -k --output=avail,target -- "$HOME" | tail -n 1)"
  for part in "${CACHES[@]}"; do
    if [ -e "$HOME/$part" ] && ! grep -qs '://[^/]*@' "$HOME/$part"; then echo "part home/$part $(kib "$HOME/$part")"; fi
  done
  if [ -e "$pio/sbt" ]; then echo "part pio/sbt $(kib "$pio/sbt")"; fi
  [ -e "$engine" ] || return 0
  cd -- "$engine" || return
  ! is_half || echo "half"
  if [ -s .pio-tf/pushed ]; then echo "pushed $(head -n 1 .pio-tf/pushed)"; fi
  if [ -n "$(find . -mindepth 1 -maxdepth 1 ! -name .pio-tf -print -quit)" ]; then
    echo "part engine $(kib --exclude=./.pio-tf/stage --exclude=./.pio-tf/kept .)"
  fi
}

kib() { # DU'S ARGUMENTS: print the size of files in KiB, at least 1
  du -sk --apparent-size "$@" | awk '{print $1 + 1}'
}

pack() { # PART...: write an archive of these parts to the output; the input describes it
  local directory
  directory=$(mktemp -d) && cd "$directory" || return
  # shellcheck disable=SC2064 # this directory
  trap "rm -rf '$directory'" EXIT
  set -o pipefail
  cat >pio-tf-engine.json && ln -s "$(readlink -f -- "$engine")" engine && ln -s "$HOME" home && ln -s "$pio" pio || return
  { printf '%s\0' pio-tf-engine.json "$@"; find engine/ -mindepth 1 -maxdepth 1 -print0; } |
    tar -c --format=posix --anchored --no-wildcards --exclude=engine/.pio-tf/stage --exclude=engine/.pio-tf/kept \
      --null -T - | gzip -1
}

unpack() { # put the archive on the input into place; keep the engine that is there in .pio-tf/kept
  local kept note
  umask 022
  set -o pipefail
  mkdir -p -- "$engine/.pio-tf" && cd -- "$engine" && rm -rf .pio-tf/stage && mkdir .pio-tf/stage || return
  if ! gzip -dc | tar -xp --no-same-owner -f - -C .pio-tf/stage; then
    rm -rf .pio-tf/stage
    return 1
  fi
  sync -f .pio-tf/stage
  trap '' HUP TERM PIPE # from here on, the connection does not matter
  add home "$HOME" && add pio "$pio" || return
  : >.pio-tf/changing && sync .pio-tf/changing || return
  kept=.pio-tf/kept/$(date -u +%Y%m%dT%H%M%SZ)
  if [ -n "$(others)" ]; then
    mkdir -p "$kept" && others -exec mv -t "$kept" {} + || return
  fi
  for note in pushed inputs built; do
    if [ -e ".pio-tf/$note" ]; then mkdir -p "$kept/.pio-tf" && mv ".pio-tf/$note" "$kept/.pio-tf/" || return; fi
    [ ! -e ".pio-tf/stage/engine/.pio-tf/$note" ] || mv ".pio-tf/stage/engine/.pio-tf/$note" .pio-tf/ || return
  done
  rm -rf .pio-tf/stage/engine/.pio-tf
  find .pio-tf/stage/engine -mindepth 1 -maxdepth 1 -exec mv -t . {} + && rm -rf .pio-tf/changing .pio-tf/stage
}

others() { # [FIND'S ACTIONS]: print what the engine's directory has besides pio-tf's own
  find . -mindepth 1 -maxdepth 1 ! -name .pio-tf "${@:--print}"
}

add() { # PART DIRECTORY: add the files of a part of the archive that the directory lacks
  [ -d ".pio-tf/stage/$1" ] || return 0
  mkdir -p "$2" && (cd ".pio-tf/stage/$1" && find . -mindepth 1 -maxdepth 1 -print0 | tar -c --null -T -) |
    tar -xp --no-same-owner --skip-old-files -f - -C "$2"
}
