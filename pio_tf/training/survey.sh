# What is installed on a machine that pio-tf did not make. Prints NAME, a tab, and a value per line. Changes nothing.
#
# Arguments: SPARK_HOME and PIO_HOME if the user has named them, else empty words.

say() { # NAME VALUE: a directory below the home directory begins with ~/, which is the same on every machine
  local value=$2
  [[ $value != "$HOME"/* ]] || value='~'/${value#"$HOME"/}
  printf '%s\t%s\n' "$1" "$value"
}

first() { # FILE DIRECTORY…: print the first directory that has the file
  local file=$1 directory
  shift
  for directory; do
    if [[ -n $directory && -e $directory/$file ]]; then
      echo "$directory"
      return
    fi
  done
}

in_home() { # PATH: ~/x as a path
  echo "${1/#\~\//$HOME/}"
}

shopt -s nullglob
running=$(ps -eo args 2>/dev/null | sed -n 's/.*[ :]\(\/[^ :]*\)\/jars\/\*.*org\.apache\.spark\.deploy\..*/\1/p' | head -n 1)
program=$(command -v pio)
spark=$(first bin/spark-submit "$(in_home "$1")" "${SPARK_HOME-}" /usr/local/spark /opt/spark* ~/spark* ~/opt/spark* "$running")
pio=$(first bin/pio "$(in_home "$2")" "${PIO_HOME-}" "${program%/bin/pio}" /usr/local/pio /opt/{PredictionIO,pio}* ~/{PredictionIO,pio}* \
  ~/opt/{PredictionIO,pio}*)

if [[ -n $spark ]]; then
  say spark_home "$spark"
  say spark_version "$(sed -n '1s/^Spark \([^ ]*\).*/\1/p' "$spark/RELEASE" 2>/dev/null)"
  if [[ -x $spark/sbin/start-all.sh ]]; then say start_all "$spark/sbin/start-all.sh"; fi
fi

java=${JAVA_HOME:+$JAVA_HOME/bin/java}
java=${java:-$(command -v java)}
if [[ -x $java ]]; then
  say java_home "$(dirname "$(dirname "$(readlink -f "$java")")")"
  say java_version "$("$java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p' | head -n 1)"
fi

starts='org.apache.spark.deploy\|/sbin/start-\(all\|master\|slave\|worker\)'
while read -r unit; do say starts_spark "unit ${unit##*/}"; done < <(
  grep -lis "$starts" /etc/systemd/system/*.service /lib/systemd/system/*.service
)
if crontab -l 2>/dev/null | grep -q '^@reboot.*spark'; then say starts_spark "crontab"; fi
if grep -qs '^[^#]*spark' /etc/rc.local; then say starts_spark "/etc/rc.local"; fi

if [[ -n $pio ]]; then
  say pio_home "$pio"
  assemblies=("$pio"/lib/pio-assembly-*.jar)
  version=${assemblies[0]##*/pio-assembly-}
  version=${version%.jar}
  real=$(basename "$(readlink -f "$pio")")
  [[ -n $version ]] || version=$(sed -n 's/^PredictionIO-\([0-9][0-9.]*\).*/\1/p' <<<"$real")
  say pio_version "$version"
  if [[ -r $pio/conf/pio-env.sh ]]; then say pio_env "$(base64 -w 0 "$pio/conf/pio-env.sh")"; fi
  timeout 20 find -L ~ /opt /usr/local -maxdepth 4 -name engine.json -not -path "$pio/*" -not -path '*/.*' 2>/dev/null | sort -u | head -n 6 |
    while read -r found; do say engine "$(dirname "$found")"; done
fi
exit 0
