# shellcheck shell=bash disable=SC2154 # a part of engines.sh
# Cassandra: one node, or three on 127.0.0.1 to 127.0.0.3. Its clients may use TLS or not, on the same port.

cassandra_nodes() { either cassandra "$(echo cassandra-{1..3})"; }
cassandra_port() { port "$(either 9042 9142)"; }
cassandra_host() { echo "127.0.0.$(number_of "$1")"; }
cassandra_address() { echo "$(cassandra_host "$1"):$(cassandra_port)"; }

cassandra_install() {
  packages python3 python3
  maven_jars "cassandra-$cassandra_version" "org.apache.cassandra:cassandra-all:$cassandra_version"
}

cassandra_conf() {
  local data=$home/data/$1 storage_port
  storage_port=$(cassandra_storage_port)
  cat <<-END
	cluster_name: chat4all
	num_tokens: 1
	auto_bootstrap: false
	partitioner: org.apache.cassandra.dht.Murmur3Partitioner
	# The default, periodic, loses acknowledged writes when the process is killed.
	commitlog_sync: batch
	commitlog_segment_size: 8MiB
	commitlog_total_space: 64MiB
	memtable_heap_space: 64MiB
	memtable_offheap_space: 64MiB
	key_cache_size: 4MiB
	counter_cache_size: 0MiB
	row_cache_size: 0MiB
	file_cache_size: 32MiB
	networking_cache_size: 32MiB
	file_cache_enabled: false
	native_transport_max_threads: 64
	concurrent_reads: 8
	concurrent_writes: 64
	concurrent_counter_writes: 4
	concurrent_compactors: 1
	memtable_flush_writers: 1
	hints_flush_period: 1000ms
	auto_snapshot: false
	data_file_directories: [$data/data]
	commitlog_directory: $data/commitlog
	saved_caches_directory: $data/saved
	hints_directory: $data/hints
	cdc_raw_directory: $data/cdc
	endpoint_snitch: SimpleSnitch
	seed_provider: [{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "127.0.0.1:$storage_port"}]}]
	listen_address: $(cassandra_host "$1")
	rpc_address: $(cassandra_host "$1")
	start_native_transport: true
	native_transport_port: $(cassandra_port)
	storage_port: $storage_port
	request_timeout: 5000ms
	read_request_timeout: 5000ms
	write_request_timeout: 5000ms
	range_request_timeout: 10000ms
	client_encryption_options: {enabled: true, optional: true, keystore: "$tls/server.p12", keystore_password: secret, store_type: PKCS12}
	END
}

cassandra_start() {
  local node=$1 data=$home/data/$1 conf=$home/run/$1 lib=$cache/cassandra-$cassandra_version java n p fresh="" modules=() options
  n=$(number_of "$node")
  certificates
  [ -d "$data/commitlog" ] || fresh=yes
  mkdir -p "$data" "$conf"
  cassandra_conf "$node" >"$conf/cassandra.yaml"
  cat >"$conf/logback.xml" <<-END
	<configuration><appender name="E" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%date %-5level %logger{20} %msg%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="E"/></root></configuration>
	END
  for p in java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi \
    java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.unsupported/sun.misc jdk.attach/sun.tools.attach \
    jdk.compiler/com.sun.tools.javac.file; do
    modules+=(--add-exports "$p=ALL-UNNAMED")
  done
  for p in java.base/{java.lang.module,jdk.internal.{loader,ref,reflect,math,module,util.jar},sun.nio.ch,java.{io,nio,lang.reflect,lang,util}} \
    java.base/java.util.concurrent{,.atomic} jdk.management/com.sun.management.internal jdk.compiler/com.sun.tools.javac; do
    modules+=(--add-opens "$p=ALL-UNNAMED")
  done
  java=$(java_of 17 17)
  # New nodes join one by one: the second and third need the first to answer their gossip.
  if [ -n "$fresh" ] && [ "$n" = 2 ]; then wait_for cassandra-1 cassandra_gossips; fi
  read -ra options < <(heap 512m 2g)
  spawn "$node" "$java" "${options[@]}" -XX:MaxDirectMemorySize=96m \
    -XX:+ExitOnOutOfMemoryError -Xss256k -XX:-UsePerfData -Djdk.attach.allowAttachSelf=true \
    -Dio.netty.tryReflectionSetAccessible=true -Djava.net.preferIPv4Stack=true "${modules[@]}" \
    "-javaagent:$(echo "$lib"/jamm-*.jar)" "-Dcassandra.config=file://$conf/cassandra.yaml" "-Dcassandra.storagedir=$data" \
    "-Dcassandra.logdir=$data" "-Dlogback.configurationFile=$conf/logback.xml" -Dcassandra-foreground=yes \
    -Dcassandra.ring_delay_ms=1000 -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.superuser_setup_delay_ms=0 \
    -Dcassandra.consistent.rangemovement=false -Dcassandra.consistent.simultaneousmoves.allow=true \
    "-Dcassandra.jmx.local.port=$(port "$(either 7199 "720$n")")" \
    "-Dcassandra.initial_token=$(cassandra_token "$n")" -cp "$conf:$lib/*" org.apache.cassandra.service.CassandraDaemon
}

# A third of the ring each.
cassandra_token() {
  local tokens=(-9223372036854775808 -3074457345618258603 3074457345618258602)
  echo "${tokens[$1 - 1]}"
}

cassandra_storage_port() { port "$(either 7000 7100)"; }
cassandra_gossips() { listening "127.0.0.1:$(cassandra_storage_port)"; }

# The node reads, and so does each other that lives, at a level for which every one that lives must answer: they all
# see each other. The table is one of Cassandra's own that has three replicas.
cassandra_ready() {
  local other hosts="" living=0 level=(none ONE TWO THREE)
  for other in $(cassandra_nodes); do
    alive "$other" || continue
    listening "$(cassandra_address "$other")" || return 1
    hosts+=,$(cassandra_host "$other") living=$((living + 1))
  done
  python3 "$here/cql.py" "${hosts#,}" "$(cassandra_port)" "${level[$living]}" \
    "SELECT * FROM system_distributed.view_build_status WHERE keyspace_name = 'x' AND view_name = 'x'"
}

cassandra_env() {
  if [ "$set" = replicated ]; then
    export_line CHAT4ALL_CLUSTER_CASSANDRA_URL "cassandra://$(cassandra_address cassandra-1),$(cassandra_address cassandra-2),$(cassandra_address cassandra-3)/chat4all?replication=3&consistency=LOCAL_QUORUM"
    return
  fi
  export_line CHAT4ALL_TEST_CASSANDRA_URL "cassandra://$(cassandra_address cassandra)"
  export_line CHAT4ALL_TEST_CASSANDRA_TLS_URL "cassandra://$(cassandra_address cassandra)?tls=true&ca=$home/tls/ca.pem"
}
