"""What a tracker promises, asked of MLflow on a SQLite file and of its tracking server."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.backends import TRACKERS, Place, places

from nextup.adapters.tracker.mlflow_client import MlflowConnection
from nextup.domain.errors import NotFound
from nextup.ports.tracker import Training
from nextup.settings_servers import Connections

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.tracker import Tracker

MADE = datetime(2026, 3, 31, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables, which take seconds to make."""
    folder = tmp_path_factory.mktemp("mlflow")
    place = Place("mlflow://", folder)
    place.tracker().pointed("in_service")
    place.close()
    return folder / "data" / "mlflow.db"


@pytest.fixture(params=TRACKERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param.name == "sqlite":
        (tmp_path / "data").mkdir()
        shutil.copy(request.getfixturevalue("tables"), tmp_path / "data" / "mlflow.db")
    yield from places(request, tmp_path)


@pytest.fixture
def tracker(place: Place) -> Tracker:
    return place.tracker()


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "als").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "als" / "items.npy").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def training(artifact: Path) -> Training:
    return Training(
        model_id="2026-03-31-a1",
        created_at=MADE,
        settings={"recipe.components.als.factors": "64", "weights.like": "5.0"},
        metrics={"candidate.ndcg@10": 0.3, "candidate.ndcg@10.low": 0.2, "none": float("nan")},
        data={"silver.interactions": "12"},
        notes={"verdict": "gate: passed"},
        texts={"plots/ndcg.svg": "<svg/>"},
        folder=lambda: artifact,
    )


class Seen:
    """What MLflow's own client shows of a place."""

    def __init__(self, place: Place) -> None:
        self._names = f"{place.tenant}_nextup"
        self._server = MlflowConnection(place.url, place.home, Connections())
        self.client: Any = self._server.client

    @property
    def runs(self) -> list[Any]:
        experiment = self.client.get_experiment_by_name(self._names)
        return list(self.client.search_runs([experiment.experiment_id]))

    @property
    def versions(self) -> list[Any]:
        return list(self.client.search_model_versions(f"name = '{self._names}'"))

    @property
    def aliases(self) -> dict[str, str]:
        found = self.client.get_registered_model(self._names).aliases
        return {alias: str(version) for alias, version in found.items()}

    def files(self, run: Any, folder: str) -> dict[str, int]:
        listed = self.client.list_artifacts(run.info.run_id, folder)
        return {one.path: one.file_size for one in listed}


@pytest.fixture
def seen(place: Place, tracker: Tracker) -> Iterator[Seen]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own
        tracker.pointed("in_service")
        yield Seen(place)


def test_a_training_is_a_run(tracker: Tracker, training: Training, seen: Seen) -> None:
    """With its settings, numbers, data, notes, files and the artifact; what is no number stays
    away."""
    tracker.record(training)
    (run,) = seen.runs
    assert run.info.run_name == "2026-03-31-a1"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"recipe.components.als.factors": "64", "weights.like": "5.0"}
    assert run.data.metrics == {"candidate.ndcg_at_10": 0.3, "candidate.ndcg_at_10.low": 0.2}
    assert run.data.tags["verdict"] == "gate: passed"
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("silver.interactions", "version 12")
    assert list(seen.files(run, "plots")) == ["plots/ndcg.svg"]
    assert seen.files(run, "model/als") == {"model/als/items.npy": 256}
    (version,) = seen.versions
    assert version.run_id == run.info.run_id


def test_telling_it_again_changes_nothing(tracker: Tracker, training: Training, seen: Seen) -> None:
    """One run and one version, however often; the artifact is not even asked for."""

    def nobody_asks() -> Path:
        raise AssertionError

    tracker.record(training)
    (before,) = seen.runs
    tracker.record(replace(training, folder=nobody_asks))
    assert [run.data.to_dictionary() for run in seen.runs] == [before.data.to_dictionary()]
    assert len(seen.versions) == 1


def test_what_is_learned_later_is_added(tracker: Tracker, training: Training, seen: Seen) -> None:
    """A verdict that comes after the training is told of the same run; numbers that changed are
    the latest."""
    tracker.record(replace(training, metrics={}, notes={}))
    tracker.record(training)
    tracker.record(replace(training, metrics={"candidate.ndcg@10": 0.4}))
    (run,) = seen.runs
    assert run.data.metrics["candidate.ndcg_at_10"] == 0.4
    assert run.data.tags["verdict"] == "gate: passed"
    assert len(seen.versions) == 1


def test_many_settings(tracker: Tracker, training: Training, seen: Seen) -> None:
    """More than MLflow takes at once, and longer than it takes at all."""
    many = {f"setting.{number}": "x" * (7_000 if number == 7 else 1) for number in range(250)}
    tracker.record(replace(training, settings=many))
    (run,) = seen.runs
    assert len(run.data.params) == 250
    assert len(run.data.params["setting.7"]) == 6_000


def test_an_alias_follows(tracker: Tracker, training: Training, seen: Seen) -> None:
    """It means what it was last pointed at, in MLflow's own registry, too; with None nothing."""
    for name in ("first", "second"):
        tracker.record(replace(training, model_id=name))
    assert tracker.pointed("in_service") is None
    tracker.point("in_service", "first")
    tracker.point("in_service", "second")
    tracker.point("previous", "first")
    assert (tracker.pointed("in_service"), tracker.pointed("previous")) == ("second", "first")
    by_id = {version.tags["nextup.model_id"]: str(version.version) for version in seen.versions}
    assert seen.aliases == {"in_service": by_id["second"], "previous": by_id["first"]}
    tracker.point("previous", None)
    tracker.point("never", None)
    assert tracker.pointed("previous") is None


def test_a_model_that_nobody_recorded(tracker: Tracker) -> None:
    """No alias can mean it; and before anything was recorded no alias means anything."""
    assert tracker.pointed("in_service") is None
    with pytest.raises(NotFound, match="does not know"):
        tracker.point("in_service", "nobody")


def test_another_process_goes_on(place: Place, training: Training) -> None:
    """What one has told, the next one finds."""
    first = place.tracker()
    first.record(training)
    first.point("in_service", training.model_id)
    first.close()
    first.close()
    second = place.tracker()
    assert second.pointed("in_service") == training.model_id
    second.record(training)


def test_tenants_do_not_meet(place: Place, training: Training) -> None:
    """Each has an experiment and a registered model of its own in the same MLflow."""
    mine = place.tracker()
    mine.record(training)
    mine.point("in_service", training.model_id)
    other = Place(place.url, place.home, f"{place.tenant}x")
    assert other.tracker().pointed("in_service") is None
    other.close()
