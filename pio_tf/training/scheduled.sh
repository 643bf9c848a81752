# Trains on AWS's schedule, without a client: docs/architecture.md, "Training on AWS's clock". A unit runs it at each boot
# of the driver, as the user of the runs. driver.sh and the settings stand above: TOKEN DRIVER_ID MASTER UI_PORT WORKERS
# MIN_WORKERS START_TIMEOUT LINGER MAX_RUNTIME DRIVER_MEMORY PIO FREE_MIB FREE_INODES CLOCK KEEP UNBUILT; and
# services, a function.
#
#   ~/.pio-tf/scheduled/      this program, and what a training needs: command, record, redact, runner, probe, and two
#                             directories: after, for what follows it; custody, for what keeps the model before it
#   ~/.pio-tf/scheduled-last  the time of the last schedule that was handled, and its run

here="$home/scheduled"
METADATA=http://169.254.169.254/latest
TAG=pio-tf:scheduled-start
UNIT=/etc/systemd/system/pio-tf-scheduled.service
AFTER_MARK=120      # AWS starts the machines so many seconds after it has marked them
LATEST=$((75 * 60)) # ... or up to an hour later, while it lacks capacity; and a boot takes its time
EARLY=300
mark='' offset='' # the tag's value; AWS's time minus this clock's, in seconds: empty if AWS does not tell it

ask() { # PATH: in a subshell, which must not hold the lock: print the answer of the metadata service, with its headers
  local token
  exec 9>&-
  token=$(curl -sf -m 5 --noproxy '*' -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$METADATA/api/token") &&
    curl -si -m 5 --noproxy '*' -H "X-aws-ec2-metadata-token: $token" "$METADATA/meta-data/$1"
}

look_up() { # PATH: set `found`, empty if there is no such value, and `offset`; fail without an answer
  local answer status date
  answer=$(ask "$1") && answer=${answer//$'\r'/} && status=${answer#* } || return
  case ${status:0:3} in
    200) found=${answer#*$'\n\n'} ;;
    404) found='' ;;
    *) return 1 ;;
  esac
  date=$(sed -n '/^$/q; s/^[Dd]ate: //p' <<<"$answer")
  if [[ -n $date ]] && date=$(date -d "$date" +%s); then offset=$((date - $(date +%s))); fi
}

patiently() { # PATH: look it up; retry for a minute
  local n
  for ((n = 0; n < 30; n++)); do
    ! look_up "$1" || return 0
    sleep 2
  done
  return 1
}

now() { # print the time, by AWS's clock if it tells it
  echo $(($(date +%s) + ${offset:-0}))
}

up_for() { # print whole seconds since the boot: the time of day may jump
  local now
  read -r now _ </proc/uptime && echo "${now%.*}"
}

licensed() { # test whether no client has taken the machines over: without an answer, none has removed the tag
  # Types without Nitro (r3) show another tag only after their next start: a client says so here, too.
  [[ $(cat "$home/taken" 2>/dev/null) != "$(boot)" ]] && { ! look_up "tags/instance/$TAG" || [[ $found == "$mark" ]]; }
}

pause() { # SECONDS: wait, unless a client has taken the machines over
  sleep "$1" 9>&-
  licensed || step_back
}

say() {
  echo "$(date -u +%FT%TZ) pio-tf: $1" >>"$dir/log"
  tell "$1" 9>&-
}

fill() { # TEXT OLD NEW: print the text with the first OLD, which is there, replaced
  printf '%s' "${1%%"$2"*}$3${1#*"$2"}"
}

