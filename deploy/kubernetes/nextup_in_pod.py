"""`nextup_in_pod.py NAMESPACE CRONJOB ARGUMENT...`: one of Nextup's commands as a pod of its own.

An Airflow task calls this in place of `nextup`. The pod is made from the template of a CronJob of
the chart, so that it has the image, the settings, the secrets and the volume of the platform. Its
words are printed as they come and its exit status is handed on. Told to end, it ends the pod. It
runs in Airflow's own environment, which need not know Nextup: the standard library is enough.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
POLL_SECONDS = 1.0
KEPT_SECONDS = 3600  # a finished job, for whoever wants to look
TOLD_TO_END = 143


class Cluster:
    """The API server, asked as the service account of this pod."""

    def __init__(self, namespace: str) -> None:
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        place = f"[{host}]" if ":" in host else host
        self._url = f"https://{place}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        self._trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._namespace = namespace

    def ask(self, method: str, kind: str, body: Any = None) -> Any:
        """`kind` is such as `apis/batch/v1/jobs/one`, of the namespace."""
        with self._open(method, kind, body) as answer:
            return json.load(answer)

    def lines(self, pod: str) -> Any:
        """The pod's log from its beginning, line by line until it ends."""
        return self._open("GET", f"api/v1/pods/{pod}/log?follow=true", None)

    def _open(self, method: str, kind: str, body: Any) -> Any:
        group, version, rest = kind.rpartition("v1/")
        request = urllib.request.Request(
            f"{self._url}/{group}{version}namespaces/{self._namespace}/{rest}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                # read each time: the kubelet renews it
                "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
                "Content-Type": "application/json",
            },
        )
        try:
            return urllib.request.urlopen(request, context=self._trusted, timeout=300)
        except urllib.error.HTTPError as error:
            said = json.loads(error.read() or "{}").get("message", error.reason)
            raise Refused(f"{method} {kind}: {said}") from error


class Refused(Exception):
    """What the API server answered."""


def job_of(cronjob: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    """The CronJob's job with other arguments, which is not tried again: that is Airflow's work."""
    template = cronjob["spec"]["jobTemplate"]
    spec = {**template["spec"], "backoffLimit": 0, "ttlSecondsAfterFinished": KEPT_SECONDS}
    spec["template"]["spec"]["containers"][0]["args"] = arguments
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": f"{cronjob['metadata']['name'][:40]}-task-",
            "labels": template.get("metadata", {}).get("labels", {}),
        },
        "spec": spec,
    }


def run(cluster: Cluster, cronjob: str, arguments: list[str]) -> int:
    """Returns what the command exited with."""
    template = cluster.ask("GET", f"apis/batch/v1/cronjobs/{cronjob}")
    job = cluster.ask("POST", "apis/batch/v1/jobs", job_of(template, arguments))
    name = job["metadata"]["name"]

    def end(*_: object) -> NoReturn:
        cluster.ask("DELETE", f"apis/batch/v1/jobs/{name}", {"propagationPolicy": "Foreground"})
        sys.exit(TOLD_TO_END)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return follow(cluster, name)


def follow(cluster: Cluster, job: str) -> int:
    """Print what the pod says until it has ended. A connection that breaks is made again."""
    shown = 0
    waits = ""
    while True:
        status, pod = state_of(cluster, job)
        if (reason := status.get("waiting", {}).get("reason", "")) not in {waits, ""}:
            waits = reason
            print(f"{pod or job} waits: {reason}", flush=True)
        if pod and not status.get("waiting"):
            with suppress(OSError, Refused):
                shown = show(cluster, pod, shown)
        if "terminated" in status:
            return int(status["terminated"]["exitCode"])
        time.sleep(POLL_SECONDS)


def state_of(cluster: Cluster, job: str) -> tuple[dict[str, Any], str]:
    """Of the container of the job's pod, and the pod's name; both empty before there is one."""
    found = cluster.ask("GET", f"api/v1/pods?labelSelector=job-name%3D{job}")["items"]
    if not found:
        failed = cluster.ask("GET", f"apis/batch/v1/jobs/{job}").get("status", {}).get("failed")
        return ({"terminated": {"exitCode": 1}} if failed else {}), ""
    pod = found[0]
    statuses = pod["status"].get("containerStatuses", [])
    state = statuses[0]["state"] if statuses else {"waiting": {}}
    if pod["status"]["phase"] == "Failed" and "terminated" not in state:  # evicted
        state = {"terminated": {"exitCode": 1}}
    return state, pod["metadata"]["name"]


def show(cluster: Cluster, pod: str, shown: int) -> int:
    """Print the lines after the first `shown`; returns how many there are now."""
    number = 0
    with cluster.lines(pod) as lines:
        for number, line in enumerate(lines, start=1):
            if number > shown:
                print(line.decode(errors="replace").rstrip("\n"), flush=True)
                shown = number
    return max(shown, number)


if __name__ == "__main__":
    try:
        sys.exit(run(Cluster(sys.argv[1]), sys.argv[2], sys.argv[3:]))
    except Refused as error:
        sys.exit(str(error))
