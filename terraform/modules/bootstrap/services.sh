# What runs: Spark's master or worker, as a unit of systemd; on the driver nothing, and that is proved.

UNITS=/etc/systemd/system
SECRET=$CONFIG/spark-secret # root's alone; pio-tf brings it. Empty: Spark runs without authentication
SETTINGS=$STATE/spark/spark.conf
SERVER='org[.]apache[.](spark[.]deploy[.](master|worker)[.]|hadoop[.](hdfs[.]server|yarn[.]server)[.]|hadoop[.]hbase[.](master|regionserver)[.])|org[.]elasticsearch[.]bootstrap[.]|org[.]apache[.]zookeeper[.]server[.]'

install_units() {
  put $UNITS/pio-tf-bootstrap.service <<UNIT
[Unit]
Description=Prepare this machine for pio-tf, where its first boot has not come to an end
Wants=network-online.target
After=network-online.target pio-tf-boot.service
ConditionPathExists=!$DONE

[Service]
Type=oneshot
ExecStart=$SELF run
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
UNIT
  put $UNITS/pio-tf-boot.service <<UNIT
[Unit]
Description=What pio-tf does at every boot: instance store, names, host keys on the console
After=local-fs.target network.target ssh.service
Before=pio-tf-spark.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$SELF boot
TimeoutStartSec=180

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable pio-tf-bootstrap.service pio-tf-boot.service
}

# Daemons by spark-class in the foreground: the scripts in sbin want SSH between the machines. A JVM that is asked to end
# exits with 143; asked by anybody but systemd, that is no reason to stay away. 78: there is no Spark, nothing to repeat.
install_service() {
  local before after
  before=$(cat "$STATE/service" 2>/dev/null || true)
  put $UNITS/pio-tf-spark.service <<UNIT
[Unit]
Description=Spark $ROLE of a pio-tf cluster
Wants=network-online.target
After=network-online.target pio-tf-boot.service
StartLimitIntervalSec=0

[Service]
User=$SERVICE_USER
WorkingDirectory=$STATE/spark
ExecStart=$SELF spark
Restart=on-failure
RestartSec=5
SuccessExitStatus=143
RestartForceExitStatus=143
RestartPreventExitStatus=78
LimitNOFILE=65536
LimitNPROC=32768
TasksMax=infinity

[Install]
WantedBy=multi-user.target
UNIT
  give_settings
  systemctl daemon-reload
  systemctl enable pio-tf-spark.service
  after=$(cat "$SELF" $UNITS/pio-tf-spark.service | sha256sum; readlink -f "$(spark_home)"; java_home)
  if [ "$before" = "$after" ] && systemctl is-active --quiet pio-tf-spark.service; then
    note "pio-tf-spark runs, unchanged"
    return
  fi
  echo "$after" >"$STATE/service"
  systemctl restart --no-block pio-tf-spark.service
  note "pio-tf-spark"
}

# authenticate [put]: print the checksum of this machine's secret. put: standard input is the secret from now on.
authenticate() {
  if [ "${1:-}" = put ]; then
    (umask 077 && put "$SECRET")
    give_settings
    if systemctl is-active --quiet pio-tf-spark.service; then
      systemctl restart pio-tf-spark.service # the client waits for Spark as it is from now on
    fi
  fi
  echo "pio-tf secret: $(sha256sum 2>/dev/null <"$SECRET" | cut -d ' ' -f 1)"
}

# The settings of master and worker, for the user that runs them: without them, run_spark waits.
give_settings() {
  [ -e "$SECRET" ] && [ -d "$STATE/spark" ] || return 0
  (
    umask 077
    {
      cat "$(spark_home)/conf/spark-defaults.conf" 2>/dev/null || true
      printf '\nspark.master.rest.enabled false\n'
      if [ -s "$SECRET" ]; then
        printf 'spark.authenticate true\nspark.authenticate.secret %s\n' "$(cat "$SECRET")"
        # Spark before 2.2 knows only the encryption of SASL.
        printf '%s true\n' spark.network.crypto.enabled spark.authenticate.enableSaslEncryption \
          spark.network.sasl.serverAlwaysEncrypt
      fi
    } | put "$SETTINGS"
  )
  chown "$SERVICE_USER:" "$SETTINGS"
}

