"""What broke a contract: look at it, count it, and re-admit what a fix made valid."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from nextup.domain.errors import NotFound
from nextup.domain.events import from_microseconds, to_microseconds
from nextup.domain.people import client_of, own_id, stored_id
from nextup.domain.tables import (
    EVENT_ID,
    OCCURRED_AT,
    PARTITION,
    READMITTED_AT,
    REASON,
    RECORD,
    REJECTED_AT,
    REJECTED_ID,
    RULE,
    SOURCE,
    USER_ID,
    Table,
)
from nextup.services.collect import SOURCE as COLLECTED
from nextup.services.contracts import parse_record
from nextup.services.event_schemas import Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from nextup.domain.events import Event
    from nextup.ports.event_log import EventLog
    from nextup.ports.lake import Lake
    from nextup.services.contracts import EventContract

    Progress = Callable[[int, int], None]

_PAGE_ROWS: Final = 10_000  # looked at and re-admitted at once
_SHOWN = (REJECTED_ID, SOURCE, RECORD, RULE, REASON, REJECTED_AT, READMITTED_AT)


class Quarantined(NamedTuple):
    """One record in quarantine. Times are aware, UTC."""

    rejected_id: str
    source: str
    record: str
    rule: str
    reason: str
    rejected_at: datetime
    readmitted_at: datetime | None


class Page(NamedTuple):
    """Some of the records that a question matches, and how many it matches in all."""

    rows: list[Quarantined]
    total: int


@dataclass(slots=True)
class Readmission:
    """What became of the records that were looked at again."""

    looked_at: int = 0
    readmitted: int = 0
    already_there: int = 0  # of these, the log held the event: an earlier try was interrupted
    still_broken: Counter[str] = field(default_factory=Counter)  # by the rule that they break now


def list_quarantine(
    lake: Lake,
    *,
    rule: str | None = None,
    readmitted: bool = False,
    limit: int = 50,
    start: int = 0,
    after: tuple[datetime, str] | None = None,
) -> Page:
    """The latest rejections first; those that were re-admitted only if asked for.

    `after` is when the last record of the page before was rejected, and its id: what came since
    then is not in between.
    Records appear here when the pipeline has collected them from the log; see `count_waiting`.
    """
    found = _matching(lake, rule, readmitted=readmitted)
    total = found.select(pl.len()).collect().item()
    if after is not None:
        then = pl.lit(after[0]).cast(pl.Datetime("us", "UTC"))
        found = found.filter(
            (pl.col(REJECTED_AT) < then)
            | ((pl.col(REJECTED_AT) == then) & (pl.col(REJECTED_ID) > after[1]))
        )
    latest = found.sort([REJECTED_AT, REJECTED_ID], descending=[True, False])
    rows = latest.slice(start, limit).select(_SHOWN).collect()
    return Page([_row(cells) for cells in rows.iter_rows(named=True)], total)


def find_quarantined(lake: Lake, rejected_id: str) -> Quarantined:
    """One record, re-admitted or not. Raises NotFound."""
    found = lake.scan(Table.QUARANTINE).filter(pl.col(REJECTED_ID) == rejected_id)
    rows = found.select(_SHOWN).limit(1).collect()
    if rows.is_empty():
        raise NotFound(
            f"There is no record '{rejected_id}' in quarantine.",
            cure="A record that came in lately is there when it was collected from the log.",
        )
    return _row(rows.row(0, named=True))


def count_by_rule(lake: Lake, *, readmitted: bool = False) -> dict[str, int]:
    """How many records each rule keeps in quarantine, the most first."""
    counts = _matching(lake, None, readmitted=readmitted).group_by(RULE).agg(pl.len())
    ordered = counts.collect().sort(["len", RULE], descending=[True, False])
    return dict(ordered.select(RULE, "len").iter_rows())


def count_waiting(log: EventLog, lake: Lake) -> int:
    """How many rejected records the pipeline has not collected yet."""
    position, count = lake.position(Table.QUARANTINE, COLLECTED), 0
    while rows := (batch := log.read_rejected(position, _PAGE_ROWS)).rows:
        count += len(rows)
        position = batch.position
    return count


def readmit(
    lake: Lake,
    log: EventLog,
    contract: EventContract,
    *,
    rule: str | None = None,
    rejected_ids: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Readmission:
    """Judge records in quarantine again; those that are good now go into the log and are marked.

    An event keeps its own id, or gets one made from the rejection's, so that after a kill, or for
    a second caller, a record counts once. One without a time happened when it was rejected.
    `rule` or `rejected_ids` narrow the choice. Events that broke a rule of the silver table are
    in the log already and are left out.
    """
    report = Readmission()
    waiting = _matching(lake, rule, readmitted=False)
    waiting = waiting.filter(~pl.col(PARTITION).str.starts_with(f"{Table.EVENTS}/"))
    if rejected_ids is not None:
        waiting = waiting.filter(pl.col(REJECTED_ID).is_in(list(rejected_ids)))
    total = waiting.select(pl.len()).collect().item()
    for page in _pages(waiting):
        _readmit_page(page, lake, log, contract, report)
        if progress is not None:
            progress(report.looked_at, total)
    return report


def _readmit_page(
    page: pl.DataFrame, lake: Lake, log: EventLog, contract: EventContract, report: Readmission
) -> None:
    ids = page[REJECTED_ID].to_list()
    records = [_as_sent(cells) for cells in page.iter_rows(named=True)]
    events, rejected = contract.check_many(records, ids)  # the id as source: to tell them apart
    report.looked_at += len(ids)
    report.still_broken.update(one.rule for one in rejected)
    if not events:
        return
    named = _as_stored(events, page, {one.source for one in rejected})
    receipts = log.append(named)  # before the mark: a kill between them repeats, and loses nothing
    report.readmitted += len(events)
    report.already_there += sum(receipt.duplicate for receipt in receipts)
    refused = {one.source for one in rejected}
    good = ", ".join(f"'{one}'" for one in ids if one not in refused)
    now = to_microseconds(contract.clock())
    moment = f"arrow_cast(to_timestamp_micros({now}), 'Timestamp(Microsecond, Some(\"UTC\"))')"
    lake.update(Table.QUARANTINE, {READMITTED_AT: moment}, f"{REJECTED_ID} IN ({good})")


def _as_sent(cells: Mapping[str, Any]) -> object:
    """The record, made complete so that judging it twice gives the same event."""
    parsed = parse_record(cells[RECORD])
    if isinstance(parsed, Broken):
        return cells[RECORD]
    client_id = client_of(cells[SOURCE])
    if client_id is not None and isinstance(parsed.get(USER_ID), str):
        parsed[USER_ID] = own_id(client_id, parsed[USER_ID]) or parsed[USER_ID]
    minted = {EVENT_ID: f"readmitted-{cells[REJECTED_ID]}"}
    arrived = {OCCURRED_AT: cells[REJECTED_AT].isoformat()}
    return minted | arrived | parsed


def _as_stored(
    events: Sequence[Event], page: pl.DataFrame, refused: Collection[str]
) -> list[Event]:
    """The events with the names under which a client's people, where they are kept apart from
    other clients', are stored."""
    sources = page.filter(~pl.col(REJECTED_ID).is_in(list(refused)))[SOURCE].to_list()
    stored = []
    for event, source in zip(events, sources, strict=True):
        client_id = client_of(source)
        if client_id is not None:
            event_id = stored_id(client_id, event.event_id)
            user_id = stored_id(client_id, event.user_id)
            event = event._replace(event_id=event_id, user_id=user_id)  # noqa: PLW2901
        stored.append(event)
    return stored


