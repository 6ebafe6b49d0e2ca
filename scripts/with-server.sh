#!/usr/bin/env bash
# Starts a server with a fresh data folder on a free port, runs a command with its URL in CHAT4ALL_SERVER and the
# folder in CHAT4ALL_DATA, and stops it. Usage: with-server.sh BINARY [SERVER FLAG...] -- COMMAND...
set -euo pipefail
binary=$1
shift
flags=()
while [ "$1" != -- ]; do flags+=("$1"); shift; done
shift
data=$(mktemp -d)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
"$binary" serve --data "$data" --listen "127.0.0.1:$port" --ops-listen "127.0.0.1:$(free_port)" "${flags[@]}" >"$data.out" 2>&1 &
server=$!
stop() { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$data" "$data.out"; }
trap stop EXIT
for _ in $(seq 200); do
  curl -fsS -o /dev/null "http://127.0.0.1:$port/ready" 2>/dev/null && break
  kill -0 "$server" 2>/dev/null || { cat "$data.out"; exit 1; }
  sleep 0.05
done
CHAT4ALL_SERVER="http://127.0.0.1:$port" CHAT4ALL_DATA="$data" "$@" || { status=$?; tail -50 "$data.out"; exit $status; }
