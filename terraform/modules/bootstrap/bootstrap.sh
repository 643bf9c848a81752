# Prepares a machine of a pio-tf cluster on Ubuntu or Debian: Java, Spark, and a systemd unit for master or worker.
# The settings stand above. May be run any number of times.
#
# cloud-init runs user data at the very first boot only, and a machine can be stopped before it is through. So the script
# installs itself as a unit first, which does the work at this boot, and at every later one until it is done.
set -euo pipefail

SELF=/usr/local/sbin/pio-tf-bootstrap
DONE=/var/lib/pio-tf/bootstrapped

log() { echo "pio-tf: $*"; }

install_myself() {
  install -D -m 0755 "$0" "$SELF"
  cat >/etc/systemd/system/pio-tf-bootstrap.service <<UNIT
[Unit]
Description=Prepare this machine for pio-tf (once)
Wants=network-online.target
After=network-online.target
ConditionPathExists=!$DONE
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=$SELF
Restart=on-failure
RestartSec=20

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable pio-tf-bootstrap.service
  systemctl start --no-block pio-tf-bootstrap.service
  log "follow with: journalctl -fu pio-tf-bootstrap"
}

# An image of the user's own may bring its Java; Spark 2 and PredictionIO need 8.
install_java() {
  if command -v java >/dev/null; then
    log "using $(command -v java)"
    return
  fi
  apt_install openjdk-8-jre-headless
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  # A stop in the middle of an installation leaves packages half configured; unattended-upgrades may hold the lock.
  dpkg --configure -a
  apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update
  apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 install -y --no-install-recommends "$@"
}

# To /opt/spark/VERSION, with a link at SPARK_HOME. Whatever is at SPARK_HOME already is left alone.
install_spark() {
  if [ -x "$SPARK_HOME/bin/spark-class" ]; then
    log "using Spark in $SPARK_HOME"
    return
  fi
  if [ -e "$SPARK_HOME" ] && [ ! -L "$SPARK_HOME" ]; then
    log "$SPARK_HOME exists, but holds no Spark (no bin/spark-class): remove it, or give another spark.home" >&2
    return 1
  fi
  local target="/opt/spark/$SPARK_VERSION" work
  if [ ! -x "$target/bin/spark-class" ]; then
    rm -rf /opt/spark/.unpack
    mkdir -p /opt/spark/.unpack
    work=/opt/spark/.unpack
    fetch "$SPARK_URL" "$work/spark.tgz"
    if [ "$SPARK_SHA512" != - ]; then
      echo "$SPARK_SHA512  $work/spark.tgz" | sha512sum --check --status || {
        log "$SPARK_URL does not have the SHA-512 $SPARK_SHA512" >&2
        return 1
      }
    fi
    mkdir "$work/spark"
    tar -xzf "$work/spark.tgz" -C "$work/spark" --strip-components=1 --no-same-owner
    [ -x "$work/spark/bin/spark-class" ] || {
      log "$SPARK_URL holds no Spark (no bin/spark-class)" >&2
      return 1
    }
    # pio-tf logs in as this user, and writes spark-defaults.conf on the driver.
    chown -R "$SSH_USER:" "$work/spark/conf"
    rm -rf "$target"
    mv "$work/spark" "$target"
    rm -rf "$work"
  fi
  mkdir -p "$(dirname "$SPARK_HOME")"
  ln -sfn "$target" "$SPARK_HOME"
  log "installed Spark $SPARK_VERSION in $SPARK_HOME"
}

fetch() {
  local url=$1 file=$2
  case $url in
  s3://*)
    command -v aws >/dev/null || apt_install awscli
    aws s3 cp --only-show-errors "$url" "$file"
    ;;
  *)
    command -v curl >/dev/null || apt_install curl ca-certificates
    curl --fail --silent --show-error --location --retry 5 --retry-delay 10 --retry-connrefused --output "$file" "$url"
    ;;
  esac
}

# This machine's private address, which it keeps for ever.
private_ip() {
  ip -4 -o route get 169.254.169.254 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | grep . ||
    hostname -I | tr ' ' '\n' | grep -m 1 '^[0-9.]*$'
}

# Daemons by spark-class in the foreground: the scripts in sbin want SSH between the machines.
install_service() {
  local address java_home spark_home arguments
  address=$(private_ip)
  spark_home=$(readlink -f "$SPARK_HOME") # a link in somebody's home cannot be followed by the user spark
  java_home=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
  case $ROLE in
  master) arguments="master.Master --host $address --port $MASTER_PORT --webui-port $MASTER_UI_PORT" ;;
  worker) arguments="worker.Worker --host $address spark://$MASTER_HOST:$MASTER_PORT" ;;
  esac
  id spark >/dev/null 2>&1 || useradd --system --home-dir /var/lib/pio-tf/spark --shell /usr/sbin/nologin spark
  install -d -o spark -g spark /var/lib/pio-tf/spark /var/lib/pio-tf/spark/work
  # Worker memory stays Spark's default: the machine's total less 1 GiB. The disk outlives every run: clean it up.
  cat >/etc/systemd/system/pio-tf-spark.service <<UNIT
[Unit]
Description=Spark $ROLE of a pio-tf cluster
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
User=spark
Environment="JAVA_HOME=$java_home"
Environment="SPARK_HOME=$spark_home"
Environment="SPARK_WORKER_DIR=/var/lib/pio-tf/spark/work"
Environment="SPARK_WORKER_OPTS=-Dspark.worker.cleanup.enabled=true"
WorkingDirectory=/var/lib/pio-tf/spark
ExecStart="$spark_home/bin/spark-class" org.apache.spark.deploy.$arguments
Restart=always
RestartSec=5
SuccessExitStatus=143
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable pio-tf-spark.service
  systemctl restart --no-block pio-tf-spark.service
}

main() {
  if [ "$0" != "$SELF" ]; then
    install_myself
    return
  fi
  case $SPARK_HOME in
  \~/*) SPARK_HOME="$(getent passwd "$SSH_USER" | cut -d: -f6)/${SPARK_HOME#\~/}" ;;
  esac
  install_java
  install_spark
  # The driver runs `pio train`, and no service at all.
  if [ "$ROLE" != driver ]; then
    install_service
  fi
  install -D /dev/null "$DONE"
  log "this machine is ready as $ROLE"
}

main
