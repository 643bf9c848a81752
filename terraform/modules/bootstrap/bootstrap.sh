# What is done when.

# cloud-init runs user data at the very first boot only, and a machine can be stopped before it is through. So the script
# installs itself as a unit first, which goes on at every later boot until it is done.
install_myself() {
  [ "$0" = "$SELF" ] || install -D -m 0755 "$0" "$SELF"
  install_units
}

# Downloads and packages go through the proxy; the metadata service and the cluster's machines never do.
use_proxy() {
  [ -n "$HTTP_PROXY$HTTPS_PROXY" ] || return 0
  # curl and Python read a proxy for http in lower case only. Upper-case names are not exported.
  export http_proxy=$HTTP_PROXY https_proxy=$HTTPS_PROXY
  no_proxy=localhost,127.0.0.1,169.254.169.254,$(tr -s ' \n' ',' <<<"$HOSTS")$NO_PROXY
  export no_proxy
}

# The user's script, as root. Its output is in the log of cloud-init, its last line in the error.
run_extra() {
  local status=0 script=$STATE/extra-bootstrap
  put "$script" <<<"$EXTRA_BOOTSTRAP"
  chmod 0700 "$script"
  PIO_TF_ROLE=$ROLE "$script" </dev/null >&2 || status=$?
  [ "$status" = 0 ] || fail "it ended with exit status $status: $(grep -v '^[[:space:]]*$' "$WORK/stderr" | tail -n 1)"
}

prepare() {
  use_proxy
  rm -f "$STATE/failed.json" "$WORK/failed.json"
  say "preparing this machine as $ROLE"
  show_host_keys # cloud-init does it when all this is over, and pio-tf wants to look on
  step platform check_platform
  step self install_myself
  step hosts write_hosts
  install_software
  step scratch mount_scratch
  if [ "$ROLE" = driver ]; then
    step no-service check_no_service
  else
    step service install_service
  fi
  [ -z "$EXTRA_BOOTSTRAP" ] || step extra-bootstrap run_extra
  touch "$DONE"
  rm -f "$WORK/step"
  write_ready
  say "this machine is ready as $ROLE"
}

# What machines of this role have in common, and an image may have before there is a machine.
install_software() {
  local name
  step user make_user
  step limits set_limits
  step downloads download_all
  step java install_java
  for name in spark hadoop hbase elasticsearch pio; do
    [ -z "$(component "$name")" ] || step "$name" install_component "$name"
  done
  step mdadm install_mdadm
}

# For an image that is baked on this machine: the software, and nothing else. What a machine made of it is, its own user
# data says: no unit, name, log or state of this one may be there before.
prepare_image() {
  use_proxy
  say "preparing an image"
  step platform check_platform
  install_software
  step no-service check_no_service
  step forget forget_machine
  say "this image is ready"
  rm -f "$LOG"
}

forget_machine() {
  local unit
  for unit in pio-tf-bootstrap pio-tf-boot pio-tf-spark; do
    [ ! -e "$UNITS/$unit.service" ] || systemctl disable --now "$unit.service"
    rm -f "$UNITS/$unit.service"
  done
  rm -rf "$SELF" "$CONFIG/hosts" "$DONE" "$STATE/ready.json" "$STATE/failed.json" "$STATE/service" "$STATE/downloads" "$STATE/extra-bootstrap"
  rm -f "$SECRET" "$SETTINGS"
  sed -i '/^# pio-tf: begin$/,/^# pio-tf: end$/d' /etc/hosts
}

# Never holds up a boot, and never fails one: what does not work is said.
at_boot() {
  local part status
  export VOLUME_PATIENCE=30 # it was attached at the last stop
  for part in mount_scratch write_hosts show_host_keys give_settings; do
    begin
    set +e # as in step
    (
      set -e
      "$part"
    ) 2>"$WORK/stderr"
    status=$?
    set -e
    show_errors
    if [ "$status" -ne 0 ]; then
      say "at boot, $part failed: $(why)"
    elif [ "$part" = mount_scratch ]; then
      say "boot: $(cat "$WORK/note")"
    fi
  done
  give_scratch || true # on the root disk, where the instance store has failed
  if [ -e "$DONE" ]; then
    write_ready
  fi
}

write_ready() {
  local name home version versions=()
  while read -r name home; do
    version=$(readlink "$(expand "$home")" || true)
    [ -z "$version" ] || versions+=("$name" "${version##*/}")
  done < <(cut -f 1,3 <<<"$COMPONENTS")
  version=$("$(java_home)/bin/java" -version 2>&1 | sed -n 's/.*version "\(.*\)".*/\1/p' | head -n 1 || true)
  versions+=(java "${version:-unknown}")
  put "$STATE/ready.json" <<READY
{"role": "$ROLE", "when": "$(date -u +%FT%TZ)", "boot_id": "$(boot_id)", "versions": $(json "${versions[@]}")}
READY
}

main() {
  mkdir -p "$STATE" "$WORK"
  case ${1:-} in
  spark) run_spark ;;
  boot) at_boot ;;
  authenticate) authenticate "${2:-}" ;;
  *)
    exec 9>"$WORK/lock"
    flock 9
    case ${1:-} in
    '' | run) prepare ;;
    image) prepare_image ;;
    hosts) step hosts write_hosts "$(cat)" ;;
    rollback)
      step "rollback $2" roll_back "$2"
      [ "$ROLE" = driver ] || step service install_service
      write_ready
      ;;
    *) echo "usage: $0 [run|image|boot|spark|authenticate [put]|hosts|rollback NAME]" >&2; exit 2 ;;
    esac
    ;;
  esac
}

main "$@"
