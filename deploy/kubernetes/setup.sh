#!/usr/bin/env bash
# Sets up the recipe platform-api on Kubernetes: monitoring, PostgreSQL 16, the API, and Airflow whose
# tasks are pods of our image. Run again, it changes nothing, or what has changed here.
#
#   deploy/kubernetes/setup.sh                    on this machine; k3s and Helm are installed if absent
#   KUBECONFIG=... deploy/kubernetes/setup.sh     on a cluster that is there
#
#   IMAGE, TAG   the platform's image (nextup, and the chart's version)
#   CHARTS       a folder with airflow-<version>.tgz and kube-prometheus-stack-<version>.tgz, where
#                the cluster's operator cannot fetch them
#   HELM_ARGS    more arguments for the installation of Nextup
set -euo pipefail
cd "$(dirname "$0")"
. ./versions.env
IMAGE=${IMAGE:-nextup} TAG=${TAG:-} CHARTS=${CHARTS:-} HELM_ARGS=${HELM_ARGS:-}
PATIENCE=${PATIENCE:-15m}
LAUNCHER="python3 /opt/nextup-launcher/nextup_in_pod.py api nextup-schedule"  # in place of `nextup`

say() { echo "setup: $*" >&2; }
die() { say "$1"; [ -z "${2-}" ] || say "  $2"; exit 1; }

cluster() {
  if kubectl version --request-timeout=10s > /dev/null 2>&1; then
    return
  fi
  [ -z "${KUBECONFIG-}" ] || die "The cluster of $KUBECONFIG does not answer." "kubectl cluster-info says why."
  if ! command -v k3s > /dev/null; then
    [ "$(id -u)" = 0 ] || die "There is no cluster, and installing k3s needs root." "Set KUBECONFIG, or use sudo."
    say "installing k3s $K3S_VERSION"
    curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION="$K3S_VERSION" sh -s - --write-kubeconfig-mode 600
  fi
  export KUBECONFIG=/etc/rancher/k3s/k3s.yaml
  for _ in $(seq 60); do
    kubectl wait --for=condition=Ready node --all --timeout=5s > /dev/null 2>&1 && return
    sleep 2
  done
  die "k3s does not get ready." "journalctl -u k3s says why."
}

helm_program() {
  if command -v helm > /dev/null; then return; fi
  local architecture folder name
  case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) die "No Helm for $(uname -m)." ;; esac
  folder=$(mktemp -d) name=helm-$HELM_VERSION-linux-$architecture.tar.gz
  say "installing helm $HELM_VERSION"
  curl -sfL "https://get.helm.sh/$name" -o "$folder/$name"
  curl -sfL "https://get.helm.sh/$name.sha256sum" -o "$folder/sum"
  (cd "$folder" && sha256sum -c --quiet sum && tar -xzf "$name")
  install -m 755 "$folder/linux-$architecture/helm" /usr/local/bin/helm
  rm -rf "$folder"
}

namespace() {  # NAME LEVEL: what Pod Security allows there
  kubectl apply -f - > /dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: $1, labels: {pod-security.kubernetes.io/enforce: $2}}
YAML
}

chart() {  # RELEASE NAMESPACE CHART VERSION REPOSITORY; more values come from standard input
  local what=(--repo "$5" "$3" --version "$4")
  [ -z "$CHARTS" ] || what=("$CHARTS/$3-$4.tgz")
  say "$3 $4"
  helm upgrade --install "$1" "${what[@]}" -n "$2" -f "values/$3.yaml" -f - --wait --timeout "$PATIENCE" > /dev/null
}

word() { head -c 24 /dev/urandom | base64 | tr -d '+/=\n'; }
fernet() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }

once() {  # NAMESPACE SECRET KEY=VALUE...: made the first time, since the data know them
  kubectl -n "$1" get secret "$2" > /dev/null 2>&1 && return
  say "making passwords, kept in the Secret $2 of the namespace $1"
  secret "$@"
}

password() {  # NAMESPACE SECRET KEY
  kubectl -n "$1" get secret "$2" -o "jsonpath={.data.$3}" | base64 -d
}

url() {  # NAME: of its database
  local upper
  upper=$(echo "$1" | tr '[:lower:]' '[:upper:]')
  echo "postgresql://$1:$(password database postgresql "${upper}_PASSWORD")@postgresql.database:5432/$1"
}

secret() {  # NAMESPACE NAME KEY=VALUE...
  local literals=()
  for one in "${@:3}"; do literals+=("--from-literal=$one"); done
  kubectl -n "$1" create secret generic "$2" "${literals[@]}" --dry-run=client -o yaml | kubectl apply -f - > /dev/null
}

