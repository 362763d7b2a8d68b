#!/bin/bash
# A part of Airflow, in the foreground: airflow-role init|webserver|scheduler|dag-processor|worker.
set -eu
case ${1:?which part} in
init)
  : "${AIRFLOW_PASSWORD:?is not set; nextup init writes one into .env}"
  : "${AIRFLOW__API_AUTH__JWT_SECRET:?is not set; AIRFLOW_SECRET in .env is where it comes from}"
  airflow db migrate
  (umask 077 && printf '{"admin": "%s"}\n' "$AIRFLOW_PASSWORD" > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
  mkdir -p "$AIRFLOW__CORE__DAGS_FOLDER"
  exec /opt/nextup/bin/nextup airflow "$AIRFLOW__CORE__DAGS_FOLDER" --nextup /opt/nextup/bin/nextup -C /platform
  ;;
webserver) exec airflow api-server --host 0.0.0.0 --port 8080 --workers 1 ;;
scheduler) exec airflow scheduler ;;
dag-processor) exec airflow dag-processor ;;
worker) exec airflow celery worker --concurrency "${AIRFLOW__CELERY__WORKER_CONCURRENCY:-1}" ;;
*)
  echo "airflow-role: no such part: $1" >&2
  exit 2
  ;;
esac
