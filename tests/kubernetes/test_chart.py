"""The chart by itself: what it makes of values, and what it says about wrong ones."""

from __future__ import annotations

import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from stack.kubernetes.programs import pinned, programs
from tests.kubernetes.release import CHART, set_json, values_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVERS = {
    f"NEXTUP_{port}_URL": "postgresql://nextup:secret@db/nextup"
    for port in ("EVENT_LOG", "CATALOG", "CONTROL", "RECOMMENDATION_STORE", "ONLINE_STATE")
}
MANY: dict[str, Any] = {"secret": {"data": SERVERS}}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs() / "helm"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(*values: Mapping[str, Any], form: str = "", known: str = "") -> list[Any]:
    """The objects that would be made, in a cluster that knows these kinds, too."""
    done = template(*values, form=form, known=known)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def template(
    *values: Mapping[str, Any], form: str = "", known: str = ""
) -> subprocess.CompletedProcess[str]:
    kinds = [f"--api-versions={known}"] if known else []
    return helm("template", "nextup", str(CHART), *values_file(form), *set_json(*values), *kinds)


def pods(within: Any) -> Iterator[Any]:
    """What the objects say of pods, wherever they say it."""
    if isinstance(within, dict):
        if "containers" in within:
            yield within
        within = list(within.values())
    if isinstance(within, list):
        for one in within:
            yield from pods(one)


def kinds(objects: list[Any]) -> set[str]:
    return {one["kind"] for one in objects}


@pytest.mark.parametrize("form", ["single", "many"])
def test_lint(form: str) -> None:
    """Helm finds nothing to complain about in either form."""
    done = helm("lint", "--strict", str(CHART), *values_file(form))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["single", "many"])
def test_restricted(form: str) -> None:
    """Every pod of either form, those of jobs, schedules and `helm test` included, is not root,
    writes nothing of its image, has no capability and no token, and says what it needs."""
    found = 0
    for pod in pods(rendered(form=form)):
        found += 1
        assert not pod["automountServiceAccountToken"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
    assert found == {"single": 3, "many": 5}[form]


def test_one_machine() -> None:
    """One pod with a volume, whose versions never run side by side; no server, no autoscaler."""
    objects = rendered(form="single")
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


def test_of_ones_own() -> None:
    """A password, an image by its digest, an account, a place among the pods, and certificates: in
    every pod, and no password is made beside the one that is named."""
    digest = "sha256:" + 64 * "a"
    ours = {
        "image": {"digest": digest},
        "admin": {"existing": "ours"},
        "serviceAccount": "reads-the-bucket",
        "priorityClass": "sells",
        "affinity": {"nodeAffinity": {}},
        "volumes": [{"name": "ca", "secret": {"secretName": "kafka-ca"}}],
        "mounts": [{"name": "ca", "mountPath": "/etc/kafka-ca", "readOnly": True}],
    }
    objects = rendered(ours, form="many")
    assert "Secret" not in kinds(objects)
    for pod in pods(objects):
        (container,) = pod["containers"]
        assert container["image"] == f"nextup@{digest}"
        assert ours["mounts"][0] in container["volumeMounts"]
        assert ours["volumes"][0] in pod["volumes"]
        assert pod["serviceAccountName"] == "reads-the-bucket"
        assert pod["priorityClassName"] == "sells"
        assert pod["affinity"] == ours["affinity"]
    (api,) = [
        one
        for one in objects
        if one["metadata"]["name"] == "nextup-api" and one["kind"] == "Deployment"
    ]
    env = api["spec"]["template"]["spec"]["containers"][0]["env"]
    (password,) = [one for one in env if one["name"] == "NEXTUP_ACCESS__ADMIN_PASSWORD"]
    assert password["valueFrom"]["secretKeyRef"] == {"name": "ours", "key": "password"}


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
