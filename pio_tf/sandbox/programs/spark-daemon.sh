#!/bin/bash
# Starts Spark's master or worker with the command of bin/spark-class, which would start a JVM only to compose it.
export SPARK_HOME=@spark@
. "$SPARK_HOME/bin/load-spark-env.sh"
class=${1##*.}
options=SPARK_${class^^}_OPTS
# shellcheck disable=SC2086
exec "$JAVA_HOME/bin/java" -cp "$SPARK_HOME/conf/:$SPARK_HOME/jars/*" $SPARK_DAEMON_JAVA_OPTS ${!options} \
  "-Xmx$SPARK_DAEMON_MEMORY" "$@"