spark_home() { home_of spark; }

# Machines that start together are ready at different times, and a worker that finds no master tries again only after 5 to
# 15 s (INITIAL_REGISTRATION_RETRY_INTERVAL_SECONDS in Spark's Worker). It goes by itself from there, if it comes to that.
wait_for_master() {
  local until=$((SECONDS + 60))
  until timeout 1 bash -c "</dev/tcp/$MASTER_HOST/$MASTER_PORT" 2>/dev/null || [ "$SECONDS" -ge "$until" ]; do
    sleep 0.2
  done
}

# A master and a worker run little code, often just once: the compiler for code that runs for days takes half of the CPU
# time of their start. Spark's shuffle service, which is off by default, runs for days in a worker. spark-env.sh wins.
start_quickly() {
  export SPARK_LAUNCHER_OPTS=-XX:TieredStopAtLevel=1 # of a JVM that puts the command line together
  grep -q '^[[:blank:]]*spark\.shuffle\.service\.enabled[[:blank:]:=]*true' "$SETTINGS" ||
    export SPARK_DAEMON_JAVA_OPTS=-XX:TieredStopAtLevel=1
}

# The daemon itself. What the machine has, it has at this start: another instance type needs no other file.
run_spark() {
  local address home memory
  home=$(spark_home)
  [ -x "$home/bin/spark-class" ] || { echo "there is no Spark in $home" >&2; exit 78; }
  until [ -r "$SETTINGS" ]; do sleep 0.2; done # a new machine's client has not come yet
  address=$(private_ip)
  JAVA_HOME=$(java_home)
  SPARK_HOME=$(readlink -f "$home")
  export JAVA_HOME SPARK_HOME SPARK_LOCAL_IP=$address SPARK_LOCAL_DIRS=$SCRATCH/local
  start_quickly
  if [ "$ROLE" = master ]; then
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master --properties-file "$SETTINGS" \
      --host "$address" --port "$MASTER_PORT" --webui-port "$MASTER_UI_PORT"
  fi
  # All but 1 GiB, as Spark itself has it: pio-tf's executors are sized for that. The disk outlives every run: clean up.
  memory=$(awk '/^MemTotal:/ { print int($2 / 1024) - 1024 }' /proc/meminfo)
  export SPARK_WORKER_OPTS=-Dspark.worker.cleanup.enabled=true
  wait_for_master
  exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker --properties-file "$SETTINGS" \
    --host "$address" --work-dir "$SCRATCH/work" \
    --memory "$((memory > 512 ? memory : 512))m" --cores "$(nproc)" "spark://$MASTER_HOST:$MASTER_PORT"
}

# The driver runs `pio train`, and no service at all: not even one that an image has brought.
check_no_service() {
  local found
  found=$(systemctl list-unit-files --type=service --state=enabled --no-legend --no-pager |
    awk '{ print $1 }' | grep -E '^(pio-tf-spark|spark|hadoop|hbase|zookeeper|elasticsearch)' | paste -sd ' ' || true)
  [ -z "$found" ] || fail "the driver must run no service, and starts at boot: $found (systemctl disable --now $found)"
  found=$(grep -lazE "$SERVER" /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3 | paste -sd ' ' || true)
  [ -z "$found" ] || fail "the driver must run no service, and a server of Spark, Hadoop, HBase, ZooKeeper or" \
    "Elasticsearch runs: process $found"
  note "none"
}

# As cloud-init does at a first boot, for a console that has lost them: pio-tf compares them before it trusts a machine.
show_host_keys() {
  local key
  ls /etc/ssh/ssh_host_*_key.pub >/dev/null 2>&1 || return 0
  to_console "$(
    echo "-----BEGIN SSH HOST KEY FINGERPRINTS-----"
    for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -f "$key"; done
    echo "-----END SSH HOST KEY FINGERPRINTS-----"
    echo "-----BEGIN SSH HOST KEY KEYS-----"
    cat /etc/ssh/ssh_host_*_key.pub
    echo "-----END SSH HOST KEY KEYS-----"
  )"
}
