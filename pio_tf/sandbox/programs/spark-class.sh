#!/bin/bash
# bin/spark-class for Spark 2.4. Spark 3's waits for a marker before the command, which the launcher of 2.4 does not print.
export SPARK_HOME="${SPARK_HOME:-$(cd "$(dirname "$0")/.." && pwd)}"
. "$SPARK_HOME/bin/load-spark-env.sh"
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command=()
while IFS= read -r -d '' word; do
  command+=("$word")
done < <(
  # shellcheck disable=SC2086
  "$java" -Xmx128m $SPARK_LAUNCHER_OPTS -cp "$SPARK_HOME/jars/*" org.apache.spark.launcher.Main "$@"
  printf '%d\0' $?
)
status=${command[-1]}
[ "$status" = 0 ] || exit "$status"
exec "${command[@]:0:${#command[@]}-1}"
