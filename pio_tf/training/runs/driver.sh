# The runs on the driver, in bash: a directory for each under ~/.pio-tf/runs, and one lock for all.
#
# pio-tf sends this file with each request, followed by a call of one of its functions. A copy in a run's directory runs
# the run. Answers are lines on standard output.
#
#   ~/.pio-tf/lock            descriptor 9 of its holder: flock, which the kernel releases when the holder ends
#   ~/.pio-tf/holder          the holder, as JSON; then process id and start of the shell that took the lock
#   ~/.pio-tf/linger          seconds without use after which the driver powers itself off, boot id; missing: never
#   ~/.pio-tf/linger.left     seconds that are left, by the guard; linger.problem: why the power stays on
#   ~/.pio-tf/guard           descriptor 7 of the guard: flock
#   ~/.pio-tf/lease           uptime and seconds of the last renewal, by a client that uses the driver without the lock
#   ~/.pio-tf/waiting         boot id, and the uptime until which a client waits for machines that prepare themselves
#   ~/.pio-tf/scheduled/      what a training on AWS's schedule needs: scheduled.sh
#   ~/.pio-tf/taken           the boot id at which a client came last that wants to use the machines
#   ~/.pio-tf/notifying       descriptor 6 of a process that sends a message about a run, or will: flock, shared
#   ~/.pio-tf/followers       the machines that stop by themselves after the driver
#   ~/.pio-tf/runs/ID/
#     command  record            the command; the run's record, as JSON
#     redact                     the Perl program that hides secrets, and knows them: gone once the run has started
#     process                    runner's pid, its start in clock ticks, boot id, start as a time, command's process group
#     log                        standard output and error
#     cancelled                  the client that cancelled the run
#     ended                      exit=STATUS ended=TIME filter=STATUS free=BYTES
#     result                     the verdict, as JSON, of the client that followed the run to its end
#     on_success                 the commands after a success; on_success.log, on_success.ended: their output and end
#     notify                     facts and places of the message about the run's end: gone once the run has started
#     told  notify.problem       a link to the sender of that message: client or driver; why a place did not take it
#     spark_pages.json  usage    addresses of Spark's pages; what the run uses of memory and cores, by run_usage.py
#     follower                   uptime of the last renewal by a client that will send it

umask 077
home="$HOME/.pio-tf"
runs="$home/runs"

# What is asked several times a second starts no process: each takes a millisecond of the driver's CPU time.

find_start() { # PID: set `since` to the start of a process, in clock ticks after boot; empty if it has ended
  local stat
  since=
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086 # fields after the name, which may hold blanks
  set -- ${stat##*) }
  [[ $1 == [ZX] ]] || since=${20}
}

ticks() { # PID: print that start; nothing if it has ended
  local since
  find_start "$1" && [[ -n $since ]] && echo "$since"
}

boot() {
  echo "$(</proc/sys/kernel/random/boot_id)"
}

is_this_boot() { # BOOT ID: test whether the driver has not booted since
  local now
  read -r now </proc/sys/kernel/random/boot_id && [[ $1 == "$now" ]]
}

alive() { # ID: test whether the run's process is alive
  local pid started booted since
  { read -r pid started booted _ <"$runs/$1/process"; } 2>/dev/null || return 1
  is_this_boot "$booted" && find_start "$pid" && [[ $since == "$started" ]]
}

say() { # WORD FILE: print the word and the file's first line, if there is one
  local line=
  { IFS= read -r line; } 2>/dev/null <"$2"
  printf '%s %s\n' "$1" "$line"
}

nap() { # SECONDS: sleep, as a read from a pipe that stays empty
  [[ -n ${idle-} ]] || exec {idle}<> <(:)
  read -r -t "$1" -u "$idle"
}

hold() { # SECONDS [LINGER]: hold the lock until the input ends; its first line describes the holder
  # LINGER: power off once the driver was unused for so many seconds; 0: never; without it, as before.
  local description word rest state
  IFS= read -r description
  mkdir -p "$runs" && exec 9>>"$home/lock" || exit 1
  # Wait a moment: `holder` takes the lock for an instant to test it.
  flock -w 0.3 -E 75 9
  state=$?
  if ((state == 75)); then
    say held "$home/holder"
    exit
  fi
  ((state == 0)) && describe "$description" || exit 1
  forget_secrets # if a client was lost before it started its run, or an older pio-tf has left some
  case "${2-}" in
    '') ;;
    0) stay >/dev/null ;;
    *) linger "$2" ;;
  esac
  echo "yours"
  # A client that is silent for so long is gone, even if its connection has not noticed.
  while read -r -t "$1" word rest; do
    case "$word" in
      start) start "${rest%% *}" "${rest#* }" ;;
      stop)
        # Hold the lock without a client until the power is off; release it if the power stays on.
        setsid sleep 300 </dev/null >/dev/null 2>&1 &
        describe "$rest" && echo "stopping"
        ;;
    esac
  done
  forget_secrets
}

