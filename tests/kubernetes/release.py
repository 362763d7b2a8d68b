"""A namespace of the cluster, the chart in it, and the API behind its Service."""

from __future__ import annotations

import base64
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from stack.servers.kubernetes import Failed
from tests.kubernetes.images import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stack.servers.kubernetes import Kubernetes

CHART = Path(__file__).parents[2] / "deploy/helm/nextup"
PATIENCE = "15m"  # for pods to be ready
POLL_SECONDS = 0.5
SMALL = {  # tests ask for less, so that everything fits on one machine, which may be a busy one
    "image": {"repository": REPOSITORY, "tag": "now"},
    "settings": {
        "lake": {"collect_seconds": 2},
        "models": {"als": {"factors": 16}},
        "server": {"max_wait_seconds": 60},
    },
    "api": {
        "startSeconds": 900,
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
    },
    "stream": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}},
    "schedule": {
        "at": "0 0 1 1 *",  # when the tests say so
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
    },
}


class Namespace:
    """One namespace, and what is asked of the cluster there."""

    def __init__(self, cluster: Kubernetes, name: str) -> None:
        self.cluster = cluster
        self.name = name

    @classmethod
    @contextmanager
    def made(cls, cluster: Kubernetes, name: str) -> Iterator[Namespace]:
        """Removed at the end, with all that is in it."""
        cluster.kubectl("create", "namespace", name)
        label = "pod-security.kubernetes.io/enforce=restricted"
        cluster.kubectl("label", "namespace", name, label)
        try:
            yield cls(cluster, name)
        finally:
            cluster.kubectl("delete", "namespace", name, "--timeout=10m")

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What it prints."""
        return self.cluster.kubectl("-n", self.name, *arguments, given=given)

    def get(self, *what: str) -> list[dict[str, Any]]:
        """Objects as they are now."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *what, "-o", "json"))["items"]
        return found

    def names(self, kind: str) -> set[str]:
        """Of the objects of a kind."""
        return {one["metadata"]["name"] for one in self.get(kind)}

    def helm(self, *arguments: str) -> str:
        """What it prints, which a failed test and `pytest -s` show."""
        said = self.cluster.helm("-n", self.name, *arguments)
        print(f"$ helm {' '.join(arguments)}\n{said}")
        return said

    def secret(self, name: str, key: str) -> str:
        """What a Secret holds."""
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return base64.b64decode(data[key]).decode()

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Those of a part that are not on their way out."""
        found = self.get("pods", "-l", f"app.kubernetes.io/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


class Release:
    """The chart, installed as `nextup`."""

    def __init__(self, namespace: Namespace, form: str) -> None:
        """`form` is `single` or `many`, as the files of values are called."""
        self.namespace = namespace
        self._form = form

    def install(self, *values: Mapping[str, Any], patience: str = PATIENCE) -> str:
        """Or upgrade; returns when all pods are ready. Later values win over earlier ones."""
        arguments = ["nextup", str(CHART), *values_file(self._form), *set_json(*values)]
        waiting = ["--wait", "--timeout", patience]
        return self.namespace.helm("upgrade", "--install", *arguments, *waiting)

    @property
    def revision(self) -> int:
        """The latest that was deployed."""
        history = json.loads(self.namespace.helm("history", "nextup", "-o", "json"))
        return max(one["revision"] for one in history if one["status"] == "deployed")

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        """The API through its Service, as the admin."""
        password = self.namespace.secret("nextup-admin", "password")
        with httpx.Client(base_url=self.url, timeout=60) as client:
            answer = client.post("/v1/token", json={"client_id": "admin", "password": password})
            answer.raise_for_status()
            client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client

    @property
    def url(self) -> str:
        """Of the Service; this machine is the node, so that it reaches its address."""
        service = json.loads(self.namespace.kubectl("get", "service", "nextup", "-o", "json"))
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def key(self, client: str) -> str:
        """Of a new client; unlike a token it does not end within minutes."""
        said = self.run("client", "create", client, "--scope", "read", "--scope", "write", "--json")
        secret: str = json.loads(said)["api_key"]
        return secret

    def run(self, *command: str) -> str:
        """A command in a pod of the API that is not on its way out."""
        pod = self.namespace.pods("api")[0]["metadata"]["name"]
        return self.namespace.kubectl("exec", pod, "--", "nextup", *command)

    def bring_people(self) -> None:
        """A catalogue, what a few hundred did lately, and the night after."""
        self.run("ingest", "sample")
        self.run("simulate", "--people", "400", "--days", "60", "--seed", "7")
        log = self.run_job("first-night", "nextup-schedule")
        assert "is in service" in log, log

    def run_job(self, name: str, cronjob: str) -> str:
        """What a schedule does, now; returns its log."""
        self.namespace.kubectl("create", "job", name, f"--from=cronjob/{cronjob}")
        job = f"job/{name}"
        try:
            self.namespace.kubectl("wait", "--for=condition=complete", job, f"--timeout={PATIENCE}")
        except Failed as error:
            raise AssertionError(self.namespace.kubectl("logs", job)) from error
        return self.namespace.kubectl("logs", job)


def values_file(form: str) -> list[str]:
    """Arguments of Helm; without a form the chart's own values."""
    return ["-f", str(CHART / f"values-{form}.yaml")] if form else []


def set_json(*values: Mapping[str, Any]) -> list[str]:
    """Arguments of Helm; later values win, leaf by leaf."""
    return [
        f"--set-json={key}={json.dumps(value)}" for one in values for key, value in _leaves(one, "")
    ]


def _leaves(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from _leaves(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def until(what: str, ready: Any, *, seconds: float = 600) -> None:
    """Wait for it; fails, saying what was awaited, when it does not come."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(POLL_SECONDS)
