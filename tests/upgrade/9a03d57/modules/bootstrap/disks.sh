# The instance store: fast, wiped at every stop, and not there on every instance type. So it is looked for at every boot,
# and nothing waits for it: without it, the same directories are on the root disk.
SCRATCH=$STATE/scratch
LABEL=pio-tf

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

# Mounts what there is on $SCRATCH. Says what it has done.
mount_scratch() {
  local devices device
  mkdir -p "$SCRATCH"
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
    if [ "$(blkid -s LABEL -o value "$device" || true)" != $LABEL ] || ! mount -o noatime "$device" "$SCRATCH"; then
      wipefs -qa "$device"
      mkfs.ext4 -q -F -m 0 -E nodiscard -L $LABEL "$device"
      mount -o noatime "$device" "$SCRATCH"
    fi
    note "$SCRATCH is on $device ($(lsblk -dnro SIZE "$device")B)"
  fi
  give_scratch
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
    rm -f "$WORK/reason"
    note "no mdadm: of several disks of an instance store, one is going to be used"
  fi
}
