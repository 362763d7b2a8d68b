"""One pod without any server: installed, upgraded, uninstalled, and installed again on its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.kubernetes.release import SMALL, Release, until

if TYPE_CHECKING:
    from tests.kubernetes.release import Namespace

KEPT = {("persistentvolumeclaims", "nextup-data"), ("secrets", "nextup-admin")}
KINDS = (
    "all",
    "configmaps",
    "secrets",
    "persistentvolumeclaims",
    "networkpolicies",
    "poddisruptionbudgets",
    "cronjobs",
    "jobs",
    "ingresses",
    "serviceaccounts",
)
EVERY_NAMESPACE_HAS = {("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")}


def test_one_machine(namespace: Namespace) -> None:
    """On SQLite and Delta in a volume: a list of the model, an upgrade that keeps everything, an
    uninstallation that leaves the volume and the password of its admin and nothing else, and an
    installation that finds both."""
    release = Release(namespace, "single")
    release.install(SMALL)
    release.bring_people()
    with release.api() as api:
        event = {"type": "like", "user_id": "ada", "item_id": "film:alien-1979", "event_id": "e1"}
        assert api.post("/v1/events", json=event).status_code == 202
        model = api.get("/v1/users/sci-fi-fan/recommendations").json()["model_id"]
    assert model

    release.install(SMALL, {"image": {"tag": "next"}})
    assert release.run("--version").strip().endswith("next")
    remembers(release, model)

    namespace.helm("uninstall", "nextup", "--wait", "--timeout", "10m")
    until("nothing but the data", lambda: left(namespace) == KEPT)  # pods take leave by themselves

    release.install(SMALL)
    remembers(release, model)


def remembers(release: Release, model: str) -> None:
    """It serves the same model, knows its admin, and what Ada did."""
    with release.api() as api:
        known = api.get("/v1/users/sci-fi-fan/recommendations").json()
        assert (known["model_id"], known["level"]) == (model, "fresh")
        again = {"type": "like", "user_id": "ada", "item_id": "film:alien-1979", "event_id": "e1"}
        assert api.post("/v1/events", json=again).json()["duplicate"]
        history = api.get("/v1/users/ada/history").json()
        assert "film:alien-1979" in str(history)


def left(namespace: Namespace) -> set[tuple[str, str]]:
    """What a namespace holds beside what every one has; finished jobs of the test's own apart."""
    namespace.kubectl("delete", "job", "--all", "--timeout=5m")
    found = {(kind, name) for kind in KINDS for name in namespace.names(kind)}
    return found - EVERY_NAMESPACE_HAS
