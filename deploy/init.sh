#!/bin/sh
# Starts film-lakehouse: makes its folder with passwords of its own, its images where they are absent,
# and all its servers; then says where they are.  init.sh [FOLDER]
set -eu
deploy=$(cd "$(dirname "$0")" && pwd)
folder=${1:-film-lakehouse}
engine=${ENGINE:-$(command -v docker > /dev/null 2>&1 && echo docker || echo podman)}
command -v "$engine" > /dev/null 2>&1 || { echo "init.sh needs Docker or Podman with compose." >&2; exit 1; }
nextup=$(command -v nextup || echo "$deploy/../.venv/bin/nextup")

[ -e "$folder/nextup.toml" ] || "$nextup" init --recipe film-lakehouse "$folder"
"$engine" image inspect nextup/airflow:0.1.0 > /dev/null 2>&1 || make -C "$deploy/.." images ENGINE="$engine"

cd "$folder"
"$engine" compose -f "$deploy/compose.yaml" --env-file .env --profile film-lakehouse up --detach
cat <<'TEXT'
API      http://127.0.0.1:8000/docs     Airflow     http://127.0.0.1:8082
Kafka UI http://127.0.0.1:8080          MLflow      http://127.0.0.1:5000
Spark    http://127.0.0.1:8081          Prometheus  http://127.0.0.1:9090
History  http://127.0.0.1:18080         Grafana     http://127.0.0.1:3000
Users and passwords are in .env. Does everything answer?
TEXT
echo "  $engine compose -f $deploy/compose.yaml --env-file .env --profile film-lakehouse exec fastapi nextup doctor"
