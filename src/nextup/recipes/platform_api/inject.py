"""The daily files into PostgreSQL: films into the catalogue, what people did into the log.

Both go the way that everything goes: the contract checks each row, the log knows what it has
already, and the tables follow. So an injection that is run again, or killed and run again, adds
nothing twice. What cannot be injected is kept, whole, with its rule.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Final

from nextup.domain.events import Rejected, to_microseconds
from nextup.domain.recommendations import Touch
from nextup.recipes.platform_api.daily_files import Act, Film, Reading, Refused
from nextup.services.access.people import ClientLog
from nextup.services.contracts import EventContract
from nextup.services.event_schemas import Broken, quoted
from nextup.services.pipeline import end_of_day

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import date

    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.recipes.platform_api.data_folder import DataFolder
    from nextup.recipes.platform_api.options import Options
    from nextup.services.steps import Context

CHUNK: Final = 1_000  # rows at a time, in a transaction of the log
AFTER_ALL: Final = 1 << 62  # offsets of what the log does not have yet


class Injection:
    """Of one day's files."""

    def __init__(
        self, context: Context, data: DataFolder, options: Options, clients: Collection[str]
    ) -> None:
        """`clients` are those whose people may be named."""
        self._context = context
        self._data = data
        self._clients = clients
        self._reading = reading_of(context, options)
        self._contract = EventContract(
            context.settings.contracts, context.catalog, lambda: datetime.now(UTC)
        )
        self._refused: defaultdict[str, list[Refused]] = defaultdict(list)
        self.counts: Counter[str] = Counter(
            files=0, films=0, events=0, duplicates=0, not_injected=0
        )

    def run(self) -> dict[str, int]:
        """All of it, films first: those who rate them may be in another file."""
        for _, rows in self._files():
            self.counts["files"] += 1
            self._take_films(rows)
        for name, rows in self._files():
            self._take_acts(name, rows)
            self._data.put_aside(self._context.day, name, self._refused.pop(name, []))
        return dict(self.counts)

    @cached_property
    def _told(self) -> set[str]:
        """The films of later days: a day that is injected again is no news."""
        return {
            row.item.item_id
            for day in self._data.days_after(self._context.day)
            for _, rows in self._files(day)
            for row in rows
            if isinstance(row, Film)
        }

    def _files(
        self, day: date | None = None
    ) -> Iterator[tuple[str, Iterator[Film | Act | Refused]]]:
        for name, opening in self._data.raw(day or self._context.day):
            with opening as stream:
                yield name, self._reading.rows(name, stream)

    def _take_films(self, rows: Iterable[Film | Act | Refused]) -> None:
        """But for those of which a later day has said something else already."""
        films = (
            row for row in rows if isinstance(row, Film) and row.item.item_id not in self._told
        )
        while chunk := list(islice(films, CHUNK)):
            self.counts["films"] += put_films(
                self._context.catalog, {film.item.item_id: film.item for film in chunk}
            )

    def _take_acts(self, name: str, rows: Iterable[Film | Act | Refused]) -> None:
        others = (row for row in rows if not isinstance(row, Film))
        while chunk := list(islice(others, CHUNK)):
            by_client: defaultdict[str, list[Act]] = defaultdict(list)
            for row in chunk:
                if isinstance(row, Refused):
                    self._refuse(name, row)
                elif row.client_id not in self._clients:
                    said = f"There is no client {quoted(row.client_id)}."
                    self._refuse(name, Refused(row.line, row.row, Broken("unknown_client", said)))
                else:
                    by_client[row.client_id].append(row)
            for client_id, acts in sorted(by_client.items()):
                self._take_of(name, client_id, acts)

    def _take_of(self, name: str, client_id: str, acts: Sequence[Act]) -> None:
        log = ClientLog(self._context.event_log, client_id)
        source = f"client {client_id}, {self._context.day}/{name}"
        verdicts = self._contract.check_each([act.record for act in acts], source)
        rejected = []
        events = []
        for act, verdict in zip(acts, verdicts, strict=True):
            if isinstance(verdict, Rejected):
                rejected.append(verdict)
                broken = Broken(verdict.rule, verdict.reason)
                self._refuse(name, Refused(act.line, act.row, broken))
            else:
                events.append(verdict)
        if rejected:
            log.reject(rejected)
        if events:
            receipts = log.append(events)
            duplicates = sum(receipt.duplicate for receipt in receipts)
            self.counts["events"] += len(receipts) - duplicates
            self.counts["duplicates"] += duplicates

    def _refuse(self, name: str, refused: Refused) -> None:
        self._refused[name].append(refused)
        self.counts["not_injected"] += 1


def put_films(catalog: Catalog, films: dict[str, Item]) -> int:
    """New films, and what the file says anew of those that are there; returns how many changed.
    What the file knows nothing of, such as keywords, stays."""
    known = catalog.items(list(films))
    changed = []
    for item_id, film in films.items():
        before = known.get(item_id)
        after = film
        if before is not None:
            after = replace(before, title=film.title, year=film.year, genres=film.genres)
        if after != before:
            changed.append(after)
    return catalog.put_items(changed) if changed else 0


def day_touches(
    context: Context, data: DataFolder, options: Options
) -> dict[tuple[str, str], list[Touch]]:
    """What the day's good rows say, by client and person, as the log would have it. Nothing is
    written anywhere."""
    reading = reading_of(context, options)
    contract = EventContract(context.settings.contracts, context.catalog, lambda: datetime.now(UTC))
    found: defaultdict[tuple[str, str], list[Touch]] = defaultdict(list)
    offset = AFTER_ALL
    for name, opening in data.raw(context.day):
        with opening as stream:
            acts = (row for row in reading.rows(name, stream) if isinstance(row, Act))
            while chunk := list(islice(acts, CHUNK)):
                for client_id, records in _by_client(chunk).items():
                    for event in contract.explain_many(records, name).events:
                        at = to_microseconds(event.occurred_at)
                        touch = Touch(event.item_id, event.type, event.value, at, offset)
                        found[client_id, event.user_id].append(touch)
                        offset += 1
    return found


def _by_client(acts: Iterable[Act]) -> dict[str, list[object]]:
    records: defaultdict[str, list[object]] = defaultdict(list)
    for act in acts:
        records[act.client_id].append(act.record)
    return records


def reading_of(context: Context, options: Options) -> Reading:
    """How the day's files are read: what has no time of its own happened as the day began."""
    began = end_of_day(context.day - timedelta(days=1), context.settings)
    return Reading(options.client, began)