database() {
  once database postgresql "POSTGRES_PASSWORD=$(word)" "NEXTUP_PASSWORD=$(word)" "AIRFLOW_PASSWORD=$(word)"
  say "PostgreSQL from $POSTGRESQL_IMAGE"
  sed "s|@POSTGRESQL_IMAGE@|$POSTGRESQL_IMAGE|" database.yaml | kubectl apply -f - > /dev/null
  kubectl -n database rollout status statefulset/postgresql --timeout "$PATIENCE" > /dev/null
}

nextup() {
  local port values=()
  for port in EVENT_LOG CATALOG CONTROL RECOMMENDATION_STORE ONLINE_STATE; do
    values+=("NEXTUP_${port}_URL=$(url nextup)")
  done
  secret api nextup-urls "${values[@]}"
  say "Nextup from $IMAGE${TAG:+:$TAG}"
  # shellcheck disable=SC2086 # several arguments
  helm upgrade --install nextup ../helm/nextup -n api -f values/nextup.yaml \
    --set "image.repository=$IMAGE" --set "image.tag=$TAG" $HELM_ARGS --wait --timeout "$PATIENCE" > /dev/null
}

dags() {  # as this version of Nextup writes them
  local folder
  folder=$(mktemp -d)
  kubectl -n api exec deploy/nextup-api -- sh -ec "
    nextup airflow /tmp/dags --nextup '$LAUNCHER' > /tmp/dags.log || { cat /tmp/dags.log >&2; exit 1; }
    tar -cC /tmp/dags nextup_dags.py nextup_plan.json" | tar -xC "$folder"
  for one in "nextup-dags $folder" "nextup-launcher nextup_in_pod.py"; do
    set -- $one
    kubectl -n airflow create configmap "$1" --from-file="$2" --dry-run=client -o yaml | kubectl apply -f - > /dev/null
  done
  rm -rf "$folder"
  kubectl apply -f airflow-tasks.yaml > /dev/null
}

airflow_values() {  # also names of metrics as the rules and dashboards know them
  printf 'airflowVersion: %s\ndefaultAirflowTag: %s\n' "$AIRFLOW_VERSION" "$AIRFLOW_VERSION"
  printf 'createUserJob: {defaultUser: {password: "%s"}}\nstatsd:\n' "$(password airflow airflow-keys admin-password)"
  sed 's/^/  /; s/^  mappings:/  overrideMappings:/' ../prometheus/statsd_mapping.yml
}

watched() {  # the rules and dashboards of deploy/prometheus and deploy/grafana
  local file name
  for file in ../prometheus/rules/{recording,alerts,airflow}.yml; do
    name=$(basename "$file" .yml)
    {
      printf 'apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n'
      printf 'metadata: {name: nextup-%s, namespace: api}\nspec:\n' "$name"
      sed 's/^/  /' "$file"
    } | kubectl apply -f - > /dev/null
  done
  for file in ../grafana/dashboards/*.json; do
    name=$(basename "$file" .json)
    kubectl -n api create configmap "$name" --from-file="$file" --dry-run=client -o yaml \
      | kubectl label --local -f - grafana_dashboard=1 -o yaml | kubectl apply --server-side -f - > /dev/null
  done
}

cluster
helm_program
namespace kube-prometheus-stack privileged  # its node exporter looks at the machine
namespace database restricted
namespace api restricted
namespace airflow baseline
once kube-prometheus-stack grafana-admin admin-user=admin "admin-password=$(word)"
# first, so that the cluster knows what a ServiceMonitor is
chart kube-prometheus-stack kube-prometheus-stack kube-prometheus-stack "$PROMETHEUS_CHART_VERSION" \
  https://prometheus-community.github.io/helm-charts < /dev/null
database
nextup
watched
dags
once airflow airflow-keys "admin-password=$(word)" "fernet-key=$(fernet)" \
  "api-secret-key=$(word)" "jwt-secret=$(word)$(word)$(word)"
secret airflow airflow-metadata "connection=$(url airflow)"
airflow_values | chart airflow airflow airflow "$AIRFLOW_CHART_VERSION" https://airflow.apache.org

cat <<TEXT
The API is the Service nextup of the namespace api; from here:
  kubectl -n api port-forward service/nextup 8000:80
Its admin's password:
  kubectl -n api get secret nextup-admin -o jsonpath='{.data.password}' | base64 -d
Airflow and its admin's password, Grafana and its admin's:
  kubectl -n airflow port-forward service/airflow-api-server 8080
  kubectl -n airflow get secret airflow-keys -o jsonpath='{.data.admin-password}' | base64 -d
  kubectl -n kube-prometheus-stack port-forward service/kube-prometheus-stack-grafana 3000:80
  kubectl -n kube-prometheus-stack get secret grafana-admin -o jsonpath='{.data.admin-password}' | base64 -d
TEXT
