#!/usr/bin/env bash
# Reads the public topics with clients that are not ours. Needs a running server whose log is Kafka:
# CHAT4ALL_SERVER, CHAT4ALL_KAFKA (host:port), CHAT4ALL_REGISTRY_URL, CHAT4ALL_TOPIC_PREFIX (if the log's URL has one).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh topics
exec timeout 300 .cache/topics/bin/python tests/foreign/topics.py # a minute is usual
