#!/usr/bin/env bash
# A whole installation on this machine: the replicated engines, several processes of each role, a balancer before them.
#
#   cluster.sh up [--store cassandra|postgres] [--apis N] [--gateways N] [--routers N] [--fresh]
#                 [--small-disk NODE=SIZE] [-- FLAG OF chat4all serve...]
#   cluster.sh down | status | env
#   cluster.sh start | stop | kill | pause | resume | pid | log | fill | unfill | cut | uncut | empty NODE...
#
# Nodes are api-1, gateway-2, router-1, balancer, and those of `engines.sh --replicated`, such as kafka-2. Clients speak
# to http://127.0.0.1:8080. `up` with other numbers than before stops what is too many. Data, logs, pids, the secret and
# the balancer's configuration are in .cache/cluster (CHAT4ALL_CLUSTER_HOME), the addresses in its file `env`.
# CHAT4ALL_BINARY names another binary than target/release/chat4all; CHAT4ALL_ENGINES_PORT_OFFSET moves every port.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/engines/lib.sh
. "$root/scripts/engines/lib.sh"

usage() { sed -n '2,/^set /{/^#/{s/^# \{0,1\}//;p}}' "$0" >&2; exit 2; }

say() { echo "cluster: $*" >&2; }

PATH=$PATH:/usr/sbin # HAProxy is there
binary=${CHAT4ALL_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/chat4all}
# shellcheck disable=SC2034
offset=${CHAT4ALL_ENGINES_PORT_OFFSET:-0}
home=${CHAT4ALL_CLUSTER_HOME:-$root/.cache/cluster}
mkdir -p "$home"/{data,log,run}
home=$(cd "$home" && pwd)

command="" names=() store=cassandra apis=2 gateways=2 routers=2 flags=() engine_flags=()
while [ $# != 0 ]; do
  case $1 in
    --store) store=$2 && shift ;;
    --apis) apis=$2 && shift ;;
    --gateways) gateways=$2 && shift ;;
    --routers) routers=$2 && shift ;;
    --fresh) engine_flags+=(--fresh) ;;
    --small-disk) engine_flags+=(--small-disk "$2") && shift ;;
    --) flags=("${@:2}") && break ;;
    -*) usage ;;
    *) [ -n "$command" ] && names+=("$1") || command=$1 ;;
  esac
  shift
done

engines() { "$root/scripts/engines.sh" --replicated "$@"; }

# What `up` was told, for the commands after it.
# shellcheck source=/dev/null
if [ "$command" != up ] && [ -e "$home/settings" ]; then . "$home/settings"; fi

nodes() {
  local n
  for ((n = 1; n <= apis; n++)); do echo "api-$n"; done
  for ((n = 1; n <= gateways; n++)); do echo "gateway-$n"; done
  for ((n = 1; n <= routers; n++)); do echo "router-$n"; done
  echo balancer
}

# Each kind has ten ports; the one for operations lies a hundred above.
node_port() {
  case $1 in
    api-*) port $((8100 + $(number_of "$1"))) ;;
    gateway-*) port $((8110 + $(number_of "$1"))) ;;
    router-*) port $((8120 + $(number_of "$1"))) ;;
    balancer) port 8080 ;;
  esac
}
address() { echo "127.0.0.1:$(node_port "$1")"; }
ops_address() { echo "127.0.0.1:$(($(node_port "$1") + 100))"; }

start() {
  ulimit -n "$(ulimit -Hn)" # each socket is a file, and two of the balancer's
  case $1 in
    balancer) start_balancer ;;
    *) start_server "$1" ;;
  esac
}

# URLs and the secret go by the environment: arguments can be read by every user of the machine.
start_server() {
  local node=$1
  [ -x "$binary" ] || die "there is no $binary: run make build"
  [ -e "$home/secret" ] || (umask 077 && openssl rand -hex 32 >"$home/secret.part" && mv "$home/secret.part" "$home/secret")
  (
    eval "$(engines env)"
    export CHAT4ALL_LOG_URL=$CHAT4ALL_CLUSTER_LOG_URL CHAT4ALL_BUS_URL=$CHAT4ALL_CLUSTER_BUS_URL
    export CHAT4ALL_BLOBS_URL=$CHAT4ALL_CLUSTER_BLOBS_URL
    case $store in
      cassandra) CHAT4ALL_STORE_URL=$CHAT4ALL_CLUSTER_CASSANDRA_URL ;;
      postgres) CHAT4ALL_STORE_URL=$CHAT4ALL_CLUSTER_POSTGRES_URL ;;
      *) die "the store is cassandra or postgres, not $store" ;;
    esac
    CHAT4ALL_SECRET=$(<"$home/secret")
    export CHAT4ALL_STORE_URL CHAT4ALL_SECRET
    spawn "$node" "$binary" serve --roles "${node%-*}" --listen "$(address "$node")" --ops-listen "$(ops_address "$node")" \
      --data "$home/data/$node" --public-url "http://$(address balancer)" --trusted-proxies 127.0.0.1 "${flags[@]}"
  )
}

