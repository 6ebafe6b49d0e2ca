# shellcheck shell=bash disable=SC2154 # set, home, cache and offset come from the script that reads this
# What every engine needs: installing, starting a process that outlives the shell, waiting, signalling.
# A node is one process: `kafka-2` is the second node of the engine `kafka`. Its data, log and pid are in
# $home/data/NODE, $home/log/NODE.log and $home/run/NODE.pid.

# now: microseconds. since THEN: seconds with one decimal.
now() { echo "${EPOCHREALTIME/[.,]/}"; }
since() {
  local tenths=$((($(now) - $1) / 100000))
  echo "$((tenths / 10)).$((tenths % 10)) s"
}

say() { echo "engines: $*" >&2; }
die() { say "$*"; exit 1; }

engine_of() { echo "${1%%-*}"; }
number_of() { [[ $1 =~ -([0-9]+)$ ]] && echo "${BASH_REMATCH[1]}" || echo 1; }
port() { echo $(($1 + offset)); }
# either SINGLE REPLICATED: what belongs to the set.
either() { if [ "$set" = single ]; then echo "$1"; else echo "$2"; fi; }
# among WORD WORD...: is the first one of the others?
among() { [[ " ${*:2} " = *" $1 "* ]]; }

# packages COMMAND PACKAGE [COMMAND PACKAGE]...: installs the Debian packages whose commands are missing, at once.
packages() {
  local missing=() sudo=""
  while [ $# != 0 ]; do
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} != 0 ] || return 0
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "installing ${missing[*]}"
  (
    flock 8 # one apt at a time
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
    $sudo "${install[@]}" >/dev/null 2>&1 || { $sudo apt-get update -qq && $sudo "${install[@]}" >/dev/null; }
  ) 8>"$home/run/apt.lock"
}

# find_java LOWEST [HIGHEST]: prints the java of the oldest Java installed that will do.
find_java() {
  local release version best=0 found=""
  for release in ${JAVA_HOME:+"$JAVA_HOME/release"} /usr/lib/jvm/*/release; do
    [ -x "${release%/release}/bin/java" ] || continue
    version=$(sed -n 's/^JAVA_VERSION="\(1\.\)\?\([0-9]*\).*/\2/p' "$release")
    if [ "${version:-0}" -ge "$1" ] && [ "$version" -le "${2:-999}" ] && { [ "$best" = 0 ] || [ "$version" -lt "$best" ]; }; then
      best=$version found=${release%/release}/bin/java
    fi
  done
  [ "$best" != 0 ] && echo "$found"
}

# java_of LOWEST HIGHEST: the same, installing Debian's where there is none.
java_of() {
  local version
  find_java "$1" "$2" && return
  for version in $(seq "$1" "$2"); do
    if packages "java-$version-missing" "openjdk-$version-jre-headless" 2>/dev/null; then
      find_java "$1" "$2" && return
    fi
  done
  die "no Java from $1 to $2 was found under JAVA_HOME or /usr/lib/jvm, and Debian has no package of one here: install it first"
}

# heap SMALL ROOMY: options of a JVM.
heap() {
  case ${CHAT4ALL_ENGINES_ROOMY:-} in
    "") echo "-Xmx$1 -XX:+UseSerialGC -XX:TieredStopAtLevel=1" ;;
    *) echo "-Xms$2 -Xmx$2 -XX:+UseSerialGC" ;;
  esac
}

# maven_jars FOLDER GROUP:ARTIFACT:VERSION...: the jars of a program with all that it depends on, made once.
maven_jars() {
  local folder=$cache/$1 artifact group name version
  shift
  [ -d "$folder" ] && return
  packages mvn maven
  say "fetching ${folder##*/}"
  (
    flock 8 # Maven's own cache does not stand two writers
    [ ! -d "$folder" ] || exit 0
    rm -rf "$folder.part" && mkdir -p "$folder.part"
    {
      echo '<project><modelVersion>4.0.0</modelVersion><groupId>chat4all</groupId><artifactId>engine</artifactId><version>1</version><dependencies>'
      for artifact in "$@"; do
        IFS=: read -r group name version <<<"$artifact"
        echo "<dependency><groupId>$group</groupId><artifactId>$name</artifactId><version>$version</version></dependency>"
      done
      echo '</dependencies></project>'
    } >"$folder.part/pom.xml"
    mvn -q -B -ntp -Dstyle.color=never -f "$folder.part/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$folder.part" >&2
    mv "$folder.part" "$folder"
  ) 8>"$cache/maven.lock"
}