linger() { # SECONDS: from now on, power the driver off once it was unused for so long
  rm -f "$home/linger.problem" "$home/linger.left" "$home/lease" # the lock replaces the lease
  echo "$1 $(boot)" >"$home/linger.new" && mv "$home/linger.new" "$home/linger" || return
  setsid bash -c "umask 077; home=\$HOME/.pio-tf; $(declare -f find_start ticks is_this_boot nap describe renewed is_held is_notifying power_off tell guard)
guard" \
    </dev/null >/dev/null 2>&1 9>&- &
}

stay() { # never power the driver off by itself; print "stays" if it would have
  [[ -e "$home/linger" ]] || return 0
  rm -f "$home/linger" "$home/linger.left" "$home/linger.problem"
  echo "stays"
}

renew() { # SECONDS [ID]: keep the driver on for so long, or for as long as it lingers: a client uses it
  # ID: a run; when it ends, this client sends the message
  local now
  read -r now _ </proc/uptime
  if [[ -e "$home/linger" ]]; then echo "$now $1" >"$home/lease"; fi
  if [[ -n ${2-} ]]; then echo "${now%.*}" >"$runs/$2/follower"; fi
  return 0 # a full disk is no reason to refuse what the client wants
}

wait_on() { # SECONDS: a client still waits for machines that prepare themselves, for so long at least
  local now
  read -r now _ </proc/uptime
  echo "$(boot) $((${now%.*} + $1))" >"$home/waiting"
  renew "$1"
}

waiting() { # print for how many seconds a client may still wait for machines; nothing if none does
  local booted until now
  { read -r booted until <"$home/waiting"; } 2>/dev/null && is_this_boot "$booted" || return 0
  read -r now _ </proc/uptime
  if ((until > ${now%.*})); then echo "waiting $((until - ${now%.*}))"; fi
}

take_over() { # SECONDS: a client waits for Spark here so long: a scheduled training that has not begun must not begin
  local n
  mkdir -p "$runs" && boot >"$home/taken.new" && mv "$home/taken.new" "$home/taken"
  for ((n = 0; n < 150; n++)); do # until it has released the lock, which the client takes next
    [[ $(holder) == *'"doing": "preparing", "who": "the schedule '* ]] || break
    sleep 0.2
  done
  renew "$1"
}

guard() { # power the driver off once it was unused for long enough
  # `leased` is what is left of a renewal, `left` of the seconds without use.
  local seconds booted lease='' leased=0 left='' rest shown=''
  # One guard: a second one waits for a moment, in case the first is about to end.
  { exec 7>>"$home/guard" && flock -w 5 7; } || return
  { read -r lease <"$home/lease"; } 2>/dev/null
  while read -r seconds booted <"$home/linger" && is_this_boot "$booted"; do
    if renewed || is_held || [[ -z $left ]] || ((left > seconds)); then left=$seconds; fi
    rest=$((left > leased ? left : leased))
    if [[ $rest != "$shown" ]]; then
      if ((rest == seconds / 2)); then tell "nothing uses the driver: it powers itself off in $rest s"; fi
      shown=$rest
      echo "$rest" >"$home/linger.left"
    fi
    if ((rest <= 0)) && ! is_notifying; then
      power_off
      left=$seconds
    fi
    nap 1
    ((left -= 1, leased -= leased > 0))
  done 2>/dev/null
}

