# The engine on the driver, for bash there: what is in its directory, and what a push or a restore puts there.
#
# driver_engine.py puts the variable engine before this text, and a call of a function after it.
#
#   .pio-tf/pushed      the last push: its facts as JSON, then a line for each file: SHA-256, mode, path
#   .pio-tf/inputs      SHA-256 of the files that a build reads, as of the last push that changed them
#   .pio-tf/built       the same, as of the last build that succeeded
#   .pio-tf/changing    there while files are put into place. If it stays, the engine is half of two versions
#   .pio-tf/stage/      what has arrived; only the holder of the driver's lock writes there
#   .pio-tf/kept/TIME/  files that were replaced or removed, and that pio-tf had not written
# shellcheck shell=bash disable=SC2154 # the variable engine is driver_engine.py's

look() { # print the engine's path, free space, and its files of the paths on the input and in the notes
  local at=$engine list note notes
  until [ -e "$at" ]; do at=$(dirname -- "$at"); done
  printf 'path %s\0free %s\0' "$(readlink -m -- "$engine")" "$(df -k --output=avail -- "$at" | tail -n 1)"
  [ -e "$engine" ] || return 0
  cd -- "$engine" || return
  notes=(.pio-tf/pushed)
  if [ -e .pio-tf/changing ]; then
    printf 'changing \0'
    notes+=(.pio-tf/stage/pushed)
  fi
  for note in "${notes[@]}"; do
    if [ -s "$note" ]; then printf 'note %s\0' "$(cat "$note")"; fi
  done
  list=$(mktemp) || return
  { cat; tail -q -n +2 "${notes[@]}" 2>/dev/null | cut -d ' ' -f 3-; } | LC_ALL=C sort -u >"$list"
  xargs -r -d '\n' stat --printf 'stat %f %n\0' -- <"$list" 2>/dev/null
  xargs -r -d '\n' sha256sum -z -- <"$list" 2>/dev/null
  while IFS= read -r at; do
    if [ -L "./$at" ]; then printf 'link %s\n%s\0' "$at" "$(readlink -- "./$at")"; fi
  done <"$list"
  rm -f "$list"
}

receive() { # unpack the tar archive on the input into the stage, all of it or nothing
  mkdir -p -- "$engine/.pio-tf" && cd -- "$engine" && rm -rf .pio-tf/stage && mkdir .pio-tf/stage || return
  tar -x -m --no-same-owner -f - -C .pio-tf/stage || return
  # A shell cannot distinguish a broken connection from the end.
  [ -e .pio-tf/stage/complete ] || { echo "only a part of the files arrived" >&2; return 1; }
  mkdir -p .pio-tf/stage/files || return
  [ ! -s .pio-tf/stage/sums ] || (cd .pio-tf/stage/files && sha256sum --quiet -c ../sums >&2) || return
  sync -f .pio-tf/stage
}

put() { # receive files, and put them into place: those that pio-tf has not written are kept
  umask 022
  receive || { rm -rf "$engine/.pio-tf/stage"; return 1; }
  trap '' HUP TERM PIPE # from here on, the connection does not matter
  local path kept
  kept=.pio-tf/kept/$(date -u +%Y%m%dT%H%M%SZ)
  : >.pio-tf/changing && sync .pio-tf/changing || return
  while IFS= read -r path; do
    mkdir -p "$(dirname -- "$kept/$path")" && mv -T "./$path" "$kept/$path" || return
  done <.pio-tf/stage/keep
  while IFS= read -r path; do
    rm -f "./$path" || return
    rmdir -p --ignore-fail-on-non-empty -- "$(dirname -- "$path")" 2>/dev/null
  done <.pio-tf/stage/removed
  # A process for each directory: one for each file would take a minute for some thousands.
  (cd .pio-tf/stage/files && find . -type d) >.pio-tf/stage/directories || return
  xargs -r -d '\n' mkdir -p -- <.pio-tf/stage/directories || return
  while IFS= read -r path; do
    find ".pio-tf/stage/files/$path" -mindepth 1 -maxdepth 1 ! -type d -exec mv -f -t "$path" {} + || return
  done <.pio-tf/stage/directories
  if [ "$(cat .pio-tf/stage/inputs)" != "$(cat .pio-tf/inputs 2>/dev/null)" ]; then
    mv -f .pio-tf/stage/inputs .pio-tf/inputs || return
  fi
  mv -f .pio-tf/stage/pushed .pio-tf/pushed && rm -rf .pio-tf/changing .pio-tf/stage
}

is_half() { # test whether a push or a restore was interrupted while it put files into place
  [ -e "$engine/.pio-tf/changing" ]
}

jar() { # [FIND'S TESTS]: print a jar of the build
  find "$engine"/target/scala-* -name '*.jar' "$@" -print -quit 2>/dev/null
}

is_stale() { # test whether what a build reads was pushed after the last build
  [ -e "$engine/.pio-tf/inputs" ] || return 1
  [ -n "$(jar)" ] || return 0
  [ "$(cat "$engine/.pio-tf/inputs")" != "$(cat "$engine/.pio-tf/built" 2>/dev/null)" ] || return 1
  [ -z "$(jar -newer "$engine/.pio-tf/inputs")" ] # built on the driver by its user
}

built() { # note that the build has succeeded
  [ ! -e "$engine/.pio-tf/inputs" ] || cp "$engine/.pio-tf/inputs" "$engine/.pio-tf/built"
}

describe_engine() { # VARIANT: print what a run's record says of the engine
  local commit
  [ ! -f "$1" ] || echo "engine_json $(sha256sum <"$1" | cut -d ' ' -f 1)"
  cd -- "$engine" || return 0
  ! is_half || echo "half"
  ! is_stale || echo "stale"
  if [ -e .pio-tf/pushed ]; then
    echo "pushed $(head -n 1 .pio-tf/pushed)"
    sed -nE '2,$s/^([0-9a-f]{64}) (644|755) /\1  /p' .pio-tf/pushed | sha256sum --status -c || echo "edited"
  elif [ -e .git ] && commit=$(git rev-parse --verify --quiet HEAD 2>/dev/null); then
    echo "commit $commit"
    [ -z "$(git --no-optional-locks status --porcelain --untracked-files=no 2>/dev/null)" ] || echo "uncommitted"
  fi
}