quoted() { # TEXT: print it as a string of JSON
  local text
  text=$(tr -s '\000-\037\177' ' ' <<<"$1")
  text=${text% } text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

record() { # OLD NEW ...: replace values in the run's record
  local text
  text=$(<"$dir/record")
  while (($#)); do
    text=$(fill "$text" "\"$1\": $2" "\"$1\": $3")
    shift 3
  done
  echo "$text"
}

begin() { # make the run, so that whatever happens leaves a trace, and note that this time was handled
  local since
  since=$(now)
  id="$(date -u -d "@$since" +%Y%m%dT%H%M%SZ)-$(printf %04x $((RANDOM)))"
  dir=$runs/$id
  mkdir -p "$dir" && cp "$here/record" "$dir/record" || return
  record id '""' "\"$id\"" pid 0 $$ since '""' "\"$(date -u -d "@$since" +%FT%TZ)\"" scheduled '""' "\"$due\"" deadline '""' \
    "\"$(date -u -d "@$(($(date -d "$due" +%s) + AFTER_MARK + MAX_RUNTIME))" +%FT%T+00:00)\"" >"$dir/record.new" &&
    mv "$dir/record.new" "$dir/record" && echo "$due $id" >"$home/scheduled-last"
}

conclude() { # CAUSE: write down why there was no training, and release the lock
  local ended
  say "$1"
  ended=$(date +%s)
  record state '"running"' '"failed"' cause '""' "$(quoted "$1")" ended null "$ended" \
    log_bytes 0 "$(stat -c %s "$dir/log")" >"$dir/result.new" && mv "$dir/result.new" "$dir/result"
  echo "exit=1 ended=$ended filter=0 free=$(($(stat -f -c '%a * %S' "$dir")))" >"$dir/ended.new" && mv "$dir/ended.new" "$dir/ended"
  rm -f "$dir/redact" "$dir/notify"
  exec 9>&-
  tell_end "$id"
}

tell_end() { # ID: send the message about a run that is not alive
  [[ -e "$here/after/notify" ]] || return 0
  cp "$here"/after/*.py "$runs/$1/" &&
    (cd "$runs/$1" && exec setsid bash "$here/runner" notify "$1" 4<"$here/after/notify") </dev/null >/dev/null 2>&1 &
}

lose() { # ID SECONDS: power the driver off after so long, and send the message about a run that a restart has ended
  tell "the driver restarted during the run $1"
  linger "$2"
  rm -f "$runs/$1/follower" # a client's renewal, in uptime of the boot before
  tell_end "$1"
}

look_for_lost_run() { # after a boot without a mark: lose a client's run, if it was to end with the driver's power-off
  local seconds booted run before
  { read -r seconds booted <"$home/linger"; } 2>/dev/null && [[ $booted != "$(boot)" ]] || return 0
  run=$(find "$runs" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | tail -n 1)
  { read -r _ _ before _ <"$runs/$run/process"; } 2>/dev/null || return 0
  [[ $before == "$booted" && ! -e "$runs/$run/ended" ]] || return 0
  # A client may have started the driver: it comes once all machines answer.
  lose "$run" $((seconds > START_TIMEOUT ? seconds : START_TIMEOUT))
}

step_back() { # leave the machines to the client that has removed the tag
  stay >/dev/null
  end_aside
  conclude "missed: a client has taken the machines over"
  exit
}

exchange() { # HOST PORT SECONDS QUESTION READER: print what the reader takes of the answer; only connect if there is no question
  # shellcheck disable=SC2016 # for the other bash, which timeout can end
  timeout "$3" bash -c 'exec 3<>"/dev/tcp/$0/$1" && { [[ -z $2 ]] || { printf "%b" "$2" >&3 && $3 <&3; }; }' \
    "$1" "$2" "$4" "$5" 2>/dev/null | tr -d '\0'
  return "${PIPESTATUS[0]}"
}

look_at_spark() { # set `missing` to the workers that the master does not count ALIVE; fail if it does not answer
  local page alive worker
  page=$(exec 9>&-; exchange "$MASTER" "$UI_PORT" 10 "GET /json/ HTTP/1.0\r\nHost: $MASTER\r\n\r\n" cat | tr -d '[:space:]')
  [[ $page == *'"workers":['* ]] || return
  alive=$(sed 's/{"id":"worker-/\n&/g' <<<"$page" | grep -F '"state":"ALIVE"')
  missing=()
  for worker in "${WORKERS[@]}"; do
    grep -qF "\"host\":\"${worker#*=}\"" <<<"$alive" || missing+=("${worker%%=*}")
  done
}

wait_for_spark() { # wait until the master has every worker; then, for as many as must be there; set `problem` if it has not
  local until answered missing=()
  until=$(($(up_for) + START_TIMEOUT))
  while :; do
    answered=
    if look_at_spark; then
      answered=yes
      ((${#missing[@]})) || return 0
    fi
    (($(up_for) < until)) || break
    pause 3
  done
  problem="Spark's master does not answer at $MASTER:$UI_PORT"
  [[ -n $answered ]] || return
  problem="after $START_TIMEOUT s, Spark's master lacks ${#missing[@]} of its ${#WORKERS[@]} workers: ${missing[*]}"
  ((MIN_WORKERS && ${#WORKERS[@]} - ${#missing[@]} >= MIN_WORKERS)) || return
  say "training without ${missing[*]}"
  absent=$(printf ', "%s"' "${missing[@]}")
}

wait_for_clock() { # wait a minute for the time service; set `problem` if the clock is still wrong
  local n
  for ((n = 0; n < 12; n++)); do
    ((${offset:-0} > CLOCK || ${offset:-0} < -CLOCK)) || return 0
    [[ $n != 0 ]] || say "this clock is $offset s off AWS's time: waiting until it is corrected"
    pause 5
  done
  problem="clock: the driver is $offset s off AWS's time (timedatectl)"
  return 1
}

service() { # NAME NEEDED QUESTION HOST:PORT...: print a problem if fewer than so many answer
  local name=$1 needed=$2 question=$3 at down='' fine=0
  shift 3
  for at in "$@"; do
    if [[ -z $question ]]; then
      exchange "${at%:*}" "${at##*:}" 5 '' true
    else
      [[ -n $(exchange "${at%:*}" "${at##*:}" 5 "$question" "head -c 1") ]]
    fi && ((fine += 1)) || down+=", $at"
  done
  ((fine >= needed)) || echo "$name: ${down#, } does not answer"
}

judge() { # read the answers of the probe, and print the problems in them
  local said mark name value more free inodes all
  declare -A said=()
  while IFS=$'\t' read -r mark name value more; do
    [[ $mark == pio-tf-says ]] || continue
    said[$name]=$value
    if [[ $name == room ]]; then
      IFS=$'\t' read -r free inodes all _ <<<"$more"
      if [[ $free =~ ^[0-9]+$ ]] && ((free < FREE_MIB * 1024)); then
        echo "disk: $((free / 1024)) MiB free for $value, less than $FREE_MIB MiB"
      elif [[ $inodes$all =~ ^[0-9]+$ ]] && ((all > 0 && inodes < FREE_INODES)); then
        echo "disk: $inodes inodes free for $value, less than $FREE_INODES"
      fi
    elif [[ $name == "jar "* && $value != file && $value != executable ]]; then
      echo "jdbc: ${name#jar } is not a file"
    fi
  done
  [[ -n ${said[end]+there} ]] || echo "the driver did not answer all questions"
  [[ ${said[engine]-} == directory ]] || echo "engine: its directory is ${said[engine]-unknown}"
  [[ -z ${said[half]-} ]] || echo "engine: it is half of two versions: a push or a restore was interrupted"
  [[ ${said[variant]-} == [fe]* ]] || echo "engine: its engine.json is ${said[variant]-unknown}"
  [[ -n $UNBUILT || -n ${said[target]-}${said[lib]-} ]] || echo "built: the engine has not been built: it has no jar"
  [[ ${said[pio]-} == executable ]] || echo "pio: $PIO is ${said[pio]-unknown}"
  [[ ${said[submit]-} == executable ]] || echo "spark-version: the driver has no Spark: spark-submit is ${said[submit]-unknown}"
  [[ -n ${said[java]-} ]] || echo "java: a login shell finds none"
  [[ ${said[events]-} == @(|directory) ]] || echo "disk: the directory of Spark's event log is ${said[events]}"
}

memory() {
  local heap total
  heap=$(numfmt --from=iec "${DRIVER_MEMORY^^}") && total=$(awk '/^MemTotal:/ {print $2}' /proc/meminfo) || return 0
  ((heap <= total * 1024)) ||
    echo "memory: the driver has $((total / 1024)) MiB, less than the heap of $DRIVER_MEMORY"
}

pio_status() { # as the last one: it opens every storage
  local said status
  said=$(timeout -k 10 180 bash -lc "$PIO status 2>&1"; echo "exit=$?")
  status=${said##*exit=}
  [[ $status == 0 && $said == *"Your system is all ready to go."* ]] && return
  said=$(grep -a '\[ERROR\]' <<<"$said" | head -n 3 | tr '\n' ' ')
  echo "pio-status: pio status ended with $status: ${said:-no error message}"
}

run_checks() { # print the problems, a line each, without secrets
  local found
  found=$(bash "$here/probe" 2>/dev/null | judge; memory; services)
  [[ -n $found ]] || found=$(pio_status)
  perl "$here/redact" <<<"$found"
}

aside() { # FILE FUNCTION: run it with its output in a file; a client that takes the machines over ends it
  local status
  set -m
  (cd "$dir" && "$2") >"$dir/$1" 2>/dev/null 9>&- &
  beside=$!
  set +m
  while [[ -n $(ticks "$beside") ]]; do pause 2; done
  wait "$beside"
  status=$?
  beside=
  return "$status"
}

end_aside() { # end what runs aside; a copy of the model takes a moment to be cancelled
  local n
  [[ -n ${beside-} ]] || return 0
  kill -TERM -- "-$beside"
  for ((n = 0; n < 20; n++)); do
    [[ -n $(ticks "$beside") ]] || break
    sleep 0.1
  done
  kill -KILL -- "-$beside"
} 2>/dev/null

check() { # run the checks; set `problem` to what they find
  aside checks run_checks
  problem="a check failed: $(grep . "$dir/checks" | paste -sd ';' | sed 's/;/; /g')"
  ! grep -q . "$dir/checks"
}

run_keep_model() { # in a subshell: become the program that copies the model
  exec python3 -B "$here/custody/keep_model.py" "$id" <"$here/custody/order"
}

keep_model() { # copy the model that is served, for the run's record; set `problem` if it must be kept and can't
  local status custody='' said=''
  [[ -e "$here/custody/order" ]] || return 0
  if ! (exec 9>&-; python3 -c 'import sys; sys.exit(sys.version_info < (3, 6))') 2>/dev/null; then
    say "model: the driver has no Python 3.6 or later, so that it does not keep the model before the training"
    return 0
  fi
  aside model run_keep_model
  status=$?
  { IFS= read -r custody && IFS= read -r said; } <"$dir/model"
  said=$(perl "$here/redact" <<<"$said")
  problem="model: ${said:-the program that keeps it ended with $status}"
  ((status == 0)) && [[ -n $custody ]] || return
  [[ -z $said ]] || say "$problem"
  problem="no room for its record"
  record custody '{}' "$custody" >"$dir/record.new" && mv "$dir/record.new" "$dir/record"
}

due_now() { # test whether AWS's schedule has just started this machine, which knows it; set `problem` if not
  local by=''
  age=$(($(now) - $(date -d "$due" +%s)))
  [[ -n $offset ]] || by=", by the driver's own clock, which may be wrong"
  if ((age > LATEST)); then
    problem="the driver started $((age / 60)) minutes after it was due$by"
  elif ((age < -EARLY)); then
    problem="it is due in $((-age / 60)) minutes only$by"
  elif [[ $token != "$TOKEN" ]]; then
    problem="no client has given the driver this schedule yet"
  else
    return 0
  fi
  return 1
}

prepare_and_start() { # with the lock: wait for clock and Spark, check, start the run; set `problem` if it does not begin
  local answer absent=''
  wait_for_clock && wait_for_spark && say "Spark has its workers" && check && keep_model || return
  if [[ -n $absent ]]; then record absent '[]' "[${absent#, }]" >"$dir/record.new" && mv "$dir/record.new" "$dir/record"; fi
  problem="no room for its files"
  cp "$here/runner" "$dir/program" && cp "$here/command" "$here/redact" "$dir/" || return
  [[ ! -d "$here/after" ]] || cp "$here"/after/* "$dir/" || return
  licensed || step_back
  say "the training begins: run $id"
  answer=$(start "$id" "$(holds running)" 2>&1)
  problem="the run did not start: ${answer#failed }"
  [[ $answer == "started "* ]]
}

holds() { # DOING: print the holder of the lock, as JSON
  echo "{\"doing\": \"$1\", \"who\": \"the schedule of AWS, for $due\", \"run\": \"$id\"}"
}

boot_on_schedule() {
  local found due token last='' run='' age other id dir problem
  patiently instance-id && [[ $found == "$DRIVER_ID" ]] || return 0 # an image of the driver has this program, too
  patiently "tags/instance/$TAG" || { tell "the metadata service does not tell whether a schedule started this machine"; return; }
  mark=$found
  [[ $mark =~ ^([A-Za-z0-9_-]+)\ ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z)$ ]] || { look_for_lost_run; return; }
  token=${BASH_REMATCH[1]} due=${BASH_REMATCH[2]}
  date -d "$due" >/dev/null 2>&1 || return 0
  { read -r last run <"$home/scheduled-last"; } 2>/dev/null
  if [[ $last == "$due" ]]; then # the driver restarted, or was started by a person without pio-tf
    [[ -e "$runs/$run/ended" ]] || lose "$run" "$LINGER"
    return
  fi
  remove_old "$KEEP" 2>/dev/null
  if ! begin; then
    tell "the training of $due was missed: the driver can't write to $runs"
    linger "$LINGER"
    return
  fi
  if ! due_now; then
    # By AWS's clock, it is certain that no schedule has started a driver so late: it is not to go off by itself.
    if [[ -z $offset ]] || ((age <= LATEST)); then linger "$LINGER"; fi
    conclude "missed: $problem"
    return
  fi
  exec 9>>"$home/lock"
  if ! flock -w 0.5 9; then
    other=$(head -n 1 "$home/holder")
    other=${other#*\"who\": \"}
    conclude "missed: a client uses the machines: ${other%%\", \"*}"
    return
  fi
  describe "$(holds preparing)"
  forget_secrets
  linger "$LINGER"
  say "AWS's schedule of $due has started the machines: run $id is being prepared"
  prepare_and_start || conclude "failed before it began: $problem"
}

install_unit() { # at each boot, run this program
  local unit
  unit="[Unit]
Description=Train on the schedule of AWS (pio-tf)
Wants=network-online.target
After=network-online.target ssh.service sshd.service

[Service]
User=$(id -un)
EnvironmentFile=-/etc/environment
ExecStart=/bin/bash $here/program boot
# The run, and what powers the driver off after it, outlive this program.
KillMode=process

[Install]
WantedBy=multi-user.target"
  [[ $(cat "$UNIT" 2>/dev/null) != "$unit" ]] || return 0
  sudo -n sh -c "cat >$UNIT && systemctl daemon-reload && systemctl enable ${UNIT##*/}" <<<"$unit" 2>&1
}

case ${1-} in
  boot) boot_on_schedule ;;
  install) install_unit ;;
  *) echo "usage: $0 boot|install" >&2; exit 2 ;;
esac
