# Prepares a machine of a pio-tf cluster on Ubuntu or Debian, at its first boot, at every later one, and when pio-tf asks
# for it. The settings stand above; main.tf puts the parts together: common, machine, install, disks, services,
# bootstrap. May be run any number of times.
set -euo pipefail
umask 022

SELF=/usr/local/sbin/pio-tf-bootstrap
STATE=/var/lib/pio-tf
CONFIG=/etc/pio-tf
WORK=/run/pio-tf # in memory, so that a full disk can be told of
LOG=/var/log/pio-tf.log
CONSOLE=${PIO_TF_CONSOLE:-/dev/console}
DONE=$STATE/bootstrapped

# To whoever has started this, to the log, and to the console, which AWS shows without SSH.
say() {
  local line
  local -x TZ=UTC0
  printf -v line '%(%FT%TZ)T pio-tf: %s' -1 "$*"
  echo "pio-tf: $*"
  { echo "$line" >>"$LOG"; } 2>/dev/null || true
  to_console "$line"
}

# A serial console may block, or not be there.
to_console() {
  { timeout 5 tee -a "$CONSOLE" <<<"$1" >/dev/null; } 2>/dev/null || true
}

# begin: forget what the last step noted of itself, and why it failed.
begin() {
  : >"$WORK/note"
  : >"$WORK/reason"
}

# What a step has to say of itself, in its line.
note() { echo "$*" >"$WORK/note"; }

# Ends a step, with its reason.
fail() {
  echo "$*" >"$WORK/reason"
  exit 1
}

# step NAME COMMAND...: one line in the log; where the command fails, the end of all, with its reason.
step() {
  local name=$1 started=$SECONDS said="done" status
  shift
  echo "$name" >"$WORK/step" # for pio-tf, which looks on
  begin
  set +e # in a condition, bash would take no error of the command's for one
  (
    set -e
    "$@"
  ) 2>"$WORK/stderr"
  status=$?
  set -e
  show_errors
  if [ "$status" -ne 0 ]; then
    give_up "$name" "$(why)"
  fi
  [ ! -s "$WORK/note" ] || read -r said <"$WORK/note"
  say "step $name: $said ($((SECONDS - started)) s)"
}

show_errors() { [ ! -s "$WORK/stderr" ] || cat "$WORK/stderr" >&2; }

# The reason of the step that has just failed: what it gave, else the last thing that was said.
why() {
  local reason
  reason=$(grep . "$WORK/reason" || grep -v '^[[:space:]]*$' "$WORK/stderr" | tail -n 1)
  if disk_is_full; then
    reason="${reason:-it ended}; the disk is full: / has $(disk_left) MiB left"
  fi
  echo "${reason:-it ended without a word}"
}

# MiB.
disk_left() { df -Pm / | awk 'NR == 2 { print $4 }'; }

disk_is_full() { [ "$(disk_left)" -lt 64 ]; }

give_up() {
  # May be what has filled the disk; on a full one cloud-init, the log and a login suffer.
  if disk_is_full; then
    rm -rf "$STATE/downloads"
  fi
  rm -rf /opt/*/.unpack
  json step "$1" reason "$2" role "$ROLE" when "$(date -u +%FT%TZ)" boot_id "$(boot_id)" >"$WORK/failed.json"
  { put "$STATE/failed.json" <"$WORK/failed.json"; } 2>/dev/null || true
  say "step $1 failed: $2"
  exit 1
}

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# put FILE: standard input becomes the file, whole or not at all.
put() {
  [ -d "${1%/*}" ] || mkdir -p "${1%/*}"
  cat >"$1.new" && mv -f "$1.new" "$1"
}

# json NAME VALUE...: one object of strings.
json() {
  local text=
  while [ $# -gt 0 ]; do
    text+="${text:+, }\"$1\": \"$(json_text "$2")\""
    shift 2
  done
  echo "{$text}"
}

json_text() {
  local text=${1//\\/\\\\}
  printf %s "${text//\"/\\\"}" | tr '\000-\037' ' '
}

# The home of whoever pio-tf logs in as is what ~ means in pio-tf.hcl.
expand() {
  case $1 in
  \~/*) echo "$(getent passwd "$SSH_USER" | cut -d: -f6)/${1#\~/}" ;;
  *) echo "$1" ;;
  esac
}

apt_install() {
  local said
  export DEBIAN_FRONTEND=noninteractive
  # A stop in the middle of an installation leaves packages half configured; unattended-upgrades may hold the lock.
  dpkg --configure -a
  apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update || true # the cache may do; else install tells
  if ! said=$(apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 install -y --no-install-recommends "$@" 2>&1); then
    echo "$said"
    fail "apt-get cannot install $*: $(grep '^E:' <<<"$said" | head -n 1 || tail -n 1 <<<"$said")"
  fi
}

# This machine's private address, which it keeps for ever.
private_ip() {
  ip -4 -o route get 169.254.169.254 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | grep . ||
    hostname -I | tr ' ' '\n' | grep -m 1 '^[0-9.]*$'
}
