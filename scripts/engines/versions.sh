# shellcheck shell=bash disable=SC2034
# The versions of the engines that come from Maven packages; PostgreSQL, Redis, kcat and HAProxy are Debian's.
kafka_version=4.3.1
slf4j_version=1.7.36 # the API that Kafka is built with; without a binding its start-up errors vanish
cassandra_version=5.0.9
s3proxy_version=4.1.0
jackson_annotations_version=2.21 # s3proxy needs this one, and Maven would pick an older
apicurio_version=3.3.3
postgres_version=15
