"""Tell the tracker what the registry knows: of each model, and of which one serves.

The registry is the truth. Whatever is told here is made from its records, so that a tracker that
was away, or came later, is told all of it by `catch_up`; and none of it ever fails a training or
a promotion.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Protocol

from nextup.domain.errors import NextupError
from nextup.ports.files import SupportsLocalPath
from nextup.ports.tracker import Training
from nextup.services.artifacts import FOLDER
from nextup.services.interval_plot import Dot, interval_plot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nextup.domain.operations import ModelRecord
    from nextup.ports.control import Control
    from nextup.ports.files import Files
    from nextup.ports.tracker import Tracker
    from nextup.settings import Settings
    from nextup.settings_servers import Tracking

log = logging.getLogger(__name__)


class KnowsModels(Protocol):
    """What an open platform has, and a server's view of it."""

    @property
    def settings(self) -> Settings:
        """What the aliases are called."""
        ...

    @property
    def control(self) -> Control:
        """Which model serves."""
        ...

    @property
    def tracker(self) -> Tracker:
        """Who is told."""
        ...


COMPARED = ("candidate", "fixed_blend", "in_service", "popularity")  # from above in a plot
ENDS = ("", ".low", ".high")  # of the names of a mean and its interval
NOT_SETTINGS = frozenset({"tables", "log_position"})  # of a lineage: these are data


def track(tracker: Tracker, files: Files, model: ModelRecord) -> str:
    """Tell the tracker of a model. Returns what went wrong, empty if nothing did."""
    return _attempt(lambda: tracker.record(training_of(files, model)))


def follow(tracker: Tracker, control: Control, names: Tracking) -> str:
    """Bring the tracker's aliases in step with the registry; returns as `track` does."""
    return _attempt(lambda: _point(tracker, control, names))


def follow_at(ports: KnowsModels) -> str:
    """The same; a tracker that cannot even be opened is something that went wrong, too."""
    return _attempt(lambda: _point(ports.tracker, ports.control, ports.settings.tracking))


def catch_up(tracker: Tracker, control: Control, files: Files, names: Tracking) -> tuple[str, ...]:
    """Tell the tracker of every model in the registry, and which one serves; returns their ids.

    Telling it again changes nothing. Unlike the others it raises what goes wrong.
    """
    models = sorted(control.models(), key=lambda model: model.created_at)
    for model in models:
        tracker.record(training_of(files, model))
    _point(tracker, control, names)
    return tuple(model.model_id for model in models)


def training_of(files: Files, model: ModelRecord) -> Training:
    """What is told of a model: all that its record says."""
    lineage = model.lineage
    made = {name: value for name, value in lineage.items() if name not in NOT_SETTINGS}
    made["component"] = model.component
    read = lineage.get("tables", {})  # those that were not there yet have no version
    return Training(
        model_id=model.model_id,
        created_at=model.created_at,
        settings={name: _text(value) for name, value in _flat(made)},
        metrics=dict(_numbers(model.metrics)),
        data={table: _text(version) for table, version in read.items() if version is not None},
        notes=_notes(model),
        texts=_texts(model),
        folder=_folder(files, model.model_id),
    )


def _point(tracker: Tracker, control: Control, names: Tracking) -> None:
    earlier = control.previous_models()
    tracker.point(names.alias, control.current_model())
    tracker.point(names.previous_alias, earlier[0] if earlier else None)


def _attempt(tell: Callable[[], None]) -> str:
    try:
        tell()
    except NextupError as error:
        log.warning("The tracker was not told: %s", error)
        return f"not tracked: {error.message}"
    return ""


def _folder(files: Files, model_id: str) -> Callable[[], Path] | None:
    """Where the artifact can be copied from; None where it is gone or not within reach."""
    name = f"{FOLDER}/{model_id}"
    if not isinstance(files, SupportsLocalPath) or not files.exists(f"{name}/model.json"):
        return None
    return lambda: files.local_path(name)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """What is nested gets a name of all the names above it."""
    for name, value in values.items():
        whole = f"{before}.{name}" if before else str(name)
        if isinstance(value, dict):
            yield from _flat(value, whole)
        else:
            yield whole, value


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number by itself; `[mean, low, high]` becomes a number and its interval's ends."""
    for name, value in _flat(metrics):
        if isinstance(value, list | tuple) and len(value) == len(ENDS):
            yield from zip((name + end for end in ENDS), map(float, value), strict=True)
        elif isinstance(value, bool | int | float):
            yield name, float(value)


def _notes(model: ModelRecord) -> dict[str, str]:
    notes = {"verdict": model.verdict, "passed": str(model.passed).lower() if model.verdict else ""}
    position = model.lineage.get("log_position")
    if position:
        notes["log_position"] = json.dumps(position, default=str)
    return {name: text for name, text in notes.items() if text}


def _texts(model: ModelRecord) -> dict[str, str]:
    """The record itself, and a plot for each metric that several lists were measured by."""
    record = {"lineage": model.lineage, "metrics": model.metrics, "verdict": model.verdict}
    texts = {"record.json": json.dumps(record, indent=2, default=str, sort_keys=True)}
    measured = {name: model.metrics[name] for name in COMPARED if name in model.metrics}
    for metric in measured.get(COMPARED[0], ()):
        plot = _plot(metric, measured)
        if plot:
            texts[f"plots/{metric.replace('@', '_at_')}.svg"] = plot
    return texts


def _plot(metric: str, measured: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (name.replace("_", " "), [Dot(mean, low, high, "figure")])
        for name, figures in measured.items()
        if isinstance(figures.get(metric), list | tuple)
        for mean, low, high in [figures[metric]]
    ]
    drawn = interval_plot(rows)
    style = "text{font:12px sans-serif}line,circle{stroke:#456;fill:#456}.axis{stroke:#ccc}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg"{drawn[4:]}' if drawn else ""
    return head.replace(">", f"><style>{style}</style>", 1)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
