"""The chart on a real cluster: installed, asked, upgraded and killed under load, rolled back."""

from __future__ import annotations

import json
import re
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from stack.servers.kubernetes import Failed
from tests.kubernetes.load import Load
from tests.kubernetes.release import SMALL, Namespace, Release, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stack.servers.kubernetes import Kubernetes

FEW = {"api": {"autoscaling": {"min": 2}}, "stream": {"replicas": 1}}  # for one machine
NEXT = {"image": {"tag": "next"}}
ENOUGH = 60  # requests of the load before and after what is done to the platform
KILLS = 5
PORTS = "EVENT_LOG", "CATALOG", "CONTROL", "RECOMMENDATION_STORE", "ONLINE_STATE"
WHO_AM_I = """
import os
try:
    open("/opt/written", "w")
except OSError as error:
    print(os.getuid(), error.strerror.split()[0].lower())
token = "/var/run/secrets/kubernetes.io/serviceaccount"
print("token" if os.path.exists(token) else "no-token")
"""


@pytest.fixture(scope="module")
def release(cluster: Kubernetes, urls: Mapping[str, str]) -> Iterator[Release]:
    """The chart installed from nothing, with a catalogue, and lists of its first night."""
    with Namespace.made(cluster, "shop") as namespace:
        literals = [f"--from-literal={name}={url}" for name, url in urls.items()]
        namespace.kubectl("create", "secret", "generic", "nextup-urls", *literals)
        release = Release(namespace, "many")
        release.install(SMALL, FEW)
        release.bring_people()
        yield release


@pytest.fixture(scope="module")
def items(release: Release) -> list[str]:
    """Some that there are."""
    with release.api() as api:
        return [one["item_id"] for one in api.get("/v1/popular?limit=50").json()["items"]]


def test_a_recommendation_through_the_service(release: Release, items: list[str]) -> None:
    """From nothing to a list that the model in service makes for a person whom it knows; what
    somebody else likes changes the next list, whichever pod answers."""
    with release.api() as api:

        def personal() -> bool:
            known = api.get("/v1/users/sci-fi-fan/recommendations?limit=5").json()
            return bool(known["model_id"]) and known["level"] == "fresh"

        until("a list of the model", personal)
        event = {"type": "like", "user_id": "ada", "item_id": items[0]}
        before = api.get("/v1/users/ada/recommendations?limit=5").json()
        assert api.post("/v1/events", json=event).status_code == 202

        def because() -> bool:
            after = api.get("/v1/users/ada/recommendations?limit=5").json()
            told = {reason["item_id"] for one in after["items"] for reason in one["because"]}
            return after["items"] != before["items"] and items[0] in told

        until("a list because of what Ada liked", because)


def test_pods_are_as_they_should_be(release: Release) -> None:
    """Two pods of the API (the least that the autoscaler allows), one stream worker, none of them
    root or restarted, on a file system that they cannot write."""
    until("two pods of the API", lambda: is_whole(release))
    api, stream = release.namespace.pods("api"), release.namespace.pods("stream")
    assert (len(api), len(stream)) == (2, 1)
    for pod in (*api, *stream):
        assert pod["status"]["phase"] == "Running"
        assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0]
    told = release.namespace.kubectl("exec", "deploy/nextup-api", "--", "python3", "-c", WHO_AM_I)
    assert told.split() == ["10001", "read-only", "no-token"]


def test_asked_by_helm(release: Release) -> None:
    """`helm test` asks the API through its Service, signed in, and leaves nothing."""
    assert "Succeeded" in release.namespace.helm("test", "nextup", "--timeout", "10m")
    assert "nextup-test" not in release.namespace.names("pods")


def test_upgraded_under_load(release: Release, items: list[str], urls: Mapping[str, str]) -> None:
    """Another version comes while applications send: no request fails, though none is tried a
    second time, and every acknowledged event is in the log once."""
    load = Load(release.url, release.key("upgrade"), items, again=False)
    with load.running() as counted:
        until("load", lambda: counted.sent > ENOUGH)
        release.install(SMALL, FEW, NEXT)
        reached = counted.sent
        until("load after the upgrade", lambda: counted.sent > reached + ENOUGH)
    print(f"upgrade: {counted}")
    assert versions(release) == {"next"}
    assert release.run("--version").strip().endswith("next")
    assert not counted.refused
    assert found(urls, counted.acknowledged) == len(counted.acknowledged) > 0


def test_rolled_back_under_load(
    release: Release, items: list[str], urls: Mapping[str, str]
) -> None:
    """A version that cannot start gets no request: its upgrade fails, the old pods go on, and a
    rollback ends it without anybody noticing."""
    running = versions(release)
    load = Load(release.url, release.key("rollback"), items, again=False)
    with load.running() as counted:
        until("load", lambda: counted.sent > ENOUGH)
        broken = {"settings": {"gate": {"mode": "strickt"}}, "migrations": {"enabled": False}}
        revision = release.revision
        with pytest.raises(Failed, match=r"deadline|timed out"):
            release.install(SMALL, FEW, broken, patience="20s")
        until("a pod that does not start", lambda: waits(release, "CrashLoopBackOff|Error"))
        release.namespace.helm("rollback", "nextup", str(revision), "--wait", "--timeout", "10m")
        reached = counted.sent
        until("load after the rollback", lambda: counted.sent > reached + ENOUGH)
    print(f"rollback: {counted}")
    assert versions(release) == running
    assert not counted.refused
    assert found(urls, counted.acknowledged) == len(counted.acknowledged) > 0


