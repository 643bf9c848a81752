# What follows a run: the commands of train.on_success, and the message about its end if no client sends it. The copy of
# driver.sh in a run's directory has these functions, too.

grace=10 # seconds after a run's end in which a client may begin to follow it
followed_for=90 # seconds that a renewal by such a client counts: see renewing in driver_runs.py

after_success() { # ID: run the commands for a success; the lock stays held, and the run alive
  [[ -s on_success ]] && success "$1" || return
  launch on_success on_success.log || return
  settle
  echo "exit=$status ended=$(date +%s.%N)" >on_success.new && mv on_success.new on_success.ended
}

notify() { # ID: once the run has ended, send the message if no client does; descriptor 4 has its facts and its places
  local now followed waited
  exec 6>>"$home/notifying" && flock -s 6 || return
  while alive "$1"; do sleep 1; done
  # A client that follows a run renews this file every 30 s. Another one may be about to begin.
  for ((waited = 0; ; waited++)); do
    [[ ! -L told ]] || return 0
    read -r now _ </proc/uptime
    followed=$(cat follower 2>/dev/null)
    [[ $followed =~ ^[0-9]+$ ]] || followed=-$followed_for
    ((waited < grace || ${now%.*} - followed < followed_for)) || break
    sleep 1
  done
  [[ $(claim "$1" driver) == driver ]] || return 0
  # run_message.py limits the time of each place to 10 s.
  timeout -k 1 30 python3 run_message.py <&4 >/dev/null 2>notify.problem && return
  [[ -s notify.problem ]] || echo "python3 ended with an error" >notify.problem
}
