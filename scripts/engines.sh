#!/usr/bin/env bash
# Real engines on loopback, from packages: for the tests (scripts/test.sh runs a set of its own), and for whoever wants to
# try them.
#
#   engines.sh [--replicated] up [--fresh] [--only ENGINE,...] [--small-disk NODE=SIZE]
#   engines.sh [--replicated] down | status | env
#   engines.sh [--replicated] start | stop | kill | pause | resume | pid | log | fill | unfill | cut | uncut | empty NODE...
#
# Two sets, which can run side by side:
#   single      one node of each engine: kafka, cassandra, postgres, s3, registry and redis (alone, under sentinels, as
#               a cluster, with TLS)
#   replicated  kafka-1 to -3, cassandra-1 to -3, postgres, redis, s3; the registry only if --only names it
#
# up       installs what is missing, starts what does not run, waits until each really answers, and writes the
#          addresses to HOME/env, to be sourced. --fresh wipes the data first; --small-disk gives a node a disk of its
#          own of that size in memory (root only), so that it can run full: --small-disk kafka-3=256M.
# start    starts nodes again and waits until they answer; stop asks them to end; kill is kill -9; pause and resume are
#          SIGSTOP and SIGCONT; log prints the name of the log; fill leaves no room on a small disk, unfill gives it back;
#          cut keeps all from reaching a node, empty loses what it kept.
#
# HOME is .cache/engines, or .cache/engines/replicated, with the folders data, log, run and tls. To run another set:
#   CHAT4ALL_ENGINES_HOME         another folder
#   CHAT4ALL_ENGINES_PORT_OFFSET  a number added to every port
#   CHAT4ALL_ENGINES_CACHE        where the jars are kept (.cache/engines/lib)
#   CHAT4ALL_ENGINES_TIMEOUT      how many seconds a node may take to answer (300)
#   CHAT4ALL_ENGINES_ROOMY        1 to measure: Kafka and Cassandra with larger heaps and all of the JVM's compilers, which
#                                 is faster once it is warm; without it they start fast and stay small
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
here=$root/scripts/engines
for part in versions lib redis postgres kafka cassandra s3 registry; do
  # shellcheck source=/dev/null
  . "$here/$part.sh"
done

usage() { sed -n '2,/^set /{/^#/{s/^# \{0,1\}//;p}}' "$0" >&2; exit 2; }

set=single command="" fresh="" only="" names=()
declare -A small_disks=()
while [ $# != 0 ]; do
  case $1 in
    --replicated) set=replicated ;;
    --fresh) fresh=yes ;;
    --only) only=${2//,/ } && shift ;;
    --small-disk) small_disks[${2%%=*}]=${2#*=} && shift ;;
    -*) usage ;;
    *) [ -n "$command" ] && names+=("$1") || command=$1 ;;
  esac
  shift
done
engines=${only:-redis postgres kafka cassandra s3 registry}
[ "$set" = single ] || engines=${only:-redis postgres kafka cassandra s3}

# shellcheck disable=SC2034
offset=${CHAT4ALL_ENGINES_PORT_OFFSET:-0}
cache=${CHAT4ALL_ENGINES_CACHE:-$root/.cache/engines/lib}
home=${CHAT4ALL_ENGINES_HOME:-$root/.cache/engines}
[ "$set" = single ] || home=${CHAT4ALL_ENGINES_HOME:-$root/.cache/engines/replicated}
mkdir -p "$cache" "$home"/{data,log,run}
home=$(cd "$home" && pwd) cache=$(cd "$cache" && pwd)

# Every node of the set, running or not.
known() { for engine in redis postgres kafka cassandra s3 registry; do "${engine}_nodes" | xargs -n 1; done; }

# bring_up ENGINE: from nothing, or from a node missing, to all nodes answering.
bring_up() {
  local engine=$1 nodes node running=yes began
  began=$(now)
  read -ra nodes <<<"$("${engine}_nodes" | xargs)"
  for node in "${nodes[@]}"; do alive "$node" || running=""; done
  if [ -z "$running" ]; then
    "${engine}_install"
    for node in "${nodes[@]}"; do alive "$node" || start "$node"; done
    if declare -F "${engine}_form" >/dev/null; then "${engine}_form" "${nodes[@]}"; fi
  fi
  for node in "${nodes[@]}"; do wait_for "$node" "${engine}_ready" "$node"; done
  "${engine}_env" >"$home/run/$engine.env"
  say "$engine answers after $(since "$began")${running:+ (it was running)}"
}

