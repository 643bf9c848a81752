# Spark's scratch files: on a volume of their own, if pio-tf.hcl asks for one, else on the instance store.
#
# The instance store: fast, wiped at every stop, and not there on every instance type. So it is looked for at every boot,
# and nothing waits for it: without it, the same directories are on the root disk.
SCRATCH=$STATE/scratch
LABEL=pio-tf
VOLUME_LABEL=pio-tf-volume
VOLUME_PATIENCE=${PIO_TF_VOLUME_PATIENCE:-300} # seconds

# The devices of the instance store, one a line. $CONFIG/instance-store may name others.
instance_store() {
  local device
  if [ -e "$CONFIG/instance-store" ]; then
    cat "$CONFIG/instance-store"
  else
    { nvme_store; xen_store; } | sort -u
  fi | while read -r device; do
    if [ -b "$device" ] && free "$device"; then
      readlink -f "$device"
    fi
  done
}

# NVMe: their order may change at every start, EBS volumes are NVMe too; the model tells.
nvme_store() {
  local model
  for model in /sys/block/nvme*/device/model; do
    if [ -e "$model" ] && grep -q "^Amazon EC2 NVMe Instance Storage" "$model"; then
      model=${model%/device/model}
      echo "/dev/${model##*/}"
    fi
  done
}

# Before NVMe (r3): the metadata has ephemeral0 = sdb and so on, which Linux calls xvdb. Of NVMe machines it may have
# names of devices that are not there, or are EBS volumes': those have no device xvd?.
xen_store() {
  local at=http://169.254.169.254/latest token name device
  ls /dev/xvd* >/dev/null 2>&1 || return 0
  token=$(curl -sf -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" $at/api/token) || return 0
  ask() { curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "$at/meta-data/block-device-mapping/$1"; }
  for name in $(ask '' | grep '^ephemeral'); do
    device=$(ask "$name")
    device=${device#/dev/}
    echo "/dev/xvd${device#?d}"
  done
}

# Whether nothing else uses a device: no partition or file system of it is mounted, but by cloud-init on /mnt or by us.
free() {
  local at
  while read -r at; do
    case $at in
    '' | "$SCRATCH") ;;
    /mnt) umount /mnt && sed -i '\,[[:space:]]/mnt[[:space:]].*comment=cloudconfig,d' /etc/fstab ;;
    *)
      say "$1 is mounted on $at, and left alone" >&2
      return 1
      ;;
    esac
  done < <(lsblk -nro MOUNTPOINT "$1")
}

