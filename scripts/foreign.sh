#!/usr/bin/env bash
# Clients that are not ours: Python (websockets, HTTP) and Node (ws).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh foreign
cargo build --locked --quiet -p chat4all
target=${CARGO_TARGET_DIR:-target}
scripts/with-server.sh "$target/debug/chat4all" --auth-limits off -- \
  bash -c '.cache/foreign/bin/python tests/foreign/client.py && NODE_PATH=.cache/node/node_modules node tests/foreign/client.cjs'
