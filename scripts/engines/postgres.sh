# shellcheck shell=bash disable=SC2154 # a part of engines.sh
# PostgreSQL: `chat4all` is superuser without a password on loopback, `tls_user` comes in only by TLS with its password.

postgres_nodes() { echo postgres; }
postgres_port() { port "$(either 5544 5644)"; }
postgres_address() { echo "127.0.0.1:$(postgres_port)"; }

postgres_bin() {
  local bin
  for bin in "/usr/lib/postgresql/$postgres_version/bin" /usr/lib/postgresql/*/bin; do
    [ -x "$bin/postgres" ] && echo "$bin" && return
  done
  echo /nowhere
}

postgres_install() { packages "$(postgres_bin)/postgres" "postgresql-$postgres_version" pgrep procps; }

# It refuses to run as root.
postgres_as() {
  [ "$(id -u)" != 0 ] || echo setpriv --reuid=postgres --regid=postgres --clear-groups --inh-caps=-all
}

# Its folder: beside the others, unless its user cannot pass the folders above.
postgres_folder() {
  local folder=$home/data/postgres
  mkdir -p "$folder"
  # shellcheck disable=SC2046
  if ! $(postgres_as) test -x "$folder"; then
    folder=/var/tmp/chat4all-postgres-$(echo "$home" | cksum | cut -d' ' -f1)
    [ -e "$home/data/postgres/moved" ] || say "the user postgres cannot pass $home: its data go to $folder"
    [ -e "$home/data/postgres/moved" ] || rm -rf "$folder" # what a set wiped since has left
    mkdir -p "$folder" && echo "$folder" >"$home/data/postgres/moved"
  fi
  echo "$folder"
}

postgres_start() {
  local folder bin as pid
  bin=$(postgres_bin)
  read -ra as <<<"$(postgres_as)"
  folder=$(postgres_folder)
  [ "$(id -u)" != 0 ] || chown postgres: "$folder"
  certificates
  if [ ! -e "$folder/data/made" ]; then
    rm -rf "$folder/data"
    (cd / && "${as[@]}" "$bin/initdb" -D "$folder/data" -U chat4all -A trust --no-locale -E UTF8 --no-sync >>"$home/log/postgres.log" 2>&1)
    cat >"$folder/data/pg_hba.conf" <<-END
	hostssl all tls_user 127.0.0.1/32 scram-sha-256
	hostssl all tls_user ::1/128      scram-sha-256
	host    all tls_user all          reject
	host    all all      127.0.0.1/32 trust
	host    all all      ::1/128      trust
	END
    (umask 077 && cp "$tls/server.key" "$tls/server.pem" "$folder/data/")
    [ "$(id -u)" != 0 ] || chown postgres: "$folder/data/server.key" "$folder/data/server.pem"
    touch "$folder/data/made"
  fi
  # A killed one may stay a zombie for a while under an init that is slow to reap, and would be taken for living.
  if pid=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null) && ! started "$pid" >/dev/null; then rm -f "$folder/data/postmaster.pid"; fi
  (cd / && spawn postgres "${as[@]}" "$bin/postgres" -D "$folder/data" -h 127.0.0.1 -p "$(postgres_port)" -k "" \
    -c max_connections=200 -c shared_buffers=64MB -c ssl=on -c ssl_cert_file=server.pem -c ssl_key_file=server.key)
}

# postgres_do DATABASE SQL
postgres_do() {
  "$(postgres_bin)/psql" -h 127.0.0.1 -p "$(postgres_port)" -U chat4all -d "$1" -X -A -t -q -v ON_ERROR_STOP=1 -c "$2"
}

# The database and the user of TLS, once.
postgres_form() {
  wait_for postgres postgres_do postgres "select 1"
  [ -z "$(postgres_do postgres "select 1 from pg_database where datname = 'chat4all'")" ] || return 0
  postgres_do postgres "create role tls_user login superuser password 'secret'"
  postgres_do postgres "create database chat4all"
}

postgres_ready() { [ "$(postgres_do chat4all "select 1")" = 1 ]; }

postgres_env() {
  local url
  url=postgres://chat4all@$(postgres_address)/chat4all
  if [ "$set" = replicated ]; then
    export_line CHAT4ALL_CLUSTER_POSTGRES_URL "$url"
    return
  fi
  export_line CHAT4ALL_TEST_POSTGRES_URL "$url"
  export_line CHAT4ALL_TEST_POSTGRES_TLS_URL "postgres://tls_user:secret@localhost:$(postgres_port)/chat4all?sslmode=verify-full&sslrootcert=$home/tls/ca.pem"
}
