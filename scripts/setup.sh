#!/usr/bin/env bash
# Installs what a target needs on a Debian machine with the Rust toolchain, and says what and why.
# Usage: setup.sh build | foreign | topics | stored | judge. Does nothing where everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=.cache
mkdir -p "$cache"

say() { echo "setup: $*" >&2; }

# need COMMAND PACKAGE REASON
need() {
  command -v "$1" >/dev/null 2>&1 || install "$2" "$3"
}

# need_file FILE PACKAGE REASON
need_file() {
  [ -e "$1" ] || install "$2" "$3"
}

install() {
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "installing $1: $2"
  $sudo apt-get install -y -qq "$1" >/dev/null 2>&1 || { $sudo apt-get update -qq && $sudo apt-get install -y -qq "$1" >/dev/null; }
}

venv() { # venv NAME PACKAGE...
  local dir=$cache/$1
  shift
  need python3 python3 "the checks drive the server from Python"
  if [ "$(cat "$dir/packages" 2>/dev/null)" != "$*" ]; then
    say "installing into $dir: $*"
    python3 -m venv "$dir" 2>/dev/null || { need ensurepip-missing python3-venv "virtual environments of Python"; python3 -m venv "$dir"; }
    "$dir/bin/pip" install -q --disable-pip-version-check "$@"
    echo "$*" >"$dir/packages"
  fi
}

command -v cargo >/dev/null 2>&1 || { say "the Rust toolchain (cargo 1.95 or later) is missing; see https://rustup.rs"; exit 1; }
need cc build-essential "SQLite, the cryptography and Kafka's client are compiled from C"
need pkg-config pkg-config "it tells where OpenSSL is"
need_file /usr/include/openssl/ssl.h libssl-dev "Kafka's client speaks TLS through it; it is linked in, the binary needs none"

case "${1:-build}" in
  build) ;;
  foreign)
    venv foreign websockets==15.0.1
    need node nodejs "a foreign client is written for Node"
    need npm npm "it installs the client's one package"
    if [ ! -d "$cache/node/node_modules/ws" ]; then
      say "installing into $cache/node: ws"
      mkdir -p "$cache/node"
      npm install --silent --no-audit --no-fund --prefix "$cache/node" ws@8.18.3 >/dev/null
    fi
    ;;
  topics)
    venv topics "confluent-kafka[json,schemaregistry]==2.16.1"
    need kcat kcat "a second foreign client of the public topics"
    ;;
  stored)
    venv cqlsh cqlsh==6.2.0
    need psql postgresql-client "PostgreSQL's own shell reads the tables"
    ;;
  judge) venv judge schemathesis==4.32.5 ;;
  *) say "unknown target $1"; exit 2 ;;
esac
