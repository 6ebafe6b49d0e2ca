# shellcheck shell=bash disable=SC2154 # a part of engines.sh
# Redis in the three shapes that the bus speaks to, and one with TLS and a password.
# Single set: redis; redis-primary and redis-replica under redis-sentinel-1 to -3; redis-cluster-1 to -3; redis-tls.

redis_nodes() {
  echo redis
  [ "$set" = replicated ] || echo redis-primary redis-replica redis-sentinel-{1..3} redis-cluster-{1..3} redis-tls
}

redis_port() {
  case $1 in
    redis) port "$(either 7301 7401)" ;;
    redis-primary) port 7311 ;;
    redis-replica) port 7312 ;;
    redis-sentinel-*) port "732$(number_of "$1")" ;;
    redis-cluster-*) port "733$(number_of "$1")" ;;
    redis-tls) port 7341 ;;
  esac
}

redis_address() { echo "127.0.0.1:$(redis_port "$1")"; }

redis_install() { packages redis-server redis-server redis-cli redis-tools; }

# redis_do NODE COMMAND...
redis_do() {
  local options=()
  [ "$1" != redis-tls ] || options=(--tls --cacert "$home/tls/ca.pem" -a secret --no-auth-warning)
  redis-cli "${options[@]}" -h 127.0.0.1 -p "$(redis_port "$1")" "${@:2}" 2>&1
}

redis_start() {
  local node=$1 data=$home/data/$1 conf=$home/data/$1/redis.conf extra=()
  mkdir -p "$data"
  case $node in
    redis-primary | redis-replica | redis-sentinel-*) redis_watched "$node" ;;
    *)
      {
        echo "dir $data"
        echo "appendonly yes"
        case $node in
          redis-cluster-*)
            echo "port $(redis_port "$node")"
            echo "cluster-enabled yes"
            echo "cluster-node-timeout 2000"
            ;;
          redis-tls)
            certificates
            echo "port 0"
            echo "tls-port $(redis_port "$node")"
            echo "tls-cert-file $tls/server.pem"
            echo "tls-key-file $tls/server.key"
            echo "tls-ca-cert-file $tls/ca.pem"
            echo "tls-auth-clients no"
            echo "requirepass secret"
            ;;
          *) echo "port $(redis_port "$node")" ;;
        esac
        redis_common
      } >"$conf"
      ;;
  esac
  [[ $node != redis-sentinel-* ]] || extra=(--sentinel)
  spawn "$node" redis-server "$conf" "${extra[@]}"
}

redis_common() {
  echo "bind 127.0.0.1"
  echo 'save ""'
  echo "loglevel warning"
}

# A primary, a replica and their sentinels write to their own files who is the primary now. While one of the sentinels
# lives, those files tell the truth; otherwise all of them begin anew.
redis_watched() {
  local node=$1 data=$home/data/$1 conf=$home/data/$1/redis.conf other
  for other in redis-sentinel-{1..3} redis-primary redis-replica; do
    if [ "$other" != "$node" ] && [ -e "$conf" ] && alive "$other"; then return; fi
  done
  rm -rf "$data" && mkdir -p "$data"
  {
    echo "port $(redis_port "$node")"
    echo "dir $data"
    case $node in
      redis-sentinel-*)
        echo "bind 127.0.0.1"
        echo "sentinel monitor chat4all 127.0.0.1 $(redis_port redis-primary) 2"
        echo "sentinel down-after-milliseconds chat4all 1000"
        echo "sentinel failover-timeout chat4all 5000"
        echo "sentinel parallel-syncs chat4all 1"
        ;;
      *)
        redis_common
        echo "appendonly yes"
        echo "repl-diskless-sync-delay 0"
        [ "$node" != redis-replica ] || echo "replicaof 127.0.0.1 $(redis_port redis-primary)"
        ;;
    esac
  } >"$conf"
}

redis_ping() { [[ $(redis_do "$1" ping) =~ PONG|LOADING ]]; }

# redis_form NODE...: makes the cluster of its three nodes, once.
redis_form() {
  local n nodes=()
  among redis-cluster-1 "$@" || return 0
  for n in 1 2 3; do
    wait_for "redis-cluster-$n" redis_ping "redis-cluster-$n"
    nodes+=("$(redis_address "redis-cluster-$n")")
  done
  [[ $(redis_do redis-cluster-1 cluster info) =~ cluster_known_nodes:1[^0-9] ]] || return 0
  redis-cli --cluster create "${nodes[@]}" --cluster-replicas 0 --cluster-yes >>"$home/log/redis-cluster-1.log" 2>&1
}

redis_ready() {
  case $1 in
    redis-replica | redis-primary) # either may be the primary after a failover
      [[ $(redis_do "$1" info replication) =~ role:master|master_link_status:up ]]
      ;;
    redis-sentinel-*) # it knows a primary, its replica and the two other sentinels
      [ "$(redis_do "$1" sentinel master chat4all | awk '/^(flags|num-slaves|num-other-sentinels)$/ { getline v; gsub("\r", "", v); print v }' | xargs)" = "master 1 2" ]
      ;;
    redis-cluster-*) [[ $(redis_do "$1" cluster info) =~ cluster_state:ok ]] ;;
    *) [ "$(redis_do "$1" set chat4all:engines:probe 1)" = OK ] ;;
  esac
}

redis_env() {
  local bus
  bus=redis://$(redis_address redis)
  if [ "$set" = replicated ]; then
    export_line CHAT4ALL_CLUSTER_BUS_URL "$bus"
    return
  fi
  export_line CHAT4ALL_TEST_REDIS_URL "$bus"
  export_line CHAT4ALL_TEST_REDIS_SENTINEL_URL "redis+sentinel://$(redis_address redis-sentinel-1),$(redis_address redis-sentinel-2),$(redis_address redis-sentinel-3)/chat4all"
  export_line CHAT4ALL_TEST_REDIS_CLUSTER_URL "redis+cluster://$(redis_address redis-cluster-1),$(redis_address redis-cluster-2),$(redis_address redis-cluster-3)"
  export_line CHAT4ALL_TEST_REDIS_TLS_URL "rediss://:secret@localhost:$(redis_port redis-tls)?ca=$home/tls/ca.pem"
}
