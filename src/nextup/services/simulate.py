"""Let a simulated audience act on the catalogue, through the log like everybody."""

from __future__ import annotations

import hashlib
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from nextup.algorithms.audience.simulate import simulate as simulate_audience
from nextup.domain.errors import Conflict
from nextup.domain.events import Event, from_microseconds
from nextup.services.sample import sample_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from nextup.algorithms.audience.simulate import Audience, AudienceConfig
    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.ports.event_log import EventLog
    from nextup.services.train import Report

CHUNK = 20_000  # events per append


class Simulated(NamedTuple):
    """What was written."""

    people: int
    items: int
    events: int
    duplicates: int  # events of an earlier, equal simulation


class DayFile(NamedTuple):
    """A day's events."""

    path: Path
    events: int


def put_sample(catalog: Catalog) -> int:
    """Put the sample's films and books into the catalogue; again, it changes nothing."""
    return catalog.put_items(sample_items())


def simulate(
    log: EventLog,
    catalog: Catalog,
    config: AudienceConfig,
    *,
    ends_at: datetime,
    seed: int,
    report: Report | None = None,
) -> Simulated:
    """Append what the audience does up to `ends_at`. The same audience twice is counted once.

    Raises Conflict for an empty catalogue.
    """
    items = _ready(list(catalog.all_items()))
    audience = simulate_audience(items, config, ends_at=ends_at, seed=seed)
    events = _events(audience, f"{ends_at:%Y%m%dT%H%M%S}-{_fingerprint(items, config)}-")
    done = duplicates = 0
    while chunk := list(islice(events, CHUNK)):
        duplicates += sum(receipt.duplicate for receipt in log.append(chunk))
        done += len(chunk)
        if report is not None:
            report("events", done, len(audience))
    return Simulated(
        len(set(audience.user_ids)), len(items), len(audience) - duplicates, duplicates
    )


def write_days(
    folder: Path,
    items: Sequence[Item],
    config: AudienceConfig,
    *,
    ends_at: datetime,
    seed: int,
) -> Sequence[DayFile]:
    """The same events as files, one for each day (UTC) on which anything happened:
    `events-<date>.jsonl`, each line an event as the API takes it.

    Equal arguments write equal files over those of before. Raises Conflict without items.
    """
    ready = _ready(items)
    audience = simulate_audience(ready, config, ends_at=ends_at, seed=seed)
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    events = _events(audience, f"{ends_at:%Y%m%dT%H%M%S}-{_fingerprint(ready, config)}-")
    for day, those in groupby(events, lambda event: event.occurred_at.date()):
        lines = [msgspec.json.encode(_line(event)) for event in those]
        path = folder / f"events-{day}.jsonl"
        making = path.with_name(f".{path.name}")  # whole when it has its name: others take it up
        making.write_bytes(b"\n".join(lines) + b"\n")
        making.replace(path)
        written.append(DayFile(path, len(lines)))
    return written


def _line(event: Event) -> dict[str, Any]:
    fields = {
        "event_id": event.event_id,
        "type": event.type,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "value": event.value,
        "occurred_at": event.occurred_at,
        "session_id": event.session_id,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _ready(items: Sequence[Item]) -> Sequence[Item]:
    if not items:
        raise Conflict("There is nothing to act on.", cure="`nextup ingest sample` brings items.")
    return best_known_first(items)


def _fingerprint(items: Sequence[Item], config: AudienceConfig) -> str:
    """Keeps apart what audiences of different sizes or catalogues do at one time with one seed."""
    inputs = repr([config, [item.item_id for item in items]])
    return hashlib.sha256(inputs.encode()).hexdigest()[:8]


def best_known_first(items: Sequence[Item]) -> list[Item]:
    """The sample's own order, which is by fame; items of other origin follow by id."""
    fame = {item.item_id: place for place, item in enumerate(sample_items())}
    return sorted(items, key=lambda item: (fame.get(item.item_id, len(fame)), item.item_id))


def _events(audience: Audience, prefix: str) -> Iterator[Event]:
    """The columns as events; the prefix keeps periods apart that were made with one seed."""
    columns = zip(
        audience.event_ids,
        audience.types,
        audience.user_ids,
        audience.item_ids,
        audience.occurred_at.tolist(),
        audience.values,
        audience.session_ids,
        strict=True,
    )
    for event_id, kind, user_id, item_id, occurred_at, value, session_id in columns:
        moment = from_microseconds(occurred_at)
        yield Event(prefix + event_id, kind, user_id, item_id, moment, value, prefix + session_id)
