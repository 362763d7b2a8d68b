#!/bin/bash
# KAFKA_LOG_DIRS becomes log.dirs, and so on; the storage is formatted at the first start.
set -eu
properties=/tmp/server.properties
env | sed -nE 's/^KAFKA_([A-Z_]+)=(.*)$/\1 \2/p' | grep -vE '^(HEAP_OPTS|OPTS) ' \
  | while read -r name value; do
      echo "$(echo "$name" | tr 'A-Z_' 'a-z.')=$value"
    done > $properties
run() { exec java ${KAFKA_HEAP_OPTS:-} ${OPTIONS:-} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' "$@"; }
if [ ! -e "$KAFKA_LOG_DIRS/meta.properties" ]; then
  (run kafka.tools.StorageTool format -t "$CLUSTER_ID" -c $properties)
fi
OPTIONS=${KAFKA_OPTS:-} run kafka.Kafka $properties