renewed() { # test whether a client has renewed the lease since the last look
  local now
  { read -r now <"$home/lease"; } 2>/dev/null
  [[ $now != "$lease" ]] || return
  lease=$now leased=${now#* }
  [[ $leased =~ ^[0-9]+$ ]] || leased=0
}

is_held() { # test whether a client or a run holds the lock
  ! { flock -n -s 8; } 8>>"$home/lock"
}

is_notifying() { # test whether a message about a run is being sent
  ! { flock -n 8; } 8>>"$home/notifying"
}

power_off() { # take the lock, so that no run begins, and power the driver off; return if the power stays on
  local problem
  exec 9>>"$home/lock"
  # As in hold. A client may have come meanwhile.
  if flock -w 0.5 9 && ! renewed; then
    describe '{"doing": "stopping", "who": "the driver itself, which nothing has used", "run": ""}'
    tell "nothing has used the driver: it powers itself off"
    if problem=$(sudo -n systemctl poweroff 2>&1); then
      sleep 300
      problem="the power was still on after 300 s"
    fi
    echo "${problem:-sudo -n systemctl poweroff failed}" | tail -n 1 >"$home/linger.problem"
    tell "the driver could not power itself off: $(<"$home/linger.problem")"
  fi
  exec 9>&-
}

tell() { # write a line to the machine's log and console, if root may
  timeout 5 sudo -n tee -a /var/log/pio-tf.log /dev/console <<<"$(date -u +%FT%TZ) pio-tf: $*" >/dev/null 2>&1
}

forget_secrets() { # remove the programs that know them; for the lock's holder, while no run is being prepared
  rm -f "$runs"/*/redact "$runs"/*/notify
}

describe() { # JSON: write down the lock's holder
  printf '%s\n%s %s\n' "$1" "$$" "$(ticks $$)" >"$home/holder.new" && mv "$home/holder.new" "$home/holder"
}

holder() { # print the lock's holder, as JSON; nothing if the lock is free
  [[ -e "$home/lock" ]] || return 0
  { flock -n -s 8; } 8<"$home/lock" && return
  local line
  IFS= read -r line <"$home/holder" && echo "$line"
}

release() { # end the shell that holds the lock for a client
  local pid started
  { read -r && read -r pid started; } <"$home/holder" || return 0
  if [[ $(ticks "$pid") == "$started" ]]; then kill "$pid"; fi
}

prepare() { # ID KEEP: create a run's directory from the tar archive on the input; remove old runs
  mkdir -p "$runs" || return 1
  mkdir "$runs/$1" || return 17 # EEXIST
  tar -x -f - -C "$runs/$1" || { rm -rf "${runs:?}/$1"; return 1; }
  remove_old "$2"
}

remove_old() { # KEEP: remove all ended runs but so many
  local old
  find "$runs" -mindepth 2 -maxdepth 2 -name ended | sort -r | tail -n "+$(($1 + 1))" | while read -r old; do
    rm -rf "${old%/ended}"
  done
}

start() { # ID JSON: start the run in a session of its own, which inherits the lock; JSON describes it; print when
  local n runner since began
  describe "$2" || return
  setsid bash "$runs/$1/program" run "$1" </dev/null >/dev/null 2>"$runs/$1/problem" &
  runner=$! # nap changes it
  for ((n = 0; n < 200; n++)); do
    find_start "$runner" # before the look at its file: a short run may end in between
    if { read -r _ _ _ began _ <"$runs/$1/process"; } 2>/dev/null; then
      echo "started $began"
      return
    fi
    [[ -n $since ]] || break
    nap 0.02
  done
  echo "failed $(tail -n 1 "$runs/$1/problem")"
}

run() { # ID: run the command and write down its end
  local started filter child status filtered free
  cd "$runs/$1" || return 1
  command -v perl >/dev/null || { echo "perl is missing: it hides secrets in the log" >&2; return 1; }
  # Reserve space for `ended` now: the disk may be full at the end, and a rename needs none.
  printf '%255s\n' '' >ended.new && : >log || return 1
  # What knows secrets is read from descriptors: no crash or restart leaves it on the disk.
  exec 3<redact && rm -f redact || return 1
  if [[ -e notify ]]; then exec 4<notify && rm -f notify || return 1; fi
  started=$(date +%s.%N)
  launch command log || return 1
  if [[ -e run_message.py ]]; then setsid bash program notify "$1" </dev/null >/dev/null 2>&1 3<&- 9>&- & fi
  exec 4<&-
  if [[ -e run_usage.py ]]; then setsid nice python3 run_usage.py spark_pages.json </dev/null >/dev/null 2>&1 3<&- 9>&- & fi
  settle
  free=$(stat -f -c '%a * %S' .)
  echo "exit=$status ended=$(date +%s.%N) filter=$filtered free=$((free))" 1<>ended.new
  mv ended.new ended
  ((status == 0)) && after_success "$1"
  rm -f pipe
}

launch() { # FILE LOG: start the command in a file in a group of its own; a log takes its output, without secrets
  rm -f pipe
  mkfifo pipe || return 1
  perl /proc/self/fd/3 <pipe >"$2" 2>>problem 4<&- 9>&- &
  filter=$!
  set -m
  # Only this process holds the lock: processes that the command leaves behind must not.
  bash -lc "$(<"$1")" </dev/null >pipe 2>&1 3<&- 4<&- 9>&- &
  child=$!
  set +m
  { echo "$$ $(ticks $$) $(boot) $started $child" >process.new && mv process.new process; } && return
  kill -KILL -- "-$child"
  return 1
}

settle() { # wait for the end of what `launch` has started
  local n since
  wait "$child"
  status=$?
  # Do not wait for processes that the command left behind, though they may hold its output open.
  for ((n = 0; n < 500; n++)); do
    find_start "$filter"
    [[ -n $since ]] || break
    nap 0.01
  done
  kill "$filter" 2>/dev/null
  wait "$filter"
  filtered=$?
  ((n == 500)) && filtered=0
  return 0
}

follow() { # ID OFFSET [once]: print the log from there on, until the run has ended; once: only what there is
  local offset=$2 size part going=yes naps=(0.05 0.05 0.1 0.2) n=3
  cd "$runs/$1" || return 76
  [[ -z ${3-} ]] || going=
  while :; do
    alive "$1" || going=
    size=$(stat -L -c %s log) || return 76
    while ((size > offset)); do
      # In parts: each that the client takes renews the lease, also after the run's end.
      part=$((size - offset > 1048576 ? 1048576 : size - offset))
      dd if=log iflag=skip_bytes,count_bytes skip="$offset" count="$part" bs=131072 status=none || return
      ((offset += part))
      renew 0
      n=0 # a run often ends soon after its last lines
    done
    [[ -n $going ]] || return 0
    nap "${naps[n]}"
    ((n == 3)) || ((n += 1))
  done
}

left() { # ID GROUP: test whether the runner or any process of the command is left
  local stat
  alive "$1" && return
  kill -0 -- "-$2" 2>/dev/null || return
  for stat in /proc/[0-9]*/stat; do # skip zombies
    { read -r stat <"$stat"; } 2>/dev/null || continue
    # shellcheck disable=SC2086 # fields
    set -- "$1" "$2" ${stat##*) }
    [[ $5 == "$2" && $3 != [ZX] ]] && return
  done
  return 1
}

cancel() { # ID SECONDS WHO: end the command and all its processes; kill them after so many seconds
  local pid group n
  cd "$runs/$1" || return 76
  alive "$1" || { echo "gone"; return; }
  [[ -e ended ]] || echo "$3" >cancelled # else it ends what follows the training
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

success() { # ID: test whether the log ends with the line that PredictionIO prints last
  tail -c 65536 "$runs/$1/log" 2>/dev/null | grep -aqE 'Training completed successfully\.[[:space:]]*$'
}

list() { # [ID]: print the files of each run, or of one, in lines that begin with a word
  local id size name
  local -A sizes
  [[ -d "$runs" ]] || return 0
  cd "$runs" || return 1
  # shellcheck disable=SC2086 # a pattern
  while read -r size name; do sizes[${name%/log}]=$size; done < <(stat -L -c '%s %n' ${1:-*}/log 2>/dev/null)
  for id in ${1:-*}; do
    [[ -d "$id" ]] || continue
    echo "run $id"
    ! alive "$id" || echo "alive"
    for file in record process usage cancelled ended result on_success.ended notify.problem; do
      if [[ -s "$id/$file" ]]; then say "$file" "$id/$file"; fi
    done
    if [[ -L "$id/told" ]]; then echo "told $(readlink "$id/told")"; fi
    if success "$id"; then echo "success"; fi
    echo "size ${sizes[$id]-0}"
  done
  echo "boot $(boot)"
  echo "holder $(holder)"
  say followers "$home/followers"
  echo "schedule $(sed -n 's/^TOKEN=//p' "$home/scheduled/program" 2>/dev/null)"
  waiting
  lingering
}

followers() { # NAMES: write down which machines stop by themselves after the driver
  mkdir -p "$runs" || return
  [[ "$(cat "$home/followers" 2>/dev/null)" == "$1" ]] || echo "$1" >"$home/followers"
}

lingering() { # print the state of the guard; nothing if the driver does not power itself off
  local seconds booted
  { read -r seconds booted <"$home/linger"; } 2>/dev/null && is_this_boot "$booted" || return 0
  { flock -n -s 7; } 7>>"$home/guard" && return # the guard was killed
  say "linger $seconds" "$home/linger.left"
  if [[ -s "$home/linger.problem" ]]; then say stuck "$home/linger.problem"; fi
}

keep() { # ID: write the verdict from the input
  cat >"$runs/$1/result.new" && mv "$runs/$1/result.new" "$runs/$1/result"
}

claim() { # ID WHO: let WHO send the message about a run's end, unless another one does; print who does
  ln -sT "$2" "$runs/$1/told" 2>/dev/null
  readlink "$runs/$1/told"
}
