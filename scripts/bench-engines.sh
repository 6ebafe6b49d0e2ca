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
scripts/engines.sh up --fresh --only kafka,cassandra,postgres,redis
trap 'scripts/engines.sh down' EXIT
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
for store in ${CHAT4ALL_BENCH_STORES:-cassandra postgres}; do
  CHAT4ALL_BENCH_STORE_URL=$(store_of "$store")
  export CHAT4ALL_BENCH_STORE_URL
  report=docs/results/bench-kafka-$store
  "$bench" run --only throughput-8 --rounds 1 >/dev/null # JVMs are slow at first
  "$bench" run --only throughput-8 throughput-1 accept drain --out "$report.md" "$@"
  for rate in 500 2000; do
    "$bench" run --only latency --set rate=$rate --out "$report-latency-$rate.md" "$@"
  done
  for processes in 1 2 4; do
    "$bench" run --only throughput-8 --gateways $processes --routers $processes --out "$report-$processes.md" "$@"
  done
  "$bench" run --only failover --gateways 2 --routers 2 --out "$report-failover.md" "$@"
  "$bench" run --only history-1m --out "$report-history.md" "$@"
done
