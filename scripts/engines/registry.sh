# shellcheck shell=bash disable=SC2154 # a part of engines.sh
# Apicurio, a schema registry that speaks Confluent's API; it keeps its schemas in a file of H2.

registry_nodes() { echo registry; }
registry_port() { port "$(either 18081 18181)"; }
registry_address() { echo "127.0.0.1:$(registry_port)"; }

registry_install() {
  local folder=$cache/apicurio-$apicurio_version
  packages curl curl
  [ -d "$folder" ] && return
  packages mvn maven
  say "fetching ${folder##*/}"
  (
    flock 8
    [ ! -d "$folder" ] || exit 0
    rm -rf "$folder.part" && mkdir -p "$folder.part"
    mvn -q -B -ntp -Dstyle.color=never dependency:copy -Dartifact="io.apicurio:apicurio-registry-app:$apicurio_version:tar.gz:all" -DoutputDirectory="$folder.part" >&2
    tar xzf "$folder.part"/*.tar.gz -C "$folder.part"
    rm "$folder.part"/*.tar.gz
    mv "$folder.part" "$folder"
  ) 8>"$cache/maven.lock"
}

registry_start() {
  local java data=$home/data/registry
  mkdir -p "$data"
  java=$(java_of 21 25)
  spawn registry "$java" -Xmx192m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true \
    -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$(registry_port)" \
    -Dquarkus.management.host=127.0.0.1 -Dquarkus.management.port="$(($(registry_port) + 1))" -Dquarkus.log.console.level=WARN \
    -Dapicurio.storage.kind=sql -Dapicurio.storage.sql.kind=h2 \
    "-Dapicurio.datasource.url=jdbc:h2:file:$data/registry;DB_CLOSE_ON_EXIT=FALSE" \
    -Dapicurio.datasource.username=sa -Dapicurio.datasource.password=sa \
    -jar "$cache/apicurio-$apicurio_version/quarkus-run.jar"
}

registry_ready() { [[ $(curl -fs -m 5 "http://$(registry_address)/apis/ccompat/v7/subjects") = "["* ]]; }

registry_env() {
  local name=CHAT4ALL_TEST_REGISTRY_URL
  [ "$set" = single ] || name=CHAT4ALL_CLUSTER_REGISTRY_URL
  export_line $name "http://$(registry_address)/apis/ccompat/v7"
}
