# The runs on the driver, for bash: a directory for each under ~/.pio-tf/runs, and one lock for all.
#
# This file is sent with each request, followed by a call of one of its functions; a copy in a run's directory is what
# runs it. Answers are lines on standard output.
#
#   ~/.pio-tf/lock            descriptor 9 of whoever holds it: flock, which the kernel lets go of however they end
#   ~/.pio-tf/holder          who that is, as JSON; then the process id and start of the shell that took it
#   ~/.pio-tf/runs/ID/
#     command  record  redact    what is run; who asked for it, as JSON; what is hidden in its output
#     process                    runner's pid, its start in clock ticks, boot id, start as a time, command's process group
#     log                        standard output and error
#     cancelled                  who asked for its end
#     ended                      exit=STATUS ended=TIME filter=STATUS free=BYTES
#     result                     the verdict, as JSON, of whoever followed it to its end

umask 077
home="$HOME/.pio-tf"
runs="$home/runs"

ticks() { # PID: when this process started, in clock ticks after boot; nothing for one that has ended
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086 # fields, after the name, which may hold blanks
  set -- ${stat##*) }
  [[ $1 == [ZX] ]] || echo "${20}"
}

boot() {
  cat /proc/sys/kernel/random/boot_id
}

alive() { # ID: whether the process that runs it is still there
  local pid started booted
  { read -r pid started booted _ <"$runs/$1/process"; } 2>/dev/null || return 1
  [[ $booted == "$(boot)" && $(ticks "$pid") == "$started" ]]
}

hold() { # SECONDS: take the lock, as the first line of input describes its holder, until the input ends
  local description word rest state
  IFS= read -r description
  mkdir -p "$runs" && exec 9>>"$home/lock" || exit 1
  # Not at once: whoever only looks whether it is held, holds it for a moment.
  flock -w 0.3 -E 75 9
  state=$?
  if ((state == 75)); then
    echo "held $(head -n 1 "$home/holder")"
    exit
  fi
  ((state == 0)) && describe "$description" || exit 1
  echo "yours"
  # A client that has said nothing for so long is gone, though its connection may not have noticed.
  while read -r -t "$1" word rest; do
    case "$word" in
      start) start "${rest%% *}" "${rest#* }" ;;
      stop)
        # Held on, without a client, until the power is off; or given back, if it stays on.
        setsid sleep 300 </dev/null >/dev/null 2>&1 &
        describe "$rest" && echo "stopping"
        ;;
    esac
  done
}

describe() { # JSON: who holds the lock
  printf '%s\n%s %s\n' "$1" "$$" "$(ticks $$)" >"$home/holder.new" && mv "$home/holder.new" "$home/holder"
}

holder() { # who holds the lock, as JSON; nothing when it is free
  [[ -e "$home/lock" ]] || return 0
  (flock -n -s 8) 8<"$home/lock" || head -n 1 "$home/holder"
}

release() { # end the shell that holds the lock for a client
  local pid started
  { read -r && read -r pid started; } <"$home/holder" || return 0
  if [[ $(ticks "$pid") == "$started" ]]; then kill "$pid"; fi
}

prepare() { # ID KEEP: a new run's directory, with the files of the tar archive on the input; old runs go
  local old
  mkdir -p "$runs" || return 1
  mkdir "$runs/$1" || return 17 # EEXIST
  tar -x -f - -C "$runs/$1" || { rm -rf "${runs:?}/$1"; return 1; }
  find "$runs" -mindepth 2 -maxdepth 2 -name ended | sort -r | tail -n "+$(($2 + 1))" | while read -r old; do
    rm -rf "${old%/ended}"
  done
}

start() { # ID JSON: run it in a session of its own, which inherits the lock; who holds it from now on
  local n
  describe "$2" || return
  setsid bash "$runs/$1/program" run "$1" </dev/null >/dev/null 2>"$runs/$1/problem" &
  for ((n = 0; n < 200; n++)); do
    if [[ -e "$runs/$1/process" ]]; then
      echo "started"
      return
    fi
    [[ -n $(ticks $!) ]] || break
    sleep 0.02
  done
  echo "failed $(tail -n 1 "$runs/$1/problem")"
}

