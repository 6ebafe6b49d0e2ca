#!/usr/bin/env bash
# Everything that must hold before a change lands. Ends with the number of tests; an ignored one is a failure, for
# a check that does not run proves nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build && scripts/setup.sh foreign || exit 1
out=$(mktemp)
# Engines of its own, made afresh: what earlier runs left in them costs Kafka and Cassandra time.
export CHAT4ALL_ENGINES_HOME=$PWD/.cache/engines/tests CHAT4ALL_ENGINES_PORT_OFFSET=1000
trap 'rm -f "$out"; scripts/engines.sh down' EXIT
failed=0
step() { echo; echo "== $*"; }

step "format"; cargo fmt --all --check || failed=1
step "lints"; cargo clippy --workspace --all-targets --locked --quiet -- -D warnings || failed=1
step "engines"; scripts/engines.sh up --fresh || failed=1
# shellcheck source=/dev/null
[ ! -e "$CHAT4ALL_ENGINES_HOME/env" ] || . "$CHAT4ALL_ENGINES_HOME/env"
step "tests"; cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$out"; [ "${PIPESTATUS[0]}" = 0 ] || failed=1
step "foreign clients"; scripts/foreign.sh 2>&1 | tee -a "$out"; [ "${PIPESTATUS[0]}" = 0 ] || failed=1

read -r passed broken ignored < <(awk '/^test result:/ { p += $4; f += $6; i += $8 } END { print p+0, f+0, i+0 }' "$out")
echo
if [ "$ignored" != 0 ]; then echo "$ignored tests were ignored: an engine or a tool is missing"; failed=1; fi
if [ "$passed" = 0 ]; then echo "no test ran"; failed=1; fi
if [ "$failed" != 0 ] && [ "$broken" = 0 ]; then echo "a step above failed"; broken=1; fi
echo "$passed passed, $broken failed"
exit "$failed"
