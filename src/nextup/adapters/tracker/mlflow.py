"""Models in MLflow: a run for each training, a version of one registered model for each artifact.

`mlflow://` is a SQLite file, `mlflow+postgresql://...` a database of MLflow's own, and
`mlflow+http://...` a tracking server. The library takes seconds to import, which is why nothing of
it is touched before something is told.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, Final

from nextup.adapters.tracker.mlflow_client import MlflowConnection, translated
from nextup.domain.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextup.ports.tracker import Training
    from nextup.settings_servers import Connections, Tracking

MODEL_ID: Final = "nextup.model_id"  # a tag of the run and of the version
CONTENT: Final = "nextup.content"  # likewise: a digest of what is told already
ARTIFACT: Final = "nextup.artifact"  # likewise: when the uploaded artifact was made
FOLDER: Final = "model"  # of the artifact, among a run's files
AT_ONCE: Final = 100  # settings in one request: MLflow's limit
LONGEST: Final = 6_000  # characters of a setting: likewise
LONGEST_TAG: Final = 5_000  # characters of a tag: likewise
WAIT_SECONDS: Final = 30  # until a server has a new version ready


class MlflowTracker:
    """See the module. Names begin with the tenant's prefix."""

    def __init__(
        self,
        url: str,
        home: Path,
        options: Tracking,
        *,
        prefix: str = "",
        connections: Connections,
    ) -> None:
        self._server = MlflowConnection(url, home, connections)
        self._artifacts = home / options.artifacts / prefix
        self._experiment = f"{prefix}{options.experiment}"
        self._model = f"{prefix}{options.model}"

    def record(self, training: Training) -> None:
        """As in the port."""
        with translated(self._server):
            run = self._run(training)
            content = _digest(training)
            if run.data.tags.get(CONTENT) == content and run.info.status == "FINISHED":
                return
            run_id = run.info.run_id
            self._tell(run, training)
            if training.folder is not None:
                self._upload(run, training)
                self._register(run, training)
            self._client.set_tag(run_id, CONTENT, content)  # last: all before it is there
            self._client.set_terminated(run_id, end_time=_milliseconds(training))

    def point(self, alias: str, model_id: str | None) -> None:
        """As in the port."""
        if self.pointed(alias) == model_id:
            return
        with translated(self._server):
            if model_id is None:
                self._client.delete_registered_model_alias(self._model, alias)
                return
            version = self._version_of(model_id)
            self._client.set_registered_model_alias(self._model, alias, version)

    def pointed(self, alias: str) -> str | None:
        """As in the port."""
        with translated(self._server):
            if not self._is_registered():
                return None
            version = self._client.get_registered_model(self._model).aliases.get(alias)
            if version is None:
                return None
            tags: Mapping[str, str] = self._client.get_model_version(self._model, version).tags
            return tags.get(MODEL_ID)

    def close(self) -> None:
        """As in the port."""
        self._server.close()

    @property
    def _client(self) -> Any:
        return self._server.client

    def _run(self, training: Training) -> Any:
        """The model's run, new if there is none."""
        experiment = self._experiment_id()
        query = f"tags.`{MODEL_ID}` = '{training.model_id}'"
        for run in self._client.search_runs([experiment], query, max_results=1):
            return run
        return self._client.create_run(
            experiment,
            start_time=_milliseconds(training),
            tags={MODEL_ID: training.model_id},
            run_name=training.model_id,
        )

    def _experiment_id(self) -> str:
        known = self._client.get_experiment_by_name(self._experiment)
        if known is not None:
            return str(known.experiment_id)
        # A server knows itself where files go; a database is told.
        place = None if self._server.is_http else self._artifacts.resolve().as_uri()
        return str(self._client.create_experiment(self._experiment, place))

    def _tell(self, run: Any, training: Training) -> None:
        from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

        run_id, at = run.info.run_id, _milliseconds(training)
        metrics = [
            Metric(_name(name), value, at, 0)
            for name, value in training.metrics.items()
            if math.isfinite(value) and run.data.metrics.get(_name(name)) != value
        ]
        params = [
            Param(_name(name), value[:LONGEST])
            for name, value in training.settings.items()
            if _name(name) not in run.data.params  # a setting is told once
        ]
        tags = [RunTag(name, value[:LONGEST_TAG]) for name, value in training.notes.items()]
        for some in _chunks(params):
            self._client.log_batch(run_id, params=some)
        for some in _chunks(metrics):
            self._client.log_batch(run_id, metrics=some)
        for some in _chunks(tags):
            self._client.log_batch(run_id, tags=some)
        inputs = [
            DatasetInput(Dataset(table, f"version {version}"[:36], "delta", json.dumps(table)))
            for table, version in training.data.items()
        ]
        if inputs and not run.inputs.dataset_inputs:
            self._client.log_inputs(run_id, inputs)
        for name, text in training.texts.items():
            self._client.log_text(run_id, text, name)

    def _upload(self, run: Any, training: Training) -> None:
        made = training.created_at.isoformat()
        if training.folder is None or run.data.tags.get(ARTIFACT) == made:
            return
        self._client.log_artifacts(run.info.run_id, str(training.folder()), FOLDER)
        self._client.set_tag(run.info.run_id, ARTIFACT, made)

    def _register(self, run: Any, training: Training) -> None:
        if not self._is_registered():
            self._client.create_registered_model(self._model)
        if self._versions(training.model_id):
            return
        self._client.create_model_version(
            self._model,
            f"{run.info.artifact_uri}/{FOLDER}",
            run.info.run_id,
            tags={MODEL_ID: training.model_id},
            await_creation_for=WAIT_SECONDS,
        )

    def _is_registered(self) -> bool:
        return bool(self._client.search_registered_models(f"name = '{self._model}'", max_results=1))

    def _version_of(self, model_id: str) -> str:
        versions = self._versions(model_id)
        if not versions:
            raise NotFound(
                f"The tracker does not know model '{model_id}'.",
                cure="`nextup model track` tells it of all models.",
            )
        return str(versions[0].version)

    def _versions(self, model_id: str) -> list[Any]:
        query = f"name = '{self._model}' and tags.`{MODEL_ID}` = '{model_id}'"
        return list(self._client.search_model_versions(query, max_results=1))


def _name(name: str) -> str:
    """In the letters that MLflow takes."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name.replace("@", "_at_"))


def _digest(training: Training) -> str:
    parts = [
        training.created_at.isoformat(),
        *(dict(part) for part in (training.settings, training.metrics, training.data)),
        *(dict(part) for part in (training.notes, training.texts)),
        training.folder is not None,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _milliseconds(training: Training) -> int:
    return int(training.created_at.timestamp() * 1000)


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
