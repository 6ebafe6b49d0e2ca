#!/usr/bin/env bash
# Builds the release binaries and blows a storm over the server; arguments go to `chat4all-bench chaos`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build
cargo build --release --locked -p chat4all -p chat4all-bench
exec "${CARGO_TARGET_DIR:-target}/release/chat4all-bench" chaos "$@"
