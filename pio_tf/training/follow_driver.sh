# Stops this machine once its driver is gone and Spark has no application: docs/architecture.md, "Machines that stop
# themselves". A timer runs it as root every minute. The settings stand above: DRIVER SSH_PORT MASTER UI_PORT GRACE PATIENCE.
#
# It counts by the machine's uptime only: the time of day may be wrong, or jump.

ROOT=${PIO_TF_ROOT-} # for tests
SELF=/usr/local/sbin/pio-tf-follow-driver
UNITS=$ROOT/etc/systemd/system
STATE=$ROOT/run/pio-tf/follow-driver # uptimes of the first look without an answer, and of Spark's last application
SEEN=$ROOT/run/pio-tf/driver-seen    # the driver has answered since this machine has booted

say() { # to the log, and to the console, which AWS shows
  local line
  line="$(date -u +%FT%TZ) pio-tf: $*"
  { echo "$line" >>"$ROOT/var/log/pio-tf.log"; } 2>/dev/null
  { timeout 5 tee -a "$ROOT/dev/console" <<<"$line" >/dev/null; } 2>/dev/null
}

uptime() { # print whole seconds since the boot
  local now
  read -r now _ <"$ROOT/proc/uptime" && echo "${now%.*}"
}

driver_answers() { # test whether the driver's SSH server greets
  # shellcheck disable=SC2016 # for the other bash, which timeout can end
  timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1" && read -r line <&3 && [[ $line == SSH-* ]]' "$DRIVER" "$SSH_PORT" \
    2>/dev/null
}

applications() { # print what Spark's master says of active applications: some, none; or silent
  local page
  # shellcheck disable=SC2016 # as above
  page=$(timeout 10 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "GET /json/ HTTP/1.0\r\nHost: $0\r\n\r\n" >&3 && cat <&3' \
    "$MASTER" "$UI_PORT" 2>/dev/null | tr -d '[:space:]')
  case $page in
    *'"activeapps":[]'*) echo none ;;
    *'"activeapps":['*) echo some ;;
    *) echo silent ;;
  esac
}

check() {
  local now since busy why
  now=$(uptime) || return
  mkdir -p "${STATE%/*}"
  if driver_answers; then
    [[ ! -e $STATE ]] || say "the driver answers again"
    : >"$SEEN"
    rm -f "$STATE"
    return 0
  fi
  [[ -e $SEEN ]] || ((now >= GRACE)) || return 0
  if ! { read -r since busy <"$STATE"; } 2>/dev/null; then
    since=$now
    say "the driver ($DRIVER) does not answer on port $SSH_PORT: this machine stops in $PATIENCE s, unless it answers"
  fi
  case $(applications) in
    some)
      [[ -n $busy ]] || say "the driver does not answer, but Spark has an application: this machine keeps running"
      busy=$now
      ;;
    none) why="the driver has not answered for $((now - since)) s, and Spark has no application" ;;
    *)
      # A master with much to do may not answer at once.
      [[ -n $busy ]] && ((now - busy < PATIENCE)) || why="neither the driver nor Spark's master has answered"
      ;;
  esac
  echo "$since $busy" >"$STATE"
  [[ -n $why ]] && ((now - since >= PATIENCE)) || return 0
  ! driver_answers || return 0 # it has just come back
  say "$why: this machine stops"
  systemctl poweroff || say "could not stop this machine: systemctl poweroff ended with $?"
}

install_units() {
  if ! driver_answers; then
    # An earlier script may look elsewhere: it must not stop the machine, either.
    systemctl disable --now pio-tf-follow-driver.timer 2>/dev/null
    echo "the driver does not answer this machine on $DRIVER, port $SSH_PORT" >&2
    return 1
  fi
  cat >"$UNITS/pio-tf-follow-driver.service" <<UNIT
[Unit]
Description=Stop this machine once its driver is gone (pio-tf)

[Service]
Type=oneshot
ExecStart=$SELF
UNIT
  cat >"$UNITS/pio-tf-follow-driver.timer" <<UNIT
[Unit]
Description=Look every minute for the driver of this machine (pio-tf)

[Timer]
OnBootSec=1min
OnUnitActiveSec=1min
AccuracySec=5s

[Install]
WantedBy=timers.target
UNIT
  systemctl daemon-reload && systemctl enable pio-tf-follow-driver.timer && systemctl restart pio-tf-follow-driver.timer
}

case ${1-} in
  '') check ;;
  install) install_units ;;
  *) echo "usage: $0 [install]" >&2; exit 2 ;;
esac
