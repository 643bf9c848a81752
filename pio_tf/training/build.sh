# Runs `pio build` and keeps its log, for bash on the driver. build.py puts the variables build, engine and pio before
# this text. The input is the Perl program that hides secrets in each line, and knows them: it never reaches the disk.
# shellcheck shell=bash disable=SC2154 # the variables are build.py's

umask 077
builds=$HOME/.pio-tf/builds
redact=$(cat)
mkdir -p "$builds/$build" && : >"$builds/$build/log" || exit
# The directory's names sort by time.
find "$builds" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n +31 | while IFS= read -r old; do rm -rf "$old"; done
# shellcheck disable=SC2016 # the login shell expands them
command='umask 022; cd "$1" && exec "$2" build'
bash -lc "$command" bash "$engine" "$pio" </dev/null 2>&1 | perl <(printf %s "$redact") | tee "$builds/$build/log"
exit "${PIPESTATUS[0]}"
