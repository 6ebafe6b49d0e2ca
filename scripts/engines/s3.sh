# shellcheck shell=bash disable=SC2154 # a part of engines.sh
# S3 by s3proxy, with the bucket chat4all-files.

s3_nodes() { echo s3; }
s3_port() { port "$(either 9103 9203)"; }
s3_address() { echo "127.0.0.1:$(s3_port)"; }

s3_install() {
  packages curl curl
  maven_jars "s3proxy-$s3proxy_version" "org.gaul:s3proxy:$s3proxy_version" \
    "com.fasterxml.jackson.core:jackson-annotations:$jackson_annotations_version"
}

s3_start() {
  local conf=$home/run/s3 java
  mkdir -p "$conf" "$home/data/s3"
  cat >"$conf/s3.properties" <<-END
	s3proxy.endpoint=http://$(s3_address)
	s3proxy.authorization=aws-v2-or-v4
	s3proxy.identity=AKTEST
	s3proxy.credential=SKTESTSKTEST
	s3proxy.cors-allow-origins=https://app.example
	s3proxy.cors-allow-methods=PUT GET POST
	s3proxy.cors-allow-headers=*
	jclouds.provider=filesystem-nio2
	jclouds.filesystem.basedir=$home/data/s3
	END
  # It would log every request at DEBUG.
  cat >"$conf/logback.xml" <<-END
	<configuration><appender name="E" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%date %-5level %logger{20} %msg%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="E"/></root></configuration>
	END
  java=$(java_of 17 25)
  spawn s3 "$java" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true \
    -Dlogback.configurationFile="$conf/logback.xml" -cp "$conf:$cache/s3proxy-$s3proxy_version/*" \
    org.gaul.s3proxy.Main --properties "$conf/s3.properties"
}

# It makes the bucket, or says that it has it. Older versions of curl do not send the hash of an empty body themselves.
s3_ready() {
  local empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  [[ $(curl -s -o /dev/null -w '%{http_code}' -m 5 --aws-sigv4 aws:amz:us-east-1:s3 --user AKTEST:SKTESTSKTEST \
    -H "x-amz-content-sha256: $empty" -X PUT "http://$(s3_address)/chat4all-files") =~ ^(200|409)$ ]]
}

s3_env() {
  local name=CHAT4ALL_TEST_S3_URL
  [ "$set" = single ] || name=CHAT4ALL_CLUSTER_BLOBS_URL
  export_line $name "s3://AKTEST:SKTESTSKTEST@chat4all-files?endpoint=http://$(s3_address)&region=us-east-1"
}
