#!/usr/bin/env bash
# Blows a storm over a cluster: its processes and engines are killed, frozen, cut off and filled under load (the schedule
# is crates/bench/storms/cluster.txt), its clients cut. Then everything that was promised is compared with what is there,
# and the one dead letter that was planted must be the only one.
# Usage: chaos-cluster.sh [--store cassandra|postgres] [ARGUMENT of `chat4all-bench chaos`...]
set -euo pipefail
cd "$(dirname "$0")/.."
store=cassandra
if [ "${1:-}" = --store ]; then store=$2 && shift 2; fi
scripts/setup.sh build
scripts/setup.sh topics # kcat
cargo build --release --locked -p chat4all -p chat4all-bench
target=${CARGO_TARGET_DIR:-target}/release
scripts/cluster.sh up --fresh --store "$store" --small-disk kafka-3=1G -- --auth-limits off --log-level warn
trap 'scripts/cluster.sh down' EXIT
eval "$(scripts/cluster.sh env)"

# A command that nobody can read: version 1, then rubbish.
brokers=${CHAT4ALL_CLUSTER_LOG_URL#kafka://}
rubbish=.cache/cluster/rubbish
printf '\001\377\377' >"$rubbish"
kcat -P -b "${brokers%%[/?]*}" -t messages -p 0 "$rubbish" # a file is one record

nodes=cassandra-1,cassandra-2,cassandra-3
[ "$store" = cassandra ] || nodes=postgres
report=docs/results/chaos-$store.md
"$target/chat4all-bench" chaos --cluster scripts/cluster.sh --url "$CHAT4ALL_CLUSTER_URL" --store-nodes "$nodes" \
  --clients 16 --conversations 6 --rate 5 --burst 2000 --report "$report" "$@"

letters=$("$target/chat4all" dead-letters list --json --data .cache/cluster/data/api-1 | wc -l)
echo "| dead letters beside the planted one | $((letters - 1)) |" | tee -a "$report"
[ "$letters" = 1 ] || { echo "there are $letters dead letters instead of the planted one" >&2; exit 1; }
