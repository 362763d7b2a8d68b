"""A running server as simulated people see it, how that looks, and what came of it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from nextup.client import Client, NextupProblem, Unreachable
from nextup.client.retries import NEVER
from nextup.domain.errors import BackendUnavailable, NextupError
from nextup.domain.items import Item
from nextup.services.traffic import Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from rich.table import Table

    from nextup.client.wishes import EventFields
    from nextup.entrypoints.cli.output import Output
    from nextup.services.traffic_report import Report, Snapshot

MOST_KNOWN = 2_000  # of a person's history that is asked for
PAGE = 200  # the most that one answer has
LATENCY = ("answers", "count", "p50 ms", "p95 ms", "p99 ms", "longest ms")
SOURCE = ("source", "looked at", "clicks", "click-through")
REGRET = ("who", "lists", "mean", "p95", "popular titles instead")
OURS = frozenset({401, 403, 429})  # refusals that say nothing about the mistake
MISTAKES: tuple[tuple[str, str, dict[str, Any], Any], ...] = (  # each must be refused
    ("GET", "/v1/users/somebody/recommendations", {"limit": 0}, None),
    ("GET", "/v1/items/there-is-none", {}, None),
    ("POST", "/v1/events", {}, {"type": "wish", "user_id": "somebody", "item_id": "anything"}),
    ("POST", "/v1/events", {}, {"type": "rating", "user_id": "somebody", "value": "many"}),
    ("GET", "/v1/recommendations", {"page": "nonsense"}, None),
)


class ServerShop:
    """Through the HTTP API, like anybody. Nothing is tried twice: what fails counts as failed."""

    def __init__(self, url: str, key: str = "") -> None:
        self._client = Client(url, api_key=key, retries=NEVER, timeout_seconds=30)

    def items(self) -> Sequence[Item]:
        """The whole catalogue. Raises a NextupError that says what is wrong with the server."""
        try:
            found = list(self._client.items(limit=PAGE))
        except Unreachable as error:
            raise BackendUnavailable(
                str(error), cure="`nextup serve` starts a server; --url names another."
            ) from error
        except NextupProblem as error:
            raise NextupError(f"The server refuses: {error.detail}", cure=error.cure) from error
        return [
            Item(one.item_id, one.kind, one.title, one.year, one.genres, one.makers, one.keywords)
            for one in found
        ]

    def known(self, user_id: str) -> set[str]:
        """The items of the person's history."""
        acts = self._client.history(user_id, limit=PAGE)
        return {act.item_id for act in islice(acts, MOST_KNOWN) if act.type != "impression"}

    def popular(self) -> Sequence[str]:
        """What most people turned to, as far as one answer tells."""
        return [place.item_id for place in self._client.popular(limit=PAGE)]

    def show(self, user_id: str, places: int) -> Shown:
        """The first page of the person's list."""
        page = self._client.recommendations(user_id, limit=places)
        items = [place.item_id for place in page]
        return Shown(page.token, page.level, items, [place.source for place in page])

    def tell(
        self, kind: str, user_id: str, item_id: str, value: float | None, token: str | None
    ) -> bool:
        """One event."""
        fields: EventFields = {} if value is None else {"value": value}
        if token is not None:
            fields["recommendation_id"] = token
        return not self._client.send(kind, user_id, item_id, **fields).duplicate

    def err(self, number: int) -> bool:
        """One of the mistakes; says whether the server refused it as the caller's."""
        method, path, query, body = MISTAKES[number % len(MISTAKES)]
        try:
            self._client.request(method, path, query=query, body=body)
        except NextupProblem as error:
            if error.status >= 500 or error.status in OURS:
                raise
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()


@contextmanager
def live_view(out: Output) -> Iterator[Callable[[Snapshot], None] | None]:
    """What to tell how things stand, for people at a terminal; nothing for others."""
    if out.as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda stands: live.update(_stands(stands), refresh=True)


def _stands(now: Snapshot) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 3))
    lists = now.lists / max(now.seconds, 1)
    rows = [
        ("time", f"{now.seconds:,.0f} s", "people", f"{now.sessions:,} came, {now.present} here"),
        ("lists", f"{now.lists:,} ({lists:,.1f}/s)", "events", f"{now.events:,}"),
        ("half within", f"{now.list_p50:,.1f} ms", "99 of 100", f"{now.list_p99:,.1f} ms"),
        ("click-through", f"{now.click_through:.1%}", "failures", f"{now.failures:,}"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def show_report(out: Output, found: Report) -> None:
    """Tables for people, one document for machines."""
    if out.as_json:
        out.result(found)
        return
    events = sum(found.events.values())
    out.say(
        f"{found.sessions:,} sessions in {found.seconds:,.0f} s: {found.lists:,} lists, "
        f"{events:,} events; 99 of 100 people came within {found.late_p99:.2f} s of their time."
    )
    for title, columns, rows in (
        ("Latency", LATENCY, found.latencies),
        ("Click-through by source", SOURCE, found.sources),
        ("Regret: what the best list had over the one shown", REGRET, found.regret),
    ):
        out.table(title, columns, rows, None)
    out.say("Lists by level: " + _pairs(found.levels))
    out.say(f"Mistakes: {found.mistakes:,}, of which {found.refused:,} were refused.")
    out.say("Failures: " + _pairs(found.failures))


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
