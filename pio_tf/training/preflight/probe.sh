# The facts that the driver tells about itself, for bash in a login shell: directories, disks, versions.
#
# probe.py puts variables before this text, a function about_sources, and the text of engine.sh. Each answer is a line of its own: the mark, a
# name, and values, separated by tabs.
# shellcheck disable=SC2154 # the variables are probe.py's

say() { local IFS=$'\t'; printf '%s\t%s\n' pio-tf-says "$*"; }
kind() { if [ -d "$2" ]; then say "$1" directory; elif [ -x "$2" ]; then say "$1" executable
  elif [ -e "$2" ]; then say "$1" file; else say "$1" missing; fi; }
newest() { local name=$1; shift
  say "$name" "$(find -L "$@" -printf '%T@\t%p\n' 2>/dev/null | sort -n | tail -n 1)"; }
jars=(-type f -iname '*.jar' ! -iname '*-sources.jar' ! -iname '*-javadoc.jar')
java_of() { local java=${2:+$2/bin/java}
  java=$(command -v "${java:-java}") || { say "$1" '' ''; return; }
  say "$1" "$java" "$(timeout --foreground -k 1 10 "$java" -version 2>&1 | head -c 1000 | tr '\n\t' '  ')"; }
room() { local at=$1
  until [ -e "$at" ] || [ "$at" = / ]; do at=$(dirname -- "$at"); done
  # shellcheck disable=SC2046 # four values
  say room "$1" $(timeout --foreground -k 1 5 df -k --output=avail,iavail,itotal,target -- "$at" | tail -n 1); }

java_of java "$JAVA_HOME" &
kind engine "$engine"
kind variant "$variant"
[ -f "$variant" ] && say text "$(head -c 4194304 -- "$variant" | base64 -w 0)"
newest target "$engine"/target/scala-* "${jars[@]}"
newest lib "$engine/lib" "${jars[@]}"
newest source "$engine/src" "$engine/build.sbt" -type f
is_half && say half yes
is_stale && say stale yes
kind pio "$pio"
kind submit "$spark/bin/spark-submit"
say release "$(head -n 1 "$spark/RELEASE" 2>/dev/null | tr '\t' ' ')"
for jar in "$spark"/jars/xbean-asm*-shaded-*.jar; do [ -f "$jar" ] && say class_reader "${jar##*/}"; done
for jar in "${pio%/bin/pio}"/lib/pio-assembly-*.jar; do
  [ -f "$jar" ] && say build_info "$(timeout --foreground -k 1 10 python3 -c 'import sys, zipfile
sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' "$jar" "$build_info" 2>/dev/null |
    head -c 65536 | base64 -w 0)"
done
kind hdfs "$hadoop/bin/hdfs"
# Spark reads spark-env.sh before it starts its JVM.
{ IFS= read -r spark_java; IFS= read -r scratch; } < <(
  export SPARK_HOME=$spark
  # shellcheck disable=SC1091
  [ -f "$spark/conf/spark-env.sh" ] && . "$spark/conf/spark-env.sh" >/dev/null 2>&1
  printf '%s\n' "$JAVA_HOME" "$SPARK_LOCAL_DIRS")
[ "${spark_java:-$JAVA_HOME}" = "$JAVA_HOME" ] || java_of spark_java "$spark_java" &
IFS=, read -r -a scratch <<<"${scratch:-$local_dirs}"
for directory in / "$engine" "$runs" "$basedir" "${scratch[@]}"; do room "$directory"; done
[ -z "$events" ] || kind events "$events"
about_sources
wait
say end
