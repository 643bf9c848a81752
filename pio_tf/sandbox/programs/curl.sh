#!/bin/bash
# EC2's metadata service, as far as programs on a machine of the sandbox ask it for what only AWS knows: the instance's
# id, and the mark of the schedule that has started it. For everything else, the computer's own curl.
url=${*: -1}
answer() { # STATUS [TEXT]
  printf 'HTTP/1.1 %s\r\nDate: %s\r\nServer: EC2ws\r\n\r\n%s' "$1" "$(LC_ALL=C /bin/date -u '+%a, %d %b %Y %T GMT')" "${2-}"
}
case $url in
  http://169.254.169.254/latest/api/token) echo token ;;
  http://169.254.169.254/latest/meta-data/instance-id) root=@root@ && answer "200 OK" "${root##*/}" ;;
  http://169.254.169.254/latest/meta-data/tags/instance/pio-tf:scheduled-start)
    if [[ -s @root@/@mark@ ]]; then answer "200 OK" "$(<@root@/@mark@)"; else answer "404 Not Found"; fi
    ;;
  http://169.254.169.254/*) exit 22 ;;
  *) exec /usr/bin/curl "$@" ;;
esac
