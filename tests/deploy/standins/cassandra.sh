#!/bin/bash
# What Cassandra's own start script opens to it on Java 17; MAX_HEAP_SIZE as there.
set -eu
opened=()
for one in java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch \
  java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry \
  java.rmi/sun.rmi.server java.rmi/sun.rmi.transport.tcp java.sql/java.sql jdk.unsupported/sun.misc; do
  opened+=("--add-exports=$one=ALL-UNNAMED")
done
for one in java.io java.lang java.lang.module java.lang.reflect java.math java.net java.nio java.util \
  java.util.concurrent java.util.concurrent.atomic jdk.internal.loader jdk.internal.math \
  jdk.internal.module jdk.internal.ref jdk.internal.reflect jdk.internal.util.jar sun.nio.ch; do
  opened+=("--add-opens=java.base/$one=ALL-UNNAMED")
done
opened+=(--add-opens=java.rmi/sun.rmi.transport.tcp=ALL-UNNAMED
  --add-opens=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED
  --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED)
heap=${MAX_HEAP_SIZE:-512M}
exec java "-Xms$heap" "-Xmx$heap" -Xss512k -XX:+UseSerialGC -Djdk.attach.allowAttachSelf=true \
  "${opened[@]}" -javaagent:"$(echo /opt/cassandra/lib/jamm-*.jar)" \
  -Dcassandra.ring_delay_ms=1 -Dcassandra.skip_wait_for_gossip_to_settle=0 \
  -Dcassandra.config=file:/etc/cassandra/cassandra.yaml -Dcassandra.storagedir=/var/lib/cassandra \
  -Dlogback.configurationFile=/etc/cassandra/cassandra-logback.xml \
  -cp '/opt/cassandra/lib/*' org.apache.cassandra.service.CassandraDaemon
