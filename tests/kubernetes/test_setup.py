"""`deploy/kubernetes/setup.sh`, twice, on a cluster that is there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.kubernetes.images import DATABASE, REPOSITORY, load_database
from tests.kubernetes.release import Namespace, Release, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.servers.kubernetes import Kubernetes

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
NAMESPACES = ("airflow", "kube-prometheus-stack", "api", "database")
STAND_IN = """apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Chart.Name }}}
data:
  values: {{ toJson .Values | quote }}
"""
CRD = """---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.monitoring.coreos.com}}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {{kind: {kind}, plural: {plural}, singular: {singular}}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
KINDS = ("ServiceMonitor", "PrometheusRule")
KEYS = {  # as Airflow's chart calls the Secrets, and what is in them
    "fernetKeySecretName": "fernet-key",
    "apiSecretKeySecretName": "api-secret-key",
    "jwtSecretName": "jwt-secret",
}
ENOUGH = 20  # characters that nobody guesses
ACCOUNT = "airflow-scheduler"  # that Airflow's chart makes


@pytest.fixture(scope="module")
def cluster_with_database(cluster: Kubernetes) -> Kubernetes:
    load_database(cluster)
    return cluster


@pytest.fixture(scope="module")
def charts(cluster: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for the two charts of others, which cannot be had here: they make nothing but a
    note of the values they were given; monitoring also the kind ServiceMonitor."""
    folder = tmp_path_factory.mktemp("charts")
    for name, version in (("airflow", "AIRFLOW"), ("kube-prometheus-stack", "PROMETHEUS")):
        chart = folder / name
        (chart / "templates").mkdir(parents=True)
        pinned = _version(f"{version}_CHART_VERSION")
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {pinned}\n")
        (chart / "templates/noted.yaml").write_text(STAND_IN)
        if name == "kube-prometheus-stack":
            (chart / "crds").mkdir()
            crds = [
                CRD.format(kind=kind, plural=f"{kind.lower()}s", singular=kind.lower())
                for kind in KINDS
            ]
            (chart / "crds/kinds.yaml").write_text("".join(crds))
        cluster.helm("package", str(chart), "-d", str(folder))
    return folder


@pytest.fixture(scope="module")
def run(cluster_with_database: Kubernetes, charts: Path) -> Iterator[list[str]]:
    """What the script said, twice."""
    cluster = cluster_with_database
    environment = os.environ | cluster.environment
    environment |= {
        "IMAGE": REPOSITORY,
        "TAG": "now",
        "CHARTS": str(charts),
        "POSTGRESQL_IMAGE": f"{REPOSITORY}:{DATABASE}",
        "HELM_ARGS": "--set api.resources.requests.cpu=50m --set stream.resources.requests.cpu=50m",
    }
    said = []
    for _ in range(2):
        done = subprocess.run(
            [FOLDER / "setup.sh"], env=environment, capture_output=True, text=True, check=False
        )
        print(f"$ deploy/kubernetes/setup.sh\n{done.stderr}{done.stdout}")
        assert done.returncode == 0
        said.append(done.stderr)
    yield said
    cluster.kubectl("delete", "namespace", *NAMESPACES, "--timeout=10m")
    cluster.kubectl("delete", "crd", *(f"{kind.lower()}s.monitoring.coreos.com" for kind in KINDS))


def test_everything_is_there(run: list[str], cluster: Kubernetes) -> None:
    """The namespaces, the database, the API with its monitor and the recipe's routes; a second run
    finds everything and changes no password."""
    api = Namespace(cluster, "api")
    first, second = run
    assert "making passwords" in first
    assert "making passwords" not in second
    assert {"api", "airflow", "database", "kube-prometheus-stack"} <= {
        one["metadata"]["name"] for one in Namespace(cluster, "default").get("namespaces")
    }
    assert api.names("servicemonitors") == {"nextup-api", "nextup-stream"}
    assert {"nextup-alerts", "nextup-recording"} <= api.names("prometheusrules")
    assert "nextup-api" in api.names("configmaps")
    with Release(api, "").api() as client:
        assert client.get("/readyz").json()["status"] == "ready"
        paths = client.get("/openapi.json").json()["paths"]
        assert {"/create-client", "/token", "/recommendations"} <= paths.keys()


def test_passwords_and_keys_are_our_own(run: list[str], cluster: Kubernetes) -> None:
    """Neither Airflow nor Grafana has a password that everybody knows, and neither makes a new key
    when the script runs again: their charts are given Secrets, which are there."""
    monitoring = Namespace(cluster, "kube-prometheus-stack")
    named = noted(monitoring)["grafana"]["admin"]["existingSecret"]
    assert monitoring.secret(named, "admin-user") == "admin"
    assert len(monitoring.secret(named, "admin-password")) > ENOUGH

    airflow = Namespace(cluster, "airflow")
    values = noted(airflow)
    for setting, key in KEYS.items():
        assert len(airflow.secret(values[setting], key)) > ENOUGH
    given = values["createUserJob"]["defaultUser"]["password"]
    assert given == airflow.secret("airflow-keys", "admin-password")
    assert len(given) > ENOUGH
    database = airflow.secret(values["data"]["metadataSecretName"], "connection")
    assert database.endswith("@postgresql.database:5432/airflow")


def noted(namespace: Namespace) -> dict[str, Any]:
    """The values that the stand-in of the namespace's chart was given."""
    found = namespace.kubectl("get", "configmap", namespace.name, "-o", "json")
    values: dict[str, Any] = json.loads(json.loads(found)["data"]["values"])
    return values


def test_an_airflow_task_is_a_pod(run: list[str], cluster: Kubernetes) -> None:
    """The plan of the DAGs names the launcher; called as Airflow's scheduler would, in its
    namespace and with its rights, it runs the command in a pod of the API's namespace, prints what
    that prints, and hands its status on."""
    airflow = Namespace(cluster, "airflow")
    plan = json.loads(
        json.loads(airflow.kubectl("get", "configmap", "nextup-dags", "-o", "json"))["data"][
            "nextup_plan.json"
        ]
    )
    assert {"inject-data", "train-model"} <= {dag["dag_id"] for dag in plan["dags"]}
    airflow.kubectl("create", "serviceaccount", ACCOUNT)
    good = as_task(airflow, "good", [*plan["nextup"], "db", "current", "-C", plan["home"]])
    assert good[0] == 0
    assert "Tables" in good[1]
    bad = as_task(airflow, "bad", [*plan["nextup"], "pipeline", "run", "--date", "soon"])
    assert bad[0] == 2
    assert "'soon' is not a date" in bad[1]


def as_task(airflow: Namespace, name: str, command: list[str]) -> tuple[int, str]:
    """Run it in a pod like the scheduler's; its exit status and its log."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": ACCOUNT,
            "restartPolicy": "Never",
            "volumes": [{"name": "launcher", "configMap": {"name": "nextup-launcher"}}],
            "containers": [
                {
                    "name": "task",
                    "image": f"{REPOSITORY}:now",
                    "imagePullPolicy": "Never",
                    "command": command,
                    "volumeMounts": [{"name": "launcher", "mountPath": "/opt/nextup-launcher"}],
                }
            ],
        },
    }
    airflow.kubectl("apply", "-f", "-", given=json.dumps(pod))

    def ended() -> dict[str, Any]:
        status = json.loads(airflow.kubectl("get", "pod", name, "-o", "json"))["status"]
        for one in status.get("containerStatuses", []):
            found: dict[str, Any] = one["state"].get("terminated", {})
            return found
        return {}

    until("the task's end", ended)
    return ended()["exitCode"], airflow.kubectl("logs", name)


def _version(name: str) -> str:
    for line in (FOLDER / "versions.env").read_text().splitlines():
        if f"{name}:=" in line:
            return line.partition(":=")[2].rstrip('}"')
    raise AssertionError(name)
