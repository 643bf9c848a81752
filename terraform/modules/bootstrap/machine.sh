# The machine itself: what it must be, users, limits, names.

# One value of /etc/os-release.
release() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" /etc/os-release; }

check_platform() {
  local id version
  id=$(release ID) version=$(release VERSION_ID)
  case "$id $version $(uname -m)" in
  "ubuntu 18.04 x86_64" | "ubuntu 20.04 x86_64" | "ubuntu 22.04 x86_64" | "ubuntu 24.04 x86_64") ;;
  "debian 11 x86_64" | "debian 12 x86_64") ;;
  *) fail "this is $id $version on $(uname -m); it must be Ubuntu 18.04 to 24.04 or Debian 11 or 12 on x86_64" ;;
  esac
  note "$id $version"
}

# Whom Spark runs as. Nobody logs in as this user, unless somebody lets them.
make_user() {
  getent passwd "$SSH_USER" >/dev/null || fail "this image has no user $SSH_USER, whom pio-tf logs in as: set ssh.user"
  if ! id "$SERVICE_USER" >/dev/null 2>&1; then
    useradd --create-home --shell /bin/bash "$SERVICE_USER"
  fi
  install -d -o "$SERVICE_USER" -g "$(id -gn "$SERVICE_USER")" "$STATE/spark"
  note "$SERVICE_USER"
}

set_limits() {
  put /etc/security/limits.d/90-pio-tf.conf <<LIMITS
# Spark opens a file for every block of a shuffle, and has a thread for every connection.
* soft nofile 65536
* hard nofile 65536
* soft nproc 32768
* hard nproc 32768
LIMITS
  put /etc/sysctl.d/90-pio-tf.conf <<SYSCTL
# A heap that is swapped out makes every garbage collection read the disk.
vm.swappiness = 1
# Shuffle files and jars are mapped into memory.
vm.max_map_count = 262144
# All executors fetch from one another at once.
net.core.somaxconn = 4096
SYSCTL
  # A kernel that lacks one of them, or a container, is no reason to do without the machine.
  sysctl -q -p /etc/sysctl.d/90-pio-tf.conf || true
}

# Names that survive: in /etc/hosts, from $CONFIG/hosts, which has one "ADDRESS NAME..." a line. Without arguments, the
# names in the settings are added to those that are known; with one, what it has takes their place.
write_hosts() {
  local hosts=$CONFIG/hosts
  mkdir -p "$CONFIG"
  if [ $# -gt 0 ]; then
    put "$hosts" <<<"$1"
  else
    # The last line for a name counts: an address that AWS has chosen may have become known.
    #shellcheck disable=SC2153 # a setting
    { cat "$hosts" 2>/dev/null || true; echo "$HOSTS"; } |
      awk 'NF > 1 { if (!($2 in at)) order[++n] = $2; at[$2] = $0 } END { for (i = 1; i <= n; i++) print at[order[i]] }' |
      put "$hosts"
  fi
  # cloud-init may write /etc/hosts anew at a boot (manage_etc_hosts), so this is done at every boot.
  {
    sed '/^# pio-tf: begin$/,/^# pio-tf: end$/d' /etc/hosts
    echo "# pio-tf: begin"
    cat "$hosts"
    echo "# pio-tf: end"
  } >"$WORK/hosts"
  if ! cmp -s "$WORK/hosts" /etc/hosts; then
    put /etc/hosts <"$WORK/hosts"
  fi
  note "$(grep -c . "$hosts" || true) names"
}
