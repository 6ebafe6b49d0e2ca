#!/usr/bin/env bash
# Measures the server on engines that it starts afresh for this, beside itself on embedded ones, and writes docs/results/.
# Usage: bench-engines.sh [flags of `chat4all-bench run`...]
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)" # thousands of sockets on both sides
scripts/setup.sh build
cargo build --release --locked -p chat4all -p chat4all-bench
# A set of its own: what tests leave behind costs the others time.
export CHAT4ALL_ENGINES_HOME=$PWD/.cache/engines/bench CHAT4ALL_ENGINES_PORT_OFFSET=2000 CHAT4ALL_ENGINES_ROOMY=1
part=$(mktemp)
trap 'rm -f "$part"; scripts/engines.sh down' EXIT
scripts/engines.sh up --fresh --only kafka,cassandra,postgres,redis
# shellcheck source=/dev/null
. "$CHAT4ALL_ENGINES_HOME/env"
bench=${CARGO_TARGET_DIR:-target}/release/chat4all-bench
store_of() {
  case $1 in
    cassandra) echo "$CHAT4ALL_TEST_CASSANDRA_URL/{run}?replication=1" ;;
    postgres) echo "$CHAT4ALL_TEST_POSTGRES_URL?schema={run}" ;;
  esac
}
export CHAT4ALL_BENCH_LOG_URL="$CHAT4ALL_TEST_KAFKA_URL/{run}" CHAT4ALL_BENCH_BUS_URL="$CHAT4ALL_TEST_REDIS_URL?prefix={run}"
measure() { "$bench" run --out "$part" "$@" && tail -n +2 "$part" >>"$report"; }
for store in ${CHAT4ALL_BENCH_STORES:-cassandra postgres}; do
  CHAT4ALL_BENCH_STORE_URL=$(store_of "$store")
  export CHAT4ALL_BENCH_STORE_URL
  report=docs/results/bench-kafka-$store.md
  echo "# On Kafka, $store and Redis (scripts/bench-engines.sh${*:+ $*})" >"$report"
  "$bench" run --only throughput-8 --rounds 2 >/dev/null # JVMs are slow at first
  measure --only throughput-8 throughput-1 accept drain "$@"
  for rate in 500 2000; do measure --only latency --set rate=$rate "$@"; done
  for processes in 1 2 4; do
    measure --only throughput-8 --gateways $processes --routers $processes "$@"
  done
  measure --only failover --gateways 2 --routers 2 "$@"
  measure --only history-1m "$@"
done
