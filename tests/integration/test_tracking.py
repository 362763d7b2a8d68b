"""The tracker is told what the registry knows, and never stands in anybody's way."""

from __future__ import annotations

import json
import traceback
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url
from tests.contract.backends import POSTGRESQL
from tests.servers import reach
from typer.testing import CliRunner

from nextup.bootstrap import open_adapter, open_platform
from nextup.domain.errors import BackendUnavailable, ConfigurationError
from nextup.entrypoints.cli.app import app
from nextup.ports.files import SupportsLocalPath
from nextup.services import registry
from nextup.services.artifacts import load_artifact, save_artifact
from nextup.services.tracking import catch_up, follow_at, training_of
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

SECRET = "hunter2-is-secret"
AWAY = "mlflow+http://127.0.0.1:9"  # where nobody listens


@pytest.fixture
def two_models(built: Platform) -> tuple[str, str]:
    """The model in service, and a copy of it under another id that was made later."""
    control, files = built.control, built.files
    (first,) = control.models()
    artifact = replace(load_artifact(files, first.model_id), model_id="another")
    save_artifact(files, artifact)
    control.save_model(replace(first, model_id="another", promoted_at=None))
    return first.model_id, "another"


@pytest.fixture
def tracked(built: Platform, two_models: tuple[str, str]) -> Iterator[Platform]:
    """The same platform with MLflow as its tracker, told of both models."""
    settings = load_settings(built.settings.home, tracker_url="mlflow://")
    with open_platform(settings) as platform:
        catch_up(platform.tracker, platform.control, platform.files, settings.tracking)
        yield platform


def aliases(platform: Platform) -> tuple[str | None, str | None]:
    return platform.tracker.pointed("in_service"), platform.tracker.pointed("previous")


def test_aliases_are_in_step_with_the_registry(
    tracked: Platform, two_models: tuple[str, str]
) -> None:
    """A tracker that comes late is told of all; then each promotion and rollback moves them."""
    first, another = two_models
    assert aliases(tracked) == (first, None)
    registry.promote(tracked.control, tracked.recommendation_store, another)
    assert follow_at(tracked) == ""
    assert aliases(tracked) == (another, first)
    registry.rollback(tracked.control, tracked.recommendation_store)
    assert follow_at(tracked) == ""
    assert aliases(tracked) == (first, None)


def test_everything_is_told(built: Platform) -> None:
    """A model's record becomes settings, numbers with intervals, data versions, plots, and the
    folder of the artifact."""
    (model,) = built.control.models()
    told = training_of(built.files, model)
    assert told.settings["recipe.components.als.factors"] == "16"
    assert told.settings["gate.k"] == "10"
    mean = told.metrics["candidate.ndcg@10"]
    assert told.metrics["candidate.ndcg@10.low"] <= mean <= told.metrics["candidate.ndcg@10.high"]
    assert told.data["silver.interactions"] == str(model.lineage["tables"]["silver.interactions"])
    assert "null" not in told.data.values()
    assert told.notes["verdict"] == model.verdict
    assert told.texts["plots/ndcg_at_10.svg"].startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert json.loads(told.texts["record.json"])["verdict"] == model.verdict
    assert isinstance(built.files, SupportsLocalPath)
    assert told.folder is not None
    assert told.folder() == built.files.local_path(f"models/{model.model_id}")


def test_a_tracker_that_is_away_stops_nothing(
    built: Platform, two_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion is made, and says that the tracker was not told; `model track` says why."""
    monkeypatch.setenv("NEXTUP_TRACKER_URL", AWAY)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    home = str(built.settings.home)
    done = CliRunner().invoke(app, ["model", "promote", two_models[1], "-C", home])
    assert done.exit_code == 0, done.output
    assert built.control.current_model() == two_models[1]
    assert "not tracked: MLflow at http://127.0.0.1:9 cannot be reached." in done.output
    refused = CliRunner().invoke(app, ["model", "track", "-C", home])
    assert "cannot be reached" in str(refused.exception)


def test_no_tracker_is_said(built: Platform) -> None:
    """`model track` without one names the setting."""
    done = CliRunner().invoke(app, ["model", "track", "-C", str(built.settings.home)])
    assert isinstance(done.exception, ConfigurationError)
    assert "tracker_url" in done.exception.cure


@pytest.fixture(params=[POSTGRESQL])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of MLflow's own."""
    url = reach(request, request.param).url
    name = "mlflow_of_a_test"
    with closing(psycopg.connect(make_conninfo(url), autocommit=True)) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
        yield url.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_mlflow_on_postgresql(database: str, tmp_path: Path) -> None:
    """Its tables are made at the first use; a wrong password is named without being shown."""
    settings = load_settings(tmp_path, tracker_url=f"mlflow+{database}")
    tracker: Any = open_adapter("tracker", settings)
    assert tracker.pointed("in_service") is None
    tracker.close()
    wrong = make_url(database).set(password=SECRET).render_as_string(hide_password=False)
    refused: Any = open_adapter("tracker", load_settings(tmp_path, tracker_url=f"mlflow+{wrong}"))
    with pytest.raises(BackendUnavailable, match="refuses the user or the password") as error:
        refused.pointed("in_service")
    assert SECRET not in f"{error.value!r} {error.value.__cause__}"
    refused.close()


def test_a_password_for_a_server_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the error nor in what it came from."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    url = AWAY.replace("//", f"//somebody:{SECRET}@")
    tracker: Any = open_adapter("tracker", load_settings(tmp_path, tracker_url=url))
    with pytest.raises(BackendUnavailable, match="cannot be reached") as error:
        tracker.pointed("in_service")
    shown = "".join(traceback.format_exception(error.value))
    assert SECRET not in shown
    tracker.close()


def test_what_is_not_mlflow_is_said(tmp_path: Path) -> None:
    """A URL that leads nowhere is a mistake in the settings."""
    settings = load_settings(tmp_path, tracker_url="mlflow+ftp://host")
    with pytest.raises(ConfigurationError, match="not reached by"):
        open_adapter("tracker", settings)