# started PID: when the kernel started it, so that a pid used again is not taken for ours; fails for a dead one.
started() {
  local stat
  { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra stat <<<"${stat##*) }"
  [ "${stat[0]}" != Z ] && echo "${stat[19]}"
}

# pid_of NODE: prints its pid; fails if it does not run.
pid_of() {
  local pid since
  { read -r pid since <"$home/run/$1.pid"; } 2>/dev/null || return 1
  [ -n "$since" ] && [ "$(started "$pid")" = "$since" ] && echo "$pid"
}

alive() { pid_of "$1" >/dev/null; }

# spawn NODE COMMAND...: starts it in a session of its own, without the locks that the shell holds.
spawn() {
  local node=$1
  shift
  setsid "$@" >>"$home/log/$node.log" 2>&1 </dev/null 8>&- 9>&- &
  echo "$! $(started $!)" >"$home/run/$node.pid"
}

# signal SIGNAL NODE: to the process and its children (PostgreSQL has some).
signal() {
  local pid pids
  pid=$(pid_of "$2") || return 1
  mapfile -t pids < <(pgrep -P "$pid")
  kill "-$1" "$pid" "${pids[@]}" 2>/dev/null || true
}

# kill_hard NODE: returns when it is gone, so that it can be started again at once.
kill_hard() {
  signal KILL "$1" || return 0
  while alive "$1"; do sleep 0.02; done
}

# stop NODE: asks, and kills what has not ended after 30 seconds.
stop() {
  local node=$1 pid signal=TERM
  pid=$(pid_of "$node") || return 0
  [ "$(engine_of "$node")" != postgres ] || signal=INT # a TERM waits until every client has gone
  kill -"$signal" "$pid" 2>/dev/null
  signal CONT "$node" || true
  for _ in $(seq 300); do
    alive "$node" || return 0
    sleep 0.1
  done
  say "$node has not stopped in 30 s: killing it"
  kill_hard "$node"
}

# listening HOST:PORT: a cheap look, before a dear question is asked many times of a server that is not there yet.
listening() { (echo >"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null; }

# node_command COMMAND NODE: what is done to every node alike.
node_command() {
  case $1 in
    stop) stop "$2" ;;
    kill) kill_hard "$2" ;;
    pause) signal STOP "$2" ;;
    resume) signal CONT "$2" ;;
    pid) pid_of "$2" ;;
    log) echo "$home/log/$2.log" ;;
  esac
}

# node_status NODE ADDRESS
node_status() {
  local pid state=stopped memory=""
  if pid=$(pid_of "$1"); then
    state=$(awk '/^State:/ { print ($2 == "T" ? "paused" : "running") }' "/proc/$pid/status")
    memory=$(awk '/^VmRSS:/ { print int($2 / 1024) " MB" }' "/proc/$pid/status")
  fi
  printf '%-17s %-8s %8s %8s  %s\n' "$1" "$state" "${pid:--}" "$memory" "$2"
}

# wait_for NODE FUNCTION [ARGUMENT...]: until it succeeds; fails at once when the node has died.
wait_for() {
  local node=$1 end=$((SECONDS + ${CHAT4ALL_ENGINES_TIMEOUT:-300}))
  shift
  until "$@" >/dev/null 2>&1; do
    if ! alive "$node" || [ $SECONDS -ge $end ]; then
      say "$node $(alive "$node" && echo "does not answer" || echo "has died"); the end of $home/log/$node.log:"
      tail -n 25 "$home/log/$node.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# each COMMAND NODE...: the script's own `one` for each node, in order; but nodes that start do so all at once, for some need
# one another.
each() {
  local name pid pids=() status=0
  for name in "${@:2}"; do
    if [ "$1" = start ]; then
      one "$1" "$name" &
      pids+=($!)
    else
      one "$1" "$name"
    fi
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  return "$status"
}

# export_line NAME VALUE: a line for the env file.
export_line() { echo "export $1='${2//\'/\'\\\'\'}'"; }

# certificates: a certificate authority and a server's certificate for loopback, made once, in $home/tls.
certificates() {
  tls=$home/tls
  [ -d "$tls" ] && return
  packages openssl openssl
  (
    flock 8
    [ -d "$tls" ] || make_certificates "$tls.part" >"$home/log/openssl.log" 2>&1
    [ -d "$tls" ] || mv "$tls.part" "$tls"
  ) 8>"$home/run/tls.lock"
}

make_certificates() {
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  rm -rf "$1" && mkdir -p "$1"
  cd "$1" || return
  openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 3650 -subj "/CN=Chat4All test authority" \
    -addext keyUsage=critical,keyCertSign,cRLSign
  openssl req "${key[@]}" -keyout server.key -out server.csr -subj /CN=localhost
  cat >server.ext <<-END
	subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3,IP:::1
	basicConstraints=critical,CA:FALSE
	extendedKeyUsage=serverAuth
	END
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 3650 -extfile server.ext
  openssl pkcs12 -export -in server.pem -inkey server.key -certfile ca.pem -name server -out server.p12 -passout pass:secret
}