# The volume: the one that has our file system, else the only one without any content. The name of its device differs
# between types of machines, and may change at every start. $CONFIG/scratch-volume may name it.
scratch_volume() {
  local device blank=()
  if [ -e "$CONFIG/scratch-volume" ]; then
    cat "$CONFIG/scratch-volume"
    return
  fi
  for device in $(ebs_volumes); do
    if [ "$(blkid -p -s LABEL -o value "$device" || true)" = $VOLUME_LABEL ]; then
      echo "$device"
      return
    elif [ -z "$(wipefs -n "$device" || echo busy)" ] && cmp -s -n 1048576 "$device" /dev/zero && free "$device"; then
      blank+=("$device")
    fi
  done
  [ ${#blank[@]} -lt 2 ] || fail "of ${blank[*]}, which are all empty, one is the scratch volume: write its name into" \
    "$CONFIG/scratch-volume"
  printf '%s' "${blank[*]}"
}

ebs_volumes() {
  local model device
  for model in /sys/block/nvme*/device/model; do
    if [ -e "$model" ] && grep -q "^Amazon Elastic Block Store" "$model"; then
      model=${model%/device/model}
      echo "/dev/${model##*/}"
    fi
  done
  for device in /dev/xvd[f-p]; do
    [ ! -b "$device" ] || echo "$device"
  done
}

# Terraform attaches it only once the machine runs.
mount_volume() {
  local device until=$((SECONDS + VOLUME_PATIENCE))
  until device=$(scratch_volume) && [ -n "$device" ]; do
    [ "$SECONDS" -lt "$until" ] || fail "$(grep . "$WORK/reason" ||
      echo "no scratch volume is attached: \`pio-tf apply\` attaches it, \`pio-tf provision\` mounts it then")"
    sleep 2
  done
  : >"$WORK/reason"
  if mountpoint -q "$SCRATCH" && [ "$(findmnt -no SOURCE "$SCRATCH")" != "$device" ] && ! umount "$SCRATCH"; then
    note "$SCRATCH stays on $(findmnt -no SOURCE "$SCRATCH") until the next boot: it is in use"
    return
  fi
  mountpoint -q "$SCRATCH" || mount_or_make "$device" $VOLUME_LABEL
  resize2fs "$device" >&2 || say "$SCRATCH does not use all of $device" >&2 # which may have grown
  note "$SCRATCH is on the volume $device ($(lsblk -dnro SIZE "$device")B)"
}

# mount_or_make DEVICE LABEL: make a file system, unless there is one of that label, and mount it on $SCRATCH.
mount_or_make() {
  if [ "$(blkid -s LABEL -o value "$1" || true)" != "$2" ] || ! mount -o noatime "$1" "$SCRATCH"; then
    wipefs -qa "$1"
    mkfs.ext4 -q -F -m 0 -E nodiscard -L "$2" "$1"
    mount -o noatime "$1" "$SCRATCH"
  fi
}

# Mounts what there is on $SCRATCH. Says what it has done.
mount_scratch() {
  mkdir -p "$SCRATCH"
  if [ -n "$SCRATCH_VOLUME" ]; then
    mount_volume
  else
    mount_store
  fi
  give_scratch
}

mount_store() {
  local devices device
  mapfile -t devices < <(instance_store)
  if mountpoint -q "$SCRATCH"; then
    note "$SCRATCH is on $(findmnt -no SOURCE "$SCRATCH")"
  elif [ ${#devices[@]} -eq 0 ]; then
    note "no instance store: $SCRATCH is on the root disk"
  else
    device=${devices[0]}
    if [ ${#devices[@]} -gt 1 ]; then
      device=$(stripe "${devices[@]}")
    fi
    # A restart keeps it, a stop does not: then it has no file system, or the maker's.
    mount_or_make "$device" $LABEL
    note "$SCRATCH is on $device ($(lsblk -dnro SIZE "$device")B)"
  fi
}

# The driver's is written to by whoever runs `pio train`.
give_scratch() {
  install -d -m 1777 "$SCRATCH/local"
  install -d -o "$SERVICE_USER" -g "$(id -gn "$SERVICE_USER")" "$SCRATCH/work"
}

# One device out of several, as fast as all of them (RAID 0): what was there before is gone together, or not at all.
stripe() {
  local array=/dev/md/$LABEL old
  if ! command -v mdadm >/dev/null; then
    say "there is no mdadm: of $#, only $1 is used" >&2
    echo "$1"
    return
  fi
  for old in $(lsblk -nro TYPE,PATH "$@" | awk '$1 ~ /^raid/ { print $2 }' | sort -u); do
    mdadm --stop "$old" >&2 # udev may have put it together under another name
  done
  if ! mdadm --assemble "$array" "$@" >&2; then
    wipefs -qa "$@" >&2
    mdadm --create "$array" --run --level=0 --homehost=any --name=$LABEL --raid-devices=$# "$@" >&2
  fi
  udevadm settle --timeout=10 >&2 || true
  readlink -f "$array"
}

# For several devices. Where it cannot be had, one of them is used.
install_mdadm() {
  if command -v mdadm >/dev/null; then
    note "mdadm is there"
  elif apt_has mdadm && (apt_install mdadm); then
    note "mdadm installed"
  else
    : >"$WORK/reason"
    note "no mdadm: of several disks of an instance store, one is going to be used"
  fi
}
