"""The chart by itself: what it makes of values, and what it says about wrong ones."""

from __future__ import annotations

import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from stack.kubernetes.programs import pinned, programs
from tests.kubernetes.release import CHART, set_json

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVERS = {
    f"NEXTUP_{port}_URL": "postgresql://nextup:secret@db/nextup"
    for port in ("EVENT_LOG", "CATALOG", "CONTROL", "RECOMMENDATION_STORE", "ONLINE_STATE")
}
MANY: dict[str, Any] = {"secret": {"data": SERVERS}}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs() / "helm"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(*values: Mapping[str, Any], single: bool = False, known: str = "") -> list[Any]:
    """The objects that would be made, in a cluster that knows these kinds, too."""
    done = template(*values, single=single, known=known)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def template(
    *values: Mapping[str, Any], single: bool = False, known: str = ""
) -> subprocess.CompletedProcess[str]:
    files = ["-f", str(CHART / "values-single.yaml")] if single else []
    kinds = [f"--api-versions={known}"] if known else []
    return helm("template", "nextup", str(CHART), *files, *set_json(*values), *kinds)


def kinds(objects: list[Any]) -> set[str]:
    return {one["kind"] for one in objects}


@pytest.mark.parametrize("single", [True, False])
def test_lint(single: bool) -> None:
    """Helm finds nothing to complain about in either form."""
    files = ["-f", str(CHART / "values-single.yaml")] if single else set_json(MANY)
    done = helm("lint", "--strict", str(CHART), *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_machine() -> None:
    """One pod with a volume, whose versions never run side by side; no server, no autoscaler."""
    objects = rendered(single=True)
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert not kinds(objects) & {"HorizontalPodAutoscaler", "PodDisruptionBudget", "Job"}


def test_many() -> None:
    """The autoscaler decides how many pods there are, an upgrade takes none away before there is
    another, and tables are migrated before."""
    objects = rendered(MANY)
    api, _ = sorted(
        (one for one in objects if one["kind"] == "Deployment"),
        key=lambda one: str(one["metadata"]["name"]),
    )
    assert "replicas" not in api["spec"]
    assert api["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert kinds(objects) >= {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
    (job,) = [one for one in objects if one["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["db", "upgrade"]


def test_service_monitors_where_they_are_known() -> None:
    """There is one where the cluster knows the kind, or where it is insisted on."""
    known = "monitoring.coreos.com/v1/ServiceMonitor"
    always: dict[str, Any] = {"monitoring": {"serviceMonitor": "always"}}
    never: dict[str, Any] = {"monitoring": {"serviceMonitor": "never"}}
    assert "ServiceMonitor" not in kinds(rendered(MANY))
    assert "ServiceMonitor" in kinds(rendered(MANY, known=known))
    assert "ServiceMonitor" in kinds(rendered(MANY, always))
    assert "ServiceMonitor" not in kinds(rendered(MANY, never, known=known))


def test_settings() -> None:
    """What `settings` says is what Nextup reads: whole numbers stay whole, in any depth."""
    given = {
        "seed": 7,
        "models": {"als": {"factors": 16, "regularization": 0.5}},
        "server": {"cors_origins": ["https://shop.example"]},
        "access": {"people": "client"},
    }
    objects = rendered(MANY, {"settings": given})
    (file,) = [
        one["data"]["nextup.toml"]
        for one in objects
        if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", "nextup")
    ]
    read = tomllib.loads(file)
    assert read == given
    assert repr(read["models"]["als"]["factors"]) == "16"


def test_what_is_optional() -> None:
    """An Ingress, rules for who may ask and what may be reached, and more schedules."""
    more = {
        "api": {"ingress": {"enabled": True, "host": "shop.example", "tlsSecret": "shop"}},
        "networkPolicy": {
            "from": [{"namespaceSelector": {}}],
            "egress": [{"ports": [{"port": 5432, "protocol": "TCP"}]}],
        },
        "schedule": {"jobs": {"weekly": {"at": "0 3 * * 0", "args": ["lake", "maintain"]}}},
    }
    objects = {(one["kind"], one["metadata"]["name"]): one for one in rendered(MANY, more)}
    assert objects["Ingress", "nextup"]["spec"]["rules"][0]["host"] == "shop.example"
    weekly = objects["CronJob", "nextup-weekly"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert weekly["containers"][0]["args"] == ["lake", "maintain"]
    everybody = objects["NetworkPolicy", "nextup"]["spec"]
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert {"ports": [{"port": 5432, "protocol": "TCP"}]} in everybody["egress"]
    asked = objects["NetworkPolicy", "nextup-api"]["spec"]["ingress"][0]["from"]
    assert {"namespaceSelector": {}} in asked


def test_versions() -> None:
    """What setup.sh installs is what the tests run on, where they can: Kubernetes, Helm, and the
    Airflow that the DAGs are tested with."""
    pins = (CHART.parents[1] / "kubernetes/versions.env").read_text()
    airflow = (CHART.parents[2] / "requirements/airflow.txt").read_text()
    for name, version in {
        "K3S_VERSION": f"{pinned('k8s.io/kubernetes')}+k3s1",
        "HELM_VERSION": pinned("helm.sh/helm/v3"),
        "AIRFLOW_VERSION": airflow.partition("\napache-airflow==")[2].split()[0],
    }.items():
        assert f"{name}:={version}}}" in pins


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no servers": ({}, "Several pods cannot share event_log_url = sqlite"),
    "an embedded one": (
        {"secret": {"data": SERVERS | {"NEXTUP_ONLINE_STATE_URL": "memory://"}}},
        "set secret.data.NEXTUP_ONLINE_STATE_URL to a server",
    ),
    "two secrets": (
        {"secret": {"existing": "mine", "data": SERVERS}},
        "secret.existing and secret.data exclude each other",
    ),
    "a misspelt key": (MANY | {"apii": {"replicas": 2}}, "'apii' not allowed"),
    "words for a number": (MANY | {"api": {"replicas": "two"}}, "/api/replicas"),
    "no pods": (MANY | {"api": {"replicas": 0}}, "/api/replicas"),
    "no cron": (MANY | {"schedule": {"at": "at two"}}, "/schedule/at"),
    "less at most than at least": (
        MANY | {"api": {"autoscaling": {"min": 5, "max": 2}}},
        "api.autoscaling.min (5) is more than max (2)",
    ),
    "nobody's host": (MANY | {"api": {"ingress": {"enabled": True}}}, "needs api.ingress.host"),
    "open to everybody": (
        MANY | {"settings": {"access": {"auth": "none"}}},
        "settings.access.auth = none would let everybody",
    ),
    "a claim and no volume": (
        MANY | {"volume": {"enabled": False, "existingClaim": "mine"}},
        "volume.existingClaim is named while volume.enabled is false",
    ),
    "a volume for one pod": (
        MANY | {"volume": {"accessMode": "ReadWriteOncePod"}},
        "Several pods cannot share a volume",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_values(what: str) -> None:
    """A wrong value is refused before anything is made, and the message names it."""
    values, message = WRONG[what]
    done = template(values)
    assert done.returncode == 1
    assert message in done.stderr