start() { "$(engine_of "$1")_start" "$1"; }

# The addresses of the engines whose nodes all run.
write_env() {
  local engine node
  for engine in redis postgres kafka cassandra s3 registry; do
    [ -e "$home/run/$engine.env" ] || continue
    for node in $("${engine}_nodes"); do alive "$node" || continue 2; done
    cat "$home/run/$engine.env"
  done >"$home/env.part"
  mv "$home/env.part" "$home/env"
}

up() {
  local engine node failed="" began
  began=$(now)
  declare -A jobs=()
  [ -z "$fresh" ] || { down; wipe; }
  for node in "${!small_disks[@]}"; do small_disk "$node" "${small_disks[$node]}"; done
  for engine in $engines; do
    declare -F "${engine}_nodes" >/dev/null || die "no engine is called $engine"
    bring_up "$engine" &
    jobs[$engine]=$!
  done
  for engine in $engines; do wait "${jobs[$engine]}" || failed+=" $engine"; done
  write_env
  [ -z "$failed" ] || die "not all is up:$failed"
  say "all is up after $(since "$began"); source $home/env"
}

down() {
  local node
  for node in $(known); do stop "$node" & done
  wait
  for node in $(known); do rm -f "$home/run/$node.pid"; done
  rm -f "$home/run/"*.env "$home/env"
}

wipe() {
  local node
  for node in $(known); do
    ! mountpoint -q "$home/data/$node" || umount "$home/data/$node"
  done
  rm -rf "$home/data" && mkdir "$home/data"
}

# small_disk NODE SIZE: mounts a disk of its own over the node's data, unless there is one. It lasts until --fresh.
small_disk() {
  local folder=$home/data/$1
  ! mountpoint -q "$folder" || return 0
  ! alive "$1" || die "$1 runs already: a small disk must be there before its data (up --fresh --small-disk)"
  rm -rf "$folder" && mkdir "$folder"
  mount -t tmpfs -o "size=$2" "chat4all-$1" "$folder" || die "no disk can be mounted here: --small-disk needs root and the right to mount"
}

# fill NODE: nothing more fits on its small disk. unfill gives the room back.
fill() {
  mountpoint -q "$home/data/$1" || die "$1 has no small disk (up --small-disk $1=SIZE)"
  dd if=/dev/zero of="$home/data/$1/ballast" bs=64k 2>/dev/null || true
}
unfill() { rm -f "$home/data/$1/ballast"; }

# cut NODE: nothing reaches it any more, nor what it answers anybody; it still reaches the others, which is the meaner
# half of a partition. uncut mends it.
cut() {
  packages iptables iptables
  firewall -I "$1"
}
uncut() { firewall -D "$1"; }
firewall() {
  local address host port engine
  engine=$(engine_of "$2")
  address=$("${engine}_address" "$2")
  host=${address%:*} port=${address##*:}
  # A node with an address of its own is cut off at every port.
  local to=(-d "$host" -p tcp) from=(-s "$host" -p tcp)
  [ "$host" != 127.0.0.1 ] || to+=(--dport "$port") from+=(--sport "$port")
  iptables "$1" INPUT "${to[@]}" -j DROP
  iptables "$1" INPUT "${from[@]}" -j DROP
}

# empty NODE: what it kept is lost.
empty() {
  ! alive "$1" || die "$1 runs: kill it first"
  rm -rf "${home:?}/data/$1"
}

status() {
  local node
  for node in $(known); do node_status "$node" "$("$(engine_of "$node")_address" "$node")"; done
}

# one COMMAND NODE
one() {
  local engine
  engine=$(engine_of "$2")
  # shellcheck disable=SC2046
  among "$2" $(known) || die "no node of the $set set is called $2"
  case $1 in
    start)
      alive "$2" || start "$2"
      wait_for "$2" "${engine}_ready" "$2"
      ;;
    fill | unfill | cut | uncut | empty) "$1" "$2" ;;
    *) node_command "$1" "$2" ;;
  esac
}

case $command in
  up | down)
    exec 9>"$home/run/lock"
    flock 9 # two of these at once would start everything twice
    "$command"
    ;;
  status) status ;;
  env) cat "$home/env" ;;
  start | stop | kill | pause | resume | pid | log | fill | unfill | cut | uncut | empty)
    [ ${#names[@]} != 0 ] || usage
    each "$command" "${names[@]}"
    ;;
  *) usage ;;
esac
