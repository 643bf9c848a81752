#!/bin/bash
# As root, a user of a machine could damage the computer that the sandbox runs on. So there is only what the bootstrap
# script does about Spark's secret, by the script's own functions; a power-off; and a line in the log and on the console.
set -- "$*"
case "${1#-n }" in
  "systemctl poweroff" | poweroff)
    : >@root@/power-off # the supervisor looks for it
    exit
    ;;
  "sh -c cat >/usr/local/sbin/pio-tf-follow-driver.new"*)
    cat >@root@/follow-driver.new && mv @root@/follow-driver.new @root@/follow-driver # the machine runs it
    exit
    ;;
  "sh -c cat >/etc/systemd/system/pio-tf-scheduled.service"*)
    cat >@root@/scheduled.service.new && mv @root@/scheduled.service.new @root@/scheduled.service # as above, at each boot
    exit
    ;;
  "sh -c systemctl disable pio-tf-scheduled.service"*)
    rm -f @root@/scheduled.service
    exit
    ;;
  "tee -a /var/log/pio-tf.log /dev/console") exec tee -a @root@/pio-tf.log @root@/console.log ;;
esac
if [ "${1% put}" != "-n /usr/local/sbin/pio-tf-bootstrap authenticate" ]; then
  echo "sudo: a machine of the sandbox shares this computer, so it has no root" >&2
  exit 1
fi
. @modules@/bootstrap/common.sh
CONFIG=@root@ STATE=@root@ SERVICE_USER=
. @modules@/bootstrap/services.sh
spark_home() { echo @root@/home/spark; }
chown() { :; }
systemctl() {
  local pid
  pid=$(cat @root@/spark.pid 2>/dev/null) && kill -0 "$pid" 2>/dev/null || return 1
  [ "$1" = restart ] || return 0
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done # the sandbox starts it again
}
mkdir -p "$STATE/spark"
if [[ $1 == *" put" ]]; then authenticate put; else authenticate; fi