def _pages(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """All rows, by id, in pages that fit into memory; what is marked meanwhile is not skipped."""
    last = ""
    while True:
        later = frame.filter(pl.col(REJECTED_ID) > last).sort(REJECTED_ID).limit(_PAGE_ROWS)
        page = later.select(REJECTED_ID, SOURCE, RECORD, REJECTED_AT).collect()
        if page.is_empty():
            return
        yield page
        last = page[REJECTED_ID][-1]


def _matching(lake: Lake, rule: str | None, *, readmitted: bool) -> pl.LazyFrame:
    frame = lake.scan(Table.QUARANTINE)
    if not readmitted:
        frame = frame.filter(pl.col(READMITTED_AT).is_null())
    return frame if rule is None else frame.filter(pl.col(RULE) == rule)


def _row(cells: Mapping[str, Any]) -> Quarantined:
    def moment(name: str) -> datetime | None:
        found = cells[name]
        return None if found is None else from_microseconds(to_microseconds(found))

    rejected_at = moment(REJECTED_AT)
    assert rejected_at is not None
    return Quarantined(
        cells[REJECTED_ID],
        cells[SOURCE],
        cells[RECORD],
        cells[RULE],
        cells[REASON],
        rejected_at,
        moment(READMITTED_AT),
    )