def test_tables_that_cannot_be_migrated(release: Release) -> None:
    """Where the database refuses, an upgrade fails before any pod is replaced, its job stays for
    whoever wants to know why, and a rollback ends it."""
    until("two pods of the API", lambda: is_whole(release))
    before, revision = serving(release), release.revision
    nowhere = {f"NEXTUP_{port}_URL": "postgresql://nobody@127.0.0.1:1/none" for port in PORTS}
    wrong = {"secret": {"existing": "", "data": nowhere}, "image": {"tag": "next"}}
    with pytest.raises(Failed, match="pre-upgrade hooks failed"):
        release.install(SMALL, FEW, wrong, patience="20s")
    until("the reason", lambda: "127.0.0.1:1" in log_of_migrations(release))
    assert serving(release) == before
    release.namespace.helm("rollback", "nextup", str(revision), "--wait", "--timeout", "10m")
    assert serving(release) == before


def test_killed_under_load(
    release: Release, cluster: Kubernetes, items: list[str], urls: Mapping[str, str]
) -> None:
    """Processes of pods killed at random, of the API and of the stream workers, cost no request of
    a caller who tries again, and no acknowledged event."""
    random = Random(7)
    load = Load(release.url, release.key("kill"), items, again=True)
    with load.running() as counted:
        for _ in range(KILLS):
            reached = counted.sent
            until("load", lambda reached=reached: counted.sent > reached + ENOUGH)
            pods = release.namespace.pods("api") + release.namespace.pods("stream")
            (status,) = random.choice(pods)["status"]["containerStatuses"]
            cluster.crash(status["containerID"])
            until("its end to be seen", lambda status=status: not runs(release, status))
            until("another in its place", lambda: is_whole(release))
    print(f"{KILLS} kills: {counted}")
    assert not counted.lost
    assert found(urls, counted.acknowledged) == len(counted.acknowledged) > 0


def test_an_eviction_waits_for_its_turn(release: Release) -> None:
    """Whoever drains nodes can take one pod of the API away, and the second only when there is
    another in its place."""
    until("two pods", lambda: is_whole(release))
    first, second = (pod["metadata"]["name"] for pod in release.namespace.pods("api"))
    evict(release, first)
    with pytest.raises(Failed, match="disruption budget"):
        evict(release, second)
    until("two pods again", lambda: is_whole(release))


def log_of_migrations(release: Release) -> str:
    """Of the job's pods; nothing while the first starts."""
    try:
        return release.namespace.kubectl("logs", "-l", "app.kubernetes.io/component=migrate")
    except Failed:
        return ""


def versions(release: Release) -> set[str]:
    """What the pods of the API run."""
    pods = release.namespace.pods("api")
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods}


def serving(release: Release) -> set[str]:
    """The names of the pods, which a replaced one does not keep."""
    pods = release.namespace.pods("api") + release.namespace.pods("stream")
    return {pod["metadata"]["name"] for pod in pods}


def is_whole(release: Release) -> bool:
    """Whether all pods that should be there are ready."""
    pods = {part: release.namespace.pods(part) for part in ("api", "stream")}
    ready = {part: [pod for pod in found if is_ready(pod)] for part, found in pods.items()}
    return (len(ready["api"]), len(ready["stream"])) == (2, 1) and ready == pods


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def waits(release: Release, reason: str) -> bool:
    """Whether a pod of the API does not get on, for that reason."""
    for pod in release.namespace.pods("api"):
        for status in pod["status"].get("containerStatuses", []):
            state = status["state"].get("waiting") or status["state"].get("terminated") or {}
            if re.search(reason, state.get("reason", "")):
                return True
    return False


def runs(release: Release, status: Mapping[str, Any]) -> bool:
    """Whether the container with this status is still the one that its pod has."""
    pods = release.namespace.pods("api") + release.namespace.pods("stream")
    found = [one["containerID"] for pod in pods for one in pod["status"]["containerStatuses"]]
    return status["containerID"] in found


def evict(release: Release, pod: str) -> None:
    """As `kubectl drain` does it."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": release.namespace.name},
    }
    path = f"/api/v1/namespaces/{release.namespace.name}/pods/{pod}/eviction"
    release.namespace.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))


def found(urls: Mapping[str, str], event_ids: list[str]) -> int:
    """How many rows of the log have one of these ids."""
    with psycopg.connect(urls["NEXTUP_EVENT_LOG_URL"]) as connection:
        counted = connection.execute(
            "SELECT count(*) FROM events WHERE event_id = ANY(%s)", (event_ids,)
        ).fetchone()
    assert counted is not None
    number: int = counted[0]
    return number
