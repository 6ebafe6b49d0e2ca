# shellcheck shell=bash disable=SC2154 # a part of engines.sh
# Kafka in KRaft mode: one broker (with a second listener for TLS and SCRAM), or three with replication 3.

kafka_nodes() { either kafka "$(echo kafka-{1..3})"; }
kafka_port() { port "$(either 9092 "$(number_of "$1")9092")"; }
kafka_controller_port() { echo $(($(kafka_port "$1") + 1)); }
kafka_sasl_port() { echo $(($(kafka_port "$1") + 2)); }
kafka_address() { echo "127.0.0.1:$(kafka_port "$1")"; }

kafka_install() {
  packages kcat kcat
  maven_jars "kafka-$kafka_version" "org.apache.kafka:kafka_2.13:$kafka_version" "org.slf4j:slf4j-simple:$slf4j_version"
}

# kafka_java HEAP ROOMY OPTION... CLASS ARGUMENT...: its command line in the array `command`.
kafka_java() {
  local java options
  java=$(java_of 17 25)
  read -ra options < <(heap "$1" "$2") && shift 2
  command=("$java" "${options[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn
    -Dorg.slf4j.simpleLogger.showDateTime=true "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"
    -Djava.net.preferIPv4Stack=true -cp "$cache/kafka-$kafka_version/*" "$@")
}

kafka_conf() {
  local node=$1 replicas=1 in_sync=1 n voters=""
  echo "process.roles=broker,controller"
  echo "node.id=$(number_of "$node")"
  echo "log.dirs=$home/data/$node/logs"
  echo "controller.listener.names=CONTROLLER"
  echo "inter.broker.listener.name=PLAINTEXT"
  local listeners
  listeners="PLAINTEXT://$(kafka_address "$node"),CONTROLLER://127.0.0.1:$(kafka_controller_port "$node")"
  if [ "$set" = replicated ]; then
    replicas=3 in_sync=2
    for n in 1 2 3; do voters+=",$n@127.0.0.1:$(kafka_controller_port "kafka-$n")"; done
    echo "controller.quorum.voters=${voters#,}"
    echo "controller.quorum.election.timeout.ms=500"
    echo "controller.quorum.fetch.timeout.ms=1000"
  else
    certificates
    echo "controller.quorum.bootstrap.servers=127.0.0.1:$(kafka_controller_port "$node")"
    listeners+=",SASL_SSL://127.0.0.1:$(kafka_sasl_port "$node")"
    echo "sasl.enabled.mechanisms=SCRAM-SHA-512"
    echo "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
    echo "ssl.keystore.type=PKCS12"
    echo "ssl.keystore.location=$tls/server.p12"
    echo "ssl.keystore.password=secret"
    echo "ssl.key.password=secret"
  fi
  echo "listeners=$listeners"
  echo "advertised.listeners=$listeners"
  echo "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"
  echo "default.replication.factor=$replicas"
  echo "min.insync.replicas=$in_sync"
  echo "offsets.topic.replication.factor=$replicas"
  echo "offsets.topic.num.partitions=4"
  echo "transaction.state.log.replication.factor=$replicas"
  echo "transaction.state.log.min.isr=$in_sync"
  echo "transaction.state.log.num.partitions=4"
  echo "share.coordinator.state.topic.replication.factor=$replicas"
  echo "share.coordinator.state.topic.min.isr=$in_sync"
  echo "group.initial.rebalance.delay.ms=0"
  echo "broker.session.timeout.ms=2000" # a killed broker cannot come back before its old session ends
  echo "broker.heartbeat.interval.ms=500"
  echo "log.cleaner.dedupe.buffer.size=4194304" # at the default of 128 MB a small heap is too small
  echo "log.cleaner.threads=1"
  echo "num.network.threads=2"
  echo "num.io.threads=4"
  echo "background.threads=2"
  echo "num.recovery.threads.per.data.dir=1"
  echo "auto.create.topics.enable=false"
}

kafka_start() {
  local node=$1 data=$home/data/$1 command format=()
  mkdir -p "$data"
  kafka_conf "$node" >"$home/run/$node.properties"
  if [ ! -e "$data/logs/meta.properties" ]; then
    kafka_java 96m 96m kafka.tools.StorageTool format -t "$kafka_cluster" -c "$home/run/$node.properties"
    [ "$set" = replicated ] || command+=(--standalone --add-scram "SCRAM-SHA-512=[name=chat4all,password=secret]")
    format=("${command[@]@Q}" "&&")
  fi
  kafka_java 192m 1g kafka.Kafka "$home/run/$node.properties"
  spawn "$node" bash -c "${format[*]} exec ${command[*]@Q}" # so that three are formatted at once
}
kafka_cluster=Y2hhdDRhbGwtZW5naW5lcw # 16 bytes in base64: "chat4all-engines"

# The broker itself says that it takes part, and holds every replica of its own in sync.
kafka_ready() {
  local node=$1 n
  n=$(number_of "$1")
  listening "$(kafka_address "$node")" || return 1
  kcat -L -m 3 -b "$(kafka_address "$node")" | awk -v n="$n" '
    $1 == "broker" && $2 == n { here = 1 }
    $1 == "partition" { split($0, p, /replicas: |, isrs: /); if (index("," p[2] ",", "," n ",") && !index("," p[3] ",", "," n ",")) behind = 1 }
    END { exit !here || behind }'
}

kafka_env() {
  if [ "$set" = replicated ]; then
    export_line CHAT4ALL_CLUSTER_LOG_URL "kafka://$(kafka_address kafka-1),$(kafka_address kafka-2),$(kafka_address kafka-3)"
    return
  fi
  export_line CHAT4ALL_TEST_KAFKA_URL "kafka://$(kafka_address kafka)"
  export_line CHAT4ALL_TEST_KAFKA_SASL_URL "kafka://chat4all:secret@127.0.0.1:$(kafka_sasl_port kafka)?security=sasl_ssl&mechanism=SCRAM-SHA-512&ca=$home/tls/ca.pem"
}
