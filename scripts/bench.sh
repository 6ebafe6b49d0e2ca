#!/bin/sh
# Builds the release binaries and runs the benchmark; arguments go to `chat4all-bench run`.
set -eu
cd "$(dirname "$0")/.."

# 8,000 sockets need as many files in the server and in the generator.
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt 20000 ]; then
    ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
fi

cargo build --release --locked -p chat4all -p chat4all-bench
exec "${CARGO_TARGET_DIR:-target}/release/chat4all-bench" run "$@"