start_balancer() {
  balancer_conf >"$home/run/haproxy.cfg"
  haproxy -c -q -f "$home/run/haproxy.cfg" || die "HAProxy refuses $home/run/haproxy.cfg"
  spawn balancer haproxy -db -f "$home/run/haproxy.cfg"
}

# servers KIND COUNT [WITH COOKIE]: those that are ready; while none is, all of them.
servers() {
  local n
  echo "  option allbackups"
  for ((n = 1; n <= $2; n++)); do
    echo "  server $1-$n $(address "$1-$n") check${3:+ cookie $1-$n}"
    echo "  server $1-$n-unready $(address "$1-$n") backup${3:+ cookie $1-$n}"
  done
}

balancer_conf() {
  cat <<END
# Made by scripts/cluster.sh at every start.
defaults
  mode http
  option forwardfor
  option httpchk
  http-check send meth GET uri /ready ver HTTP/1.1 hdr Host chat4all
  http-check expect status 200
  timeout connect 2s
  timeout client 120s
  timeout server 120s   # longer than the longest wait of GET /v1/sync
  timeout tunnel 1h     # sockets have a heartbeat of their own
  timeout check 2s
  # What is not ready gets nothing new, but keeps its sockets. When an engine is away none is ready, though each
  # may still do much: then all are asked.
  default-server inter 500ms fall 2 rise 1
  # What was never sent may go to another server; what may have been heard only if asking twice changes nothing.
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response

frontend clients
  bind $(address balancer)
  http-request disable-l7-retry unless METH_GET   # which is HEAD, too
  http-request del-header X-Forwarded-For         # only what HAProxy itself saw is believed
  use_backend sockets_io if { path_beg /socket.io }
  use_backend gateways if { path /ws } or { path_beg /graphql }
  default_backend apis

backend apis
  balance leastconn
$(servers api "$apis")

backend gateways
  balance leastconn
$(servers gateway "$gateways")

# All requests of one session of long polling must meet the same gateway.
backend sockets_io
  balance leastconn
  cookie chat4all_gateway insert indirect nocache httponly
$(servers gateway "$gateways" cookie)
END
}

ready() {
  case $1 in
    balancer) curl -fs -m 2 -o /dev/null "http://$(address balancer)/ready" ;;
    *) curl -fs -m 2 -o /dev/null "http://$(ops_address "$1")/ready" ;;
  esac
}

env_lines() {
  local n list
  export_line CHAT4ALL_CLUSTER_URL "http://$(address balancer)"
  list=""; for ((n = 1; n <= apis; n++)); do list+=",http://$(address "api-$n")"; done
  export_line CHAT4ALL_CLUSTER_API_URLS "${list#,}"
  list=""; for ((n = 1; n <= gateways; n++)); do list+=",http://$(address "gateway-$n")"; done
  export_line CHAT4ALL_CLUSTER_GATEWAY_URLS "${list#,}"
  engines env
}

up() {
  local node began only=kafka,redis,s3,$store
  began=$(now)
  packages haproxy haproxy openssl openssl curl curl pgrep procps
  [ -x "$binary" ] || die "there is no $binary: run make build"
  if [[ " ${engine_flags[*]} " = *" --fresh "* ]]; then
    stop_servers
    rm -rf "$home/data" && mkdir "$home/data"
  fi
  engines up --only "$only" "${engine_flags[@]}"
  # What was started otherwise, or is not asked for this time, must go.
  if [[ "$(cat "$home/settings" 2>/dev/null)" != *"$(declare -p store flags)" ]]; then stop_servers; fi
  declare -p apis gateways routers store flags >"$home/settings"
  for node in "$home"/run/*.pid; do
    [ -e "$node" ] || continue
    node=$(basename "$node" .pid)
    # shellcheck disable=SC2046
    among "$node" $(nodes) || stop "$node"
  done
  if alive balancer && [ "$(balancer_conf)" != "$(<"$home/run/haproxy.cfg")" ]; then stop balancer; fi
  # The first makes the schema; the others need not race for it.
  alive api-1 || start api-1
  wait_for api-1 ready api-1
  for node in $(nodes); do alive "$node" || start "$node"; done
  for node in $(nodes); do wait_for "$node" ready "$node"; done
  env_lines >"$home/env"
  say "all is up after $(since "$began"): http://$(address balancer); source $home/env"
}

stop_servers() {
  local node
  alive balancer && stop balancer
  for node in "$home"/run/*.pid; do [ ! -e "$node" ] || stop "$(basename "$node" .pid)" & done
  wait
  rm -f "$home"/run/*.pid "$home/env"
}

down() {
  stop_servers
  engines down
}

status() {
  local node
  for node in $(nodes); do node_status "$node" "$(address "$node")"; done
  engines status
}

# one COMMAND NODE
one() {
  # shellcheck disable=SC2046
  if ! among "$2" $(nodes); then
    engines "$1" "$2"
    return
  fi
  case $1 in
    start)
      alive "$2" || start "$2"
      wait_for "$2" ready "$2"
      ;;
    *) node_command "$1" "$2" ;;
  esac
}

case $command in
  up | down)
    exec 9>"$home/run/lock"
    flock 9
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
