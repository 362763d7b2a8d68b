#!/bin/sh
# A part of a standalone cluster of Spark, in the foreground: spark-role master|worker|history.
# Settings are Spark's own variables: SPARK_WORKER_CORES, SPARK_WORKER_MEMORY, SPARK_DAEMON_MEMORY.
set -eu
case ${1:?master, worker or history} in
master)
  exec spark-class org.apache.spark.deploy.master.Master --host "${SPARK_MASTER_HOST:-$(hostname)}" \
    --port 7077 --webui-port "${SPARK_MASTER_WEBUI_PORT:-8081}"
  ;;
worker)
  exec spark-class org.apache.spark.deploy.worker.Worker --webui-port "${SPARK_WORKER_WEBUI_PORT:-8081}" \
    --work-dir "${SPARK_WORKER_DIR:-/tmp/work}" "${2:-spark://spark-master:7077}"
  ;;
history)
  exec spark-class org.apache.spark.deploy.history.HistoryServer
  ;;
*)
  echo "spark-role: no such role: $1" >&2
  exit 2
  ;;
esac
