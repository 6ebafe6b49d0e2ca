#!/usr/bin/env bash
# Fuzzes frames, cursors and records, a minute each. Usage: fuzz.sh [SECONDS [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
targets=("${@:2}")
[ ${#targets[@]} != 0 ] || targets=(frames cursors records)
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
for target in "${targets[@]}"; do
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=4096
done
