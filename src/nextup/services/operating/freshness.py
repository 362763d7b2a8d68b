"""How far behind the log each view of it stands, and how old what serves is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from nextup.domain.errors import NextupError
from nextup.domain.operations import Outcome
from nextup.domain.tables import Table
from nextup.services.collect import SOURCE
from nextup.services.stream import distance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nextup.domain.events import Position
    from nextup.domain.operations import Generation, ModelRecord, Run
    from nextup.services.serving import ServingPorts

T = TypeVar("T")

ONLINE, LAKE, SILVER = "online", "lake", "silver"
COMPARED = ("candidate", "in_service", "popularity")  # what the gate measures


@dataclass(frozen=True, slots=True)
class Lag:
    """How many events a reader of the log has still before it; None where nobody can tell."""

    group: str
    events: int | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old everything is. None: there is none yet, or its backend does not answer."""

    at: datetime
    events: int | None  # offsets that the log has used
    lags: Sequence[Lag]
    model_id: str | None = None
    model_created_at: datetime | None = None
    model_promoted_at: datetime | None = None
    generation: str | None = None
    generation_published_at: datetime | None = None
    lists: int | None = None  # in the generation in service
    last_success: Run | None = None
    last_run: Run | None = None


def freshness(ports: ServingPorts) -> Freshness:
    """Asks every view where it stands. A backend that is down leaves gaps, never an error."""
    head = _or_none(ports.event_log.head)
    model_id = _or_none(ports.control.current_model)
    model = _or_none(lambda: ports.control.model(model_id)) if model_id else None
    generation = _or_none(lambda: current_generation(ports))
    runs = _or_none(lambda: ports.control.runs(20)) or ()
    return Freshness(
        at=datetime.now(UTC),
        events=None if head is None else sum(head.values()),
        lags=[
            Lag(group, _lag(head, stands))
            for group, stands in (
                (ONLINE, ports.online_state.position),
                (LAKE, lambda: ports.lake.position(Table.EVENTS, SOURCE)),
                (SILVER, lambda: ports.lake.position(Table.INTERACTIONS, SOURCE)),
            )
        ],
        model_id=model_id,
        model_created_at=model.created_at if model else None,
        model_promoted_at=model.promoted_at if model else None,
        generation=generation.generation if generation else None,
        generation_published_at=generation.published_at if generation else None,
        lists=generation.lists if generation else None,
        last_success=next((run for run in runs if run.outcome is Outcome.SUCCEEDED), None),
        last_run=runs[0] if runs else None,
    )


def current_generation(ports: ServingPorts) -> Generation | None:
    """The generation that is in service, as it was published."""
    name = ports.recommendation_store.current()
    return next((one for one in ports.control.generations() if one.generation == name), None)


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """A generation, and whether one can switch to it."""

    generation: Generation
    stored: bool  # its lists are still in the store
    in_service: bool


def generations(ports: ServingPorts) -> Iterator[StoredGeneration]:
    """Every one that was published, the latest first."""
    current = ports.recommendation_store.current()
    stored = set(ports.recommendation_store.generations())
    for one in ports.control.generations():
        yield StoredGeneration(one, one.generation in stored, one.generation == current)


class Interval(NamedTuple):
    """A measured figure, and between which ones it lies; a bare figure lies at itself."""

    value: float
    low: float
    high: float


def model_intervals(model: ModelRecord | None) -> Mapping[str, Mapping[str, Interval]]:
    """What the gate measured: per contender (`candidate` is the model itself) each metric."""
    quality: dict[str, dict[str, Interval]] = {}
    for contender in COMPARED:
        figures = model.metrics.get(contender) if model else None
        for metric, found in (figures or {}).items():
            value = found[0] if isinstance(found, list | tuple) and found else found
            if isinstance(value, int | float):
                ends = found[1:3] if isinstance(found, list | tuple) and len(found) > 2 else ()
                low, high = ends or (value, value)
                told = Interval(float(value), float(low), float(high))
                quality.setdefault(contender, {})[metric] = told
    return quality


def model_quality(model: ModelRecord | None) -> Mapping[str, Mapping[str, float]]:
    """The same without the intervals."""
    return {
        contender: {metric: found.value for metric, found in figures.items()}
        for contender, figures in model_intervals(model).items()
    }


def _lag(head: Position | None, stands: Callable[[], Position]) -> int | None:
    position = _or_none(stands)
    return None if head is None or position is None else distance(position, head)


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except NextupError:
        return None
