# What is installed: each in /opt/NAME/VERSION, with a link to the version in use. COMPONENTS has a line for each: name,
# version, link, SHA-512 (or the https address of the published one), addresses to fetch it from; tabs between.

STALL_SECONDS=${PIO_TF_STALL_SECONDS:-60} # with less than 1 KiB a second, after which a download is begun once more

# What shows that it is there.
marker() {
  case $1 in
  java) echo bin/java ;;
  spark) echo bin/spark-class ;;
  hadoop) echo bin/hadoop ;;
  hbase) echo bin/hbase ;;
  pio) echo bin/pio ;;
  esac
}

# Whether the image, or somebody, has put it there: it is left alone.
brought() {
  local name=$1 home=$2
  [ -e "$home/$(marker "$name")" ] && [[ $(readlink "$home") != /opt/$name/* ]]
}

# Whether this very archive is in /opt already.
unpacked() {
  local name=$1 version=$2 sha512=$3 at=/opt/$1/$2
  [ -e "$at/$(marker "$name")" ] && { [[ $sha512 == http* ]] || [ "$(cat "$at/.sha512" 2>/dev/null)" = "$sha512" ]; }
}

# The line of a component. Bash itself looks for it, some twenty times a boot: a program would have to be started each time.
component() {
  local line
  while IFS= read -r line; do
    [[ $line != "$1"$'\t'* ]] || echo "$line"
  done <<<"$COMPONENTS"
}

home_of() {
  local home
  IFS=$'\t' read -r _ _ home _ <<<"$(component "$1")"
  expand "$home"
}

# All that is missing, at once.
download_all() {
  local name version home sha512 urls running=() failed='' one
  mkdir -p "$STATE/downloads"
  command -v curl >/dev/null || apt_install curl ca-certificates
  while IFS=$'\t' read -r name version home sha512 urls; do
    if [ -z "$urls" ] || brought "$name" "$(expand "$home")" || unpacked "$name" "$version" "$sha512"; then
      continue
    fi
    #shellcheck disable=SC2086 # addresses hold no spaces
    download "$name-$version" "$sha512" $urls >"$WORK/download.$name" &
    running+=("$name:$!")
  done < <(grep . <<<"$COMPONENTS")
  for one in "${running[@]}"; do
    wait "${one##*:}" || failed+="${failed:+; }$(cat "$WORK/download.${one%%:*}")"
  done
  [ -z "$failed" ] || fail "$failed"
  note "${#running[@]} downloaded"
}

# download NAME SHA512 URL...: to $STATE/downloads/NAME, from every address in turn. A part is gone on with, for as long as
# there is more of it after each round: a slow server, or one that drops its connections, is no reason to give up. A wrong
# file is never kept. Says why nothing came of it. pio-tf reads NAME.part, NAME.part.head and NAME.from meanwhile.
download() {
  local name=$1 sha512=$2 file=$STATE/downloads/$1 round=0 rounds=3 most=0 size url said wrong=' '
  local -A reasons=()
  shift 2
  if [[ $sha512 == http* ]] && ! sha512=$(published "$sha512"); then
    echo "$name: $sha512"
    return 1
  fi
  while [ "$round" -lt "$rounds" ]; do
    [ ${#reasons[@]} = 0 ] || sleep $((round * 5 + 1))
    round=$((round + 1)) rounds=3
    for url in "$@"; do
      [[ $wrong != *" $url "* ]] || continue
      echo "$url" >"$file.from"
      if said=$(download_from "$url" "$file" "$sha512" 2>&1); then
        mv -f "$file.part" "$file"
        rm -f "$file.part.head"
        echo "$sha512" >"$file.sha512"
        return
      fi
      reasons[$url]=$said
      if [[ $said == *"does not have the SHA-"* ]]; then
        wrong+="$url "
      elif [[ $said != *" error: 4"* && $said != *"(23)"* ]]; then
        rounds=5 # a server that is busy, or a network that fails, may recover; a missing file or a full disk (23) does not
      fi
      size=$(stat -c %s "$file.part" 2>/dev/null || echo 0)
      if [ "$size" -gt "$most" ]; then
        most=$size round=0
      fi
    done
  done
  # The last word of each address.
  said=
  for url in "$@"; do
    said+="${said:+; }$url: ${reasons[$url]}"
  done
  echo "$name: $said"
  return 1
}

# The file at an address becomes FILE.part, whole and right, or a reason is said.
download_from() {
  local url=$1 part=$2.part digest=$3 again=0 said kind
  kind=$((${#digest} * 4)) # of SHA-512, or of SHA-256, which is all that some publish
  [ ! -s "$part" ] || again=1
  said=$(get "$url" "$part" 2>&1) || [ "$again" = 1 ] || { echo "$said"; return 1; } # a whole part has no rest to get
  if "sha${kind}sum" --check --status <<<"$digest  $part"; then
    return
  fi
  if [ -n "$said" ] && [[ $said != *" error: 416"* ]]; then # 416: it is whole, and wrong
    echo "$said"
    return 1
  fi
  rm -f "$part"
  if [ "$again" = 1 ]; then # what was there before may have been the wrong half
    download_from "$@"
    return
  fi
  echo "does not have the SHA-$kind $digest"
  return 1
}

# One address into one file, where the file ends. No --retry: curl would begin with what it has got in vain once more.
get() {
  local url=$1 file=$2 status=0
  [[ $url != s3://* ]] || url=$(s3_url "$url")
  set -- curl --fail --silent --show-error --location --connect-timeout 20 --speed-limit 1024 \
    --speed-time "$STALL_SECONDS" --dump-header "$file.head" --output "$file"
  "$@" --continue-at - "$url" || status=$?
  # 33, 36: this server cannot go on where another has ended. 22: a range beyond the end, or no such file.
  if [ "$status" = 33 ] || [ "$status" = 36 ]; then
    rm -f "$file"
    status=0
    "$@" "$url" || status=$?
  fi
  return "$status"
}

# The SHA-512 that Apache has published, from its own address and not from a mirror's. Over the years it was beside the
# archive under three names, and written in three ways: read_sha512 knows them.
published() {
  local suffix text missing=
  for suffix in .sha512 .mds .sha; do
    set -- "${1%.sha512}"
    if [[ $1 != https://* ]]; then
      missing="$1 is not https"
      break
    fi
    if ! text=$(curl --fail --silent --show-error --location --proto =https --connect-timeout 20 --retry 3 \
      "$1$suffix" 2>&1); then
      missing+="${missing:+; }$1$suffix: $text"
    elif read_sha512 <<<"$text"; then
      return
    else
      missing+="${missing:+; }$1$suffix holds none"
    fi
  done
  echo "no SHA-512 is known for it, and Apache's cannot be had ($missing): give one in pio-tf.hcl"
  return 1
}

# "HASH  FILE", "FILE: GROUPS OF DIGITS" over several lines, or that for every algorithm, as "FILE: SHA512 = …".
read_sha512() {
  local text
  text=$(tr -s '[:space:]' ' ' | tr '[:upper:]' '[:lower:]')
  if [[ $text =~ sha512[^=]*=\ *([0-9a-f ]+) || $text =~ ^\ *([0-9a-f]{128})(\ |$) || $text =~ :\ ([0-9a-f ]+)$ ]]; then
    text=${BASH_REMATCH[1]// /}
    [[ $text =~ ^[0-9a-f]{128} ]] && echo "${BASH_REMATCH[0]}"
  else
    return 1
  fi
}

# install_component NAME: unpack it beside other versions, and switch the link.
install_component() {
  local name version home sha512 urls target archive unpack
  IFS=$'\t' read -r name version home sha512 urls <<<"$(component "$1")"
  home=$(expand "$home")
  target=/opt/$name/$version
  if [ "$name" = elasticsearch ]; then
    configure_elasticsearch "$version" "$home"
    return
  fi
  if brought "$name" "$home"; then
    note "using what is in $home"
    return
  fi
  if [ -e "$home" ] && [ ! -L "$home" ]; then
    fail "$home exists, but holds no $name (no $(marker "$name")): remove it, or give another home in pio-tf.hcl"
  fi
  if ! unpacked "$name" "$version" "$sha512"; then
    archive=$STATE/downloads/$name-$version unpack=/opt/$name/.unpack
    [ -f "$archive" ] || fail "$archive is not there"
    rm -rf "$unpack"
    mkdir -p "$unpack"
    tar -xf "$archive" -C "$unpack" --strip-components=1 --no-same-owner
    [ -e "$unpack/$(marker "$name")" ] || fail "$(cat "$archive.from") holds no $name (no $(marker "$name"))"
    check_version "$name" "$version" "$unpack"
    cp "$archive.sha512" "$unpack/.sha512"
    give_configuration "$name" "$unpack"
    rm -rf "$target"
    mv "$unpack" "$target"
    rm -f "$archive" "$archive.sha512" "$archive.from"
  fi
  switch "$name" "$target" "$home"
  note "$version in $home"
}

check_version() {
  local line
  if [ "$1" = spark ] && [ -f "$3/RELEASE" ]; then
    line=$(head -n 1 "$3/RELEASE")
    [[ $line == "Spark $2 "* || $line == "Spark $2" ]] || fail "what was fetched is \"$line\", not Spark $2"
  fi
}

# pio-tf logs in as this user, and writes the files of clients; `pio build` writes into PIO_HOME.
give_configuration() {
  local owned
  case $1 in
  spark | hbase) owned=conf ;;
  hadoop) owned=etc ;;
  pio) owned=. ;;
  *) return 0 ;;
  esac
  mkdir -p "$2/$owned"
  [ "$1" != spark ] || put "$2/conf/spark-env.sh" <<ENVIRONMENT
# What Spark spills goes to the instance store, where the machine has one.
[ ! -d "$SCRATCH/local" ] || export SPARK_LOCAL_DIRS=\${SPARK_LOCAL_DIRS:-$SCRATCH/local}
ENVIRONMENT
  chown -R "$SSH_USER:" "$2/$owned"
}

# The directory that pio-env.sh names, with what a client must agree on. Nothing of Elasticsearch runs here.
configure_elasticsearch() {
  local target=/opt/elasticsearch/$1 home=$2
  if [ -e "$home" ] && [ ! -L "$home" ]; then
    note "using what is in $home"
    return
  fi
  mkdir -p "$target/config"
  printf '# Of the Elasticsearch that runs elsewhere.\ncluster.name: "%s"\n' "$ELASTICSEARCH_NAME" |
    put "$target/config/elasticsearch.yml"
  switch elasticsearch "$target" "$home"
  note "configuration only, in $home"
}

# The link changes at once: there is no moment without one. The version before is kept, and remembered.
switch() {
  local name=$1 target=$2 home=$3 before
  before=$(readlink "$home" || true)
  [ "$before" != "$target" ] || return 0
  mkdir -p "$(dirname "$home")" "$STATE/previous"
  [ -z "$before" ] || echo "$before" >"$STATE/previous/$name"
  ln -sfn "$target" "$home.new"
  mv -T "$home.new" "$home"
}

# Back to the version that was in use before; a second time, forward again.
roll_back() {
  local name version home rest before
  IFS=$'\t' read -r name version home rest <<<"$(component "$1")"
  [ -n "$name" ] || fail "$1 is not installed by pio-tf on a $ROLE; what is: $(cut -f 1 <<<"$COMPONENTS" | paste -sd ' ')"
  home=$(expand "$home")
  before=$(cat "$STATE/previous/$name" 2>/dev/null) || fail "there is no version of $name before this one"
  [ -d "$before" ] || fail "$before, the version of $name before this one, is not there any more"
  switch "$name" "$before" "$home"
  note "$home is ${before##*/} again"
}

# Java 8: a tarball where pio-tf.hcl names one, else the image's Java whatever it is, else the distribution's package.
install_java() {
  if [ -n "$(component java)" ]; then
    install_component java
    link_java
  elif ! java -version >/dev/null 2>&1; then
    if ! apt_has openjdk-8-jre-headless; then
      fail "$(release PRETTY_NAME) has no package openjdk-8-jre-headless (or its package sources" \
        "cannot be reached): add \`java {}\` to the software block, for Eclipse Temurin's, or name an image that has Java"
    fi
    apt_install openjdk-8-jre-headless
    note "openjdk-8-jre-headless"
  else
    note "using $(command -v java) ($(java -version 2>&1 | head -n 1))"
  fi
  java_home >"$WORK/java-home"
  put /etc/profile.d/pio-tf.sh <<PROFILE
export JAVA_HOME="$(cat "$WORK/java-home")"
PROFILE
}

# Where login shells and commands over SSH find it.
link_java() {
  local home
  home=$(home_of java)
  if [ ! -e /usr/local/bin/java ] || [ -L /usr/local/bin/java ]; then
    ln -sfn "$home/bin/java" /usr/local/bin/java
  fi
}

apt_has() {
  apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 update >&2 || true
  [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]
}

java_home() {
  local program
  if [ -n "$(component java)" ]; then
    home_of java
  else
    program=$(readlink -f "$(command -v java)")
    echo "${program%/*/*}"
  fi
}

# s3://BUCKET/KEY as an address for curl: signed as the machine's role, if it has one, else as it is (a bucket that lets
# its VPC endpoint in). Signature Version 4, in the query.
s3_url() {
  python3 - "$1" "$REGION" <<'PYTHON'
import datetime, hashlib, hmac, json, sys, urllib.parse, urllib.request

METADATA = "http://169.254.169.254/latest/"


def ask(path, method="GET", **headers):
    request = urllib.request.Request(METADATA + path, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=2) as answer:
        return answer.read().decode()


def role():
    token = {"X-aws-ec2-metadata-token": ask("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})}
    names = ask("meta-data/iam/security-credentials/", **token)
    return json.loads(ask("meta-data/iam/security-credentials/" + names.split()[0], **token))


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def endpoint(region):
    return "s3.%s.amazonaws.com%s" % (region, ".cn" if region.startswith("cn-") else "")


def sign(bucket, key, region, keys, now):
    host = endpoint(region)
    path = "/" + bucket + "/" + urllib.parse.quote(key)
    day, time = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = "%s/%s/s3/aws4_request" % (day, region)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": keys["AccessKeyId"] + "/" + scope,
        "X-Amz-Date": time,
        "X-Amz-Expires": "3600",
        "X-Amz-Security-Token": keys["Token"],
        "X-Amz-SignedHeaders": "host",
    }
    text = "&".join("%s=%s" % (name, urllib.parse.quote(query[name], safe="")) for name in sorted(query))
    request = "\n".join(["GET", path, text, "host:" + host, "", "host", "UNSIGNED-PAYLOAD"])
    digest = hashlib.sha256(request.encode()).hexdigest()
    secret = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in (day, region, "s3", "aws4_request"):
        secret = mac(secret, part)
    signature = mac(secret, "\n".join(["AWS4-HMAC-SHA256", time, scope, digest])).hex()
    return "https://%s%s?%s&X-Amz-Signature=%s" % (host, path, text, signature)


bucket, _, key = sys.argv[1][len("s3://"):].partition("/")
try:
    print(sign(bucket, key, sys.argv[2], role(), datetime.datetime.now(datetime.timezone.utc)))
except (OSError, ValueError, KeyError, IndexError):
    print("https://%s/%s/%s" % (endpoint(sys.argv[2]), bucket, urllib.parse.quote(key)))
PYTHON
}
