#!/bin/bash
# The commands of `hdfs` that compose.yaml and the tests use.
set -eu
server=org.apache.hadoop.hdfs.server
case $1 in
namenode) main=$server.namenode.NameNode ;;
datanode) main=$server.datanode.DataNode ;;
dfs) main=org.apache.hadoop.fs.FsShell ;;
dfsadmin) main=org.apache.hadoop.hdfs.tools.DFSAdmin ;;
*) echo "hdfs: $1 is not here" >&2; exit 2 ;;
esac
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -cp "$HADOOP_CONF_DIR:/opt/hadoop/pages:/opt/hadoop/lib/*" $main "${@:2}"
