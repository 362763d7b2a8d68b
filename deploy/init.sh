#!/bin/sh
# Starts film-lakehouse: makes its folder with passwords of its own, its images where they are absent,
# and all its servers; then says where they are.
#
#   deploy/init.sh [FOLDER]        the folder is film-lakehouse where none is named
#
# ENGINE=podman takes another engine than Docker; COMPOSE names the program where it is not that
# engine's own (podman-compose).
set -eu
recipe=film-lakehouse
deploy=$(cd "$(dirname "$0")" && pwd)

refuse() { # STATUS WHAT
  echo "init.sh: $2" >&2
  exit "$1"
}
has() { command -v "$1" > /dev/null 2>&1; }

case ${1:-} in
-h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) refuse 2 "there is no option $1; it is init.sh [FOLDER]." ;;
esac
[ $# -le 1 ] || refuse 2 "one folder, and not $#; it is init.sh [FOLDER]."
folder=${1:-$recipe}

# All that may be wrong is looked at before anything is made.
if [ -e "$folder" ] && [ ! -d "$folder" ]; then refuse 1 "$folder is a file; name a folder."; fi
if [ -e "$folder/nextup.toml" ]; then
  grep -q "^recipe = \"$recipe\"" "$folder/nextup.toml" \
    || refuse 1 "$folder is another recipe's; name a new folder, or one of $recipe."
  [ -e "$folder/.env" ] || refuse 1 "$folder has lost its .env, and with it the passwords; put it back."
fi
nextup=$(command -v nextup || echo "$deploy/../.venv/bin/nextup")
[ -x "$nextup" ] || refuse 1 "nextup is not installed; \`make .venv/.dev\` in $(dirname "$deploy") does it."
engine=${ENGINE:-$(has docker && echo docker || echo podman)}
has "$engine" || refuse 1 "$engine is not here; it needs Docker or Podman, and ENGINE says which."
compose=${COMPOSE:-}
if [ -z "$compose" ]; then
  if "$engine" compose version > /dev/null 2>&1; then
    compose="$engine compose"
  elif [ "$engine" = podman ] && has podman-compose; then
    compose=podman-compose
  else
    refuse 1 "$engine has no compose; install its plugin, or podman-compose, and COMPOSE says which."
  fi
fi

[ -e "$folder/nextup.toml" ] || "$nextup" init --recipe $recipe "$folder"
for one in nextup spark mlflow airflow; do
  if ! "$engine" image inspect "${NEXTUP_IMAGES:-nextup}/$one:${NEXTUP_VERSION:-0.1.0}" > /dev/null 2>&1; then
    make -C "$deploy/.." images ENGINE="$engine" VERSION="${NEXTUP_VERSION:-0.1.0}"
    break
  fi
done

cd "$folder"
# $compose is two words where it is `docker compose`
$compose -f "$deploy/compose.yaml" --env-file .env --profile $recipe up --detach
port() { sed -n "s/^$1=//p" .env | grep . || echo "$2"; }
cat <<TEXT
API       http://127.0.0.1:$(port API_PORT 8000)/docs
Airflow   http://127.0.0.1:$(port AIRFLOW_PORT 8082)
MLflow    http://127.0.0.1:$(port MLFLOW_PORT 5000)
Spark     http://127.0.0.1:$(port SPARK_MASTER_PORT 8081), history :$(port SPARK_HISTORY_PORT 18080)
Kafka UI  http://127.0.0.1:$(port KAFKA_UI_PORT 8080)
Grafana   http://127.0.0.1:$(port GRAFANA_PORT 3000), Prometheus :$(port PROMETHEUS_PORT 9090)
Users and passwords are in $folder/.env. Does everything answer?
  cd $folder
  $compose -f $deploy/compose.yaml --env-file .env --profile $recipe exec airflow-worker nextup doctor
TEXT
