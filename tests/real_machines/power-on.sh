#!/usr/bin/env bash
# Becomes a running machine; it ends with it. In a mount namespace of its own, so that nothing is left to unmount.
# usage: power-on.sh CGROUP NETWORK-NAMESPACE BASE DISK ARGUMENT...
#   CGROUP     a path, made below every hierarchy that systemd asks for
#   BASE       root file system that all machines share
#   DISK       directory with what this machine has changed of it (upper), and a scratch directory (work)
#   ARGUMENT   of systemd-nspawn
set -euo pipefail
cgroup=$1 network=$2 base=$3 disk=$4
shift 4

# Without a cgroup of its own, systemd inside would see, and kill, what others have in this one.
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  if [ -e "$hierarchy/cgroup.procs" ]; then
    mkdir -p "$hierarchy/$cgroup"
    echo 0 >"$hierarchy/$cgroup/cgroup.procs"
  fi
done

root=$disk/root
mkdir -p "$root" "$disk/upper" "$disk/work" /run/systemd/nspawn
mount -t overlay -o "lowerdir=$base,upperdir=$disk/upper,workdir=$disk/work" overlay "$root"
mount -t tmpfs -o mode=0755 tmpfs /run/systemd/nspawn
# Without nsenter, /sys/class/net inside would show this computer's network.
exec nsenter --net="/run/netns/$network" systemd-nspawn --quiet --register=no --keep-unit --boot \
  --console=read-only --network-namespace-path="/run/netns/$network" --resolv-conf=off --timezone=off \
  --link-journal=no --directory="$root" "$@"
