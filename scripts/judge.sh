#!/usr/bin/env bash
# schemathesis against schema/openapi.json: no server error, no answer outside the schema.
# Usage: judge.sh [EXAMPLES]; 500 examples an operation if left out.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build
scripts/setup.sh judge
cargo build --release --locked -p chat4all
examples=${1:-500}
# shellcheck disable=SC2016
EXAMPLES=$examples scripts/with-server.sh target/release/chat4all --auth-limits off --log-level warn -- bash -c '
  token=$(curl -fsS "$CHAT4ALL_SERVER/auth/register" -H "Content-Type: application/json" \
    -d "{\"username\": \"judge\", \"password\": \"judge judges\"}" | python3 -c "import json, sys; print(json.load(sys.stdin)[\"access_token\"])")
  .cache/judge/bin/schemathesis run schema/openapi.json --url "$CHAT4ALL_SERVER" \
    --header "Authorization: Bearer $token" --max-examples "$EXAMPLES" --workers 2 --phases examples,coverage,fuzzing \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
    --exclude-path /auth/logout --exclude-path /auth/password --request-timeout 20 --generation-deterministic'
