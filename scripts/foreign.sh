#!/usr/bin/env bash
# Clients that are not ours, Python (websockets, HTTP) and Node (ws), on every set of engines that is there: the
# embedded ones, and those whose addresses the environment has (make engines; source .cache/engines/env). Where the log
# is Kafka, the public topics are read by two more; the tables are read by the stores' own shells.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh foreign
scripts/setup.sh stored
cargo build --workspace --bins --locked --quiet
target=${CARGO_TARGET_DIR:-target}
run=foreign$$

clients='.cache/foreign/bin/python tests/foreign/client.py && NODE_PATH=.cache/node/node_modules node tests/foreign/client.cjs'

# on SET CLIENTS FLAG...: the clients against a server with these flags
on() {
  echo "-- $1"
  local clients=$2
  shift 2
  scripts/with-server.sh "$target/debug/chat4all" --auth-limits off "$@" -- bash -c "$clients"
}

# with STORE URL: the same on Kafka and Redis and that store
with() {
  if [ -z "${CHAT4ALL_TEST_KAFKA_URL:-}" ] || [ -z "${CHAT4ALL_TEST_REDIS_URL:-}" ] || [ -z "${CHAT4ALL_TEST_REGISTRY_URL:-}" ] || [ -z "$2" ]; then
    echo "test foreign clients on Kafka, $1, Redis ... ignored"
    echo "test result: ok. 0 passed; 0 failed; 1 ignored"
    return
  fi
  export CHAT4ALL_KAFKA=${CHAT4ALL_TEST_KAFKA_URL#kafka://} CHAT4ALL_REGISTRY_URL=$CHAT4ALL_TEST_REGISTRY_URL CHAT4ALL_TOPIC_PREFIX=$run-$1
  on "Kafka, $1, Redis" "$clients && scripts/topics.sh && .cache/cqlsh/bin/python tests/foreign/stored.py" --partitions 4 --schema-registry-url "$CHAT4ALL_TEST_REGISTRY_URL" --secret "$(printf 'not a secret %.0s' 1 2 3 4)" \
    --log-url "$CHAT4ALL_TEST_KAFKA_URL/$run-$1" --bus-url "$CHAT4ALL_TEST_REDIS_URL?prefix=$run-$1" --store-url "$3"
}

on embedded "$clients"
cassandra=${CHAT4ALL_TEST_CASSANDRA_URL:-}; cassandra=${cassandra#cassandra://}
CHAT4ALL_STORE_SHELL=cqlsh CHAT4ALL_STORE_AT="${cassandra%%:*} ${cassandra##*:} $run" \
  with cassandra "${CHAT4ALL_TEST_CASSANDRA_URL:-}" "${CHAT4ALL_TEST_CASSANDRA_URL:-}/$run?replication=1"
CHAT4ALL_STORE_SHELL=psql CHAT4ALL_STORE_AT="${CHAT4ALL_TEST_POSTGRES_URL:-} $run" \
  with postgres "${CHAT4ALL_TEST_POSTGRES_URL:-}" "${CHAT4ALL_TEST_POSTGRES_URL:-}?schema=$run"