run() { # ID: the runner itself
  local started filter child status filtered n free
  cd "$runs/$1" || return 1
  command -v perl >/dev/null || { echo "perl is not there to hide secrets in the log" >&2; return 1; }
  # Room for the record of the end, taken while there is some; a file's rename needs none.
  printf '%255s\n' '' >ended.new && : >log && mkfifo pipe || return 1
  perl redact <pipe >log 2>>problem 9>&- &
  filter=$!
  started=$(date +%s.%N)
  set -m # the command gets a process group of its own
  # The lock is this process's alone: what a command leaves behind must not hold it when the run has ended.
  bash -lc "$(<command)" </dev/null >pipe 2>&1 9>&- &
  child=$!
  set +m
  if ! { echo "$$ $(ticks $$) $(boot) $started $child" >process.new && mv process.new process; }; then
    kill -KILL -- "-$child"
    return 1
  fi
  wait "$child"
  status=$?
  # What the command left behind may hold its output open: it is not waited for.
  for ((n = 0; n < 50; n++)); do
    [[ -n $(ticks "$filter") ]] || break
    sleep 0.1
  done
  kill "$filter" 2>/dev/null
  wait "$filter"
  filtered=$?
  ((n == 50)) && filtered=0
  free=$(stat -f -c '%a * %S' .)
  echo "exit=$status ended=$(date +%s.%N) filter=$filtered free=$((free))" 1<>ended.new
  mv ended.new ended
  rm -f pipe redact
}

follow() { # ID OFFSET [once]: the log from there on, until the run has ended; or only what there is
  local offset=$2 size going=yes
  cd "$runs/$1" || return 76
  [[ -z ${3-} ]] || going=
  while :; do
    alive "$1" || going=
    size=$(stat -L -c %s log) || return 76
    if ((size > offset)); then
      tail -c "+$((offset + 1))" log | head -c "$((size - offset))" || return
      offset=$size
    fi
    [[ -n $going ]] || return 0
    sleep 0.2
  done
}

left() { # ID GROUP: whether anything is left of a run: what runs it, or a process of its command
  local stat
  alive "$1" && return
  kill -0 -- "-$2" 2>/dev/null || return
  for stat in /proc/[0-9]*/stat; do # one that only waits to be reaped is no process any more
    { read -r stat <"$stat"; } 2>/dev/null || continue
    # shellcheck disable=SC2086 # fields
    set -- "$1" "$2" ${stat##*) }
    [[ $5 == "$2" && $3 != [ZX] ]] && return
  done
  return 1
}

cancel() { # ID SECONDS WHO: end the command and all its processes, by force after so many seconds
  local pid group n
  cd "$runs/$1" || return 76
  alive "$1" || { echo "gone"; return; }
  echo "$3" >cancelled
  read -r pid _ _ _ group <process
  kill -TERM -- "-$group"
  for ((n = 0; n < $2 * 10; n++)); do
    left "$1" "$group" || { echo "ended"; return; }
    sleep 0.1
  done
  kill -KILL -- "-$group"
  for ((n = 0; n < 100; n++)); do
    left "$1" "$group" || { echo "killed"; return; }
    sleep 0.1
  done
  kill -KILL "$pid"
  echo "killed"
}

list() { # [ID]: what there is of each run, or of one, in lines that begin with a word
  local id
  [[ -d "$runs" ]] || return 0
  cd "$runs" || return 1
  for id in ${1:-*}; do
    [[ -d "$id" ]] || continue
    echo "run $id"
    ! alive "$id" || echo "alive"
    for file in record process cancelled ended result; do
      if [[ -s "$id/$file" ]]; then echo "$file $(head -n 1 "$id/$file")"; fi
    done
    # PredictionIO says so at the very end.
    if tail -c 65536 "$id/log" 2>/dev/null | grep -aqE 'Training completed successfully\.[[:space:]]*$'; then
      echo "success"
    fi
    echo "size $(stat -L -c %s "$id/log" 2>/dev/null || echo 0)"
  done
  echo "boot $(boot)"
  echo "holder $(holder)"
}

keep() { # ID: the verdict, from the input
  cat >"$runs/$1/result.new" && mv "$runs/$1/result.new" "$runs/$1/result"
}
