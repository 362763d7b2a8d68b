"""The client for programs that wait for answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from nextup.client import calls
from nextup.client.batches import Batch
from nextup.client.exchange import Exchange, httpx_module
from nextup.client.gathering import joined
from nextup.client.problems import NextupProblem, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    import httpx

    from nextup.client import answers
    from nextup.client.calls import Call, Event, Touches
    from nextup.client.retries import Retries
    from nextup.client.wishes import (
        EventFields,
        HistoryWishes,
        ItemWishes,
        ListWishes,
        PageWishes,
        RerankWishes,
        ShelfWishes,
        TrendingWishes,
    )

T = TypeVar("T")

CHUNK = 5_000  # events in one request


class Client:
    """Asks one server. Safe to share between threads; close it, or use it as a context manager.

    With an `api_key`, or a `client_id` and `password`, which are exchanged for tokens when one is
    needed. Every method raises a `NextupProblem` for what the server refuses and `Unreachable`
    where no answer comes, after the retries.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        client_id: str = "",
        password: str = "",
        retries: Retries | None = None,
        timeout_seconds: float = 10.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._httpx = httpx_module()
        self._exchange = Exchange(api_key, client_id, password, retries)
        self._http = self._httpx.Client(base_url=url, timeout=timeout_seconds, transport=transport)
        self._sleep = sleep

    def send(
        self,
        type: str,  # noqa: A002 (the word of the events)
        user_id: str,
        item_id: str,
        **fields: Unpack[EventFields],
    ) -> answers.Accepted:
        """One event; durable when this returns, and counted in the person's next list."""
        return self._do(calls.send(calls.event(type, user_id, item_id, **fields)))

    def send_many(self, events: Iterable[Event]) -> answers.BatchResult:
        """Many events, in as many requests as it takes; good rows are kept whatever the others
        are. Raises in the middle if a request fails: the same events may be sent again."""
        ready = [calls.with_id(event) for event in events]
        chunks = [ready[start : start + CHUNK] for start in range(0, len(ready), CHUNK)]
        return joined([self._do(calls.send_many(chunk)) for chunk in chunks])

    def batch(self, *, size: int = 500, seconds: float = 1.0) -> Batch:
        """A context manager that gathers events and sends them in the background: as soon as
        there are `size`, and none later than `seconds` after it came."""
        return Batch(lambda events: self._do(calls.send_many(events)), size, seconds)

    def recommendations(
        self, user_id: str, **wishes: Unpack[PageWishes]
    ) -> answers.Recommendations:
        """What this person should see next: the first page, or with `page` a following one."""
        return self._do(calls.recommendations(user_id, **wishes))

    def pages(
        self, user_id: str, **wishes: Unpack[ListWishes]
    ) -> Iterator[answers.Recommendations]:
        """The person's list page by page, without repeats and gaps whatever happens meanwhile."""
        page = self.recommendations(user_id, **wishes)
        yield page
        following = calls.following(wishes)
        while page.next_page is not None:
            page = self._do(calls.recommendations(user_id, page=page.next_page, **following))
            yield page

    def for_history(
        self, history: Touches, **wishes: Unpack[PageWishes]
    ) -> answers.Recommendations:
        """For somebody without a name, who did this; nothing of it is remembered."""
        return self._do(calls.for_history(history, **wishes))

    def rerank(self, items: Touches, **wishes: Unpack[RerankWishes]) -> answers.Reranked:
        """These items in the order in which the person should see them."""
        return self._do(calls.rerank(items, **wishes))

    def served(self, token: str) -> answers.Recommendations:
        """The whole list exactly as it was shown."""
        return self._do(calls.served(token))

    def similar(self, item_id: str, **wishes: Unpack[ShelfWishes]) -> answers.Shelf:
        """What goes together with an item."""
        return self._do(calls.similar(item_id, **wishes))

    def trending(self, **wishes: Unpack[TrendingWishes]) -> answers.Shelf:
        """What many people turn to now."""
        return self._do(calls.shelf("trending", **wishes))

    def popular(self, **wishes: Unpack[ShelfWishes]) -> answers.Shelf:
        """What most people turned to."""
        return self._do(calls.shelf("popular", **wishes))

    def items(self, q: str = "", **wishes: Unpack[ItemWishes]) -> Iterator[answers.Item]:
        """Items whose title contains the text, one after the other; pages are asked for as they
        are needed."""
        cursor: str | None = None
        while True:
            page = self._do(calls.items(q=q, cursor=cursor, **wishes))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def item(self, item_id: str) -> answers.Item:
        """One item."""
        return self._do(calls.item(item_id))

    def put_item(self, item: answers.Item) -> answers.Item:
        """Insert or replace it."""
        return self._do(calls.put_item(item))

    def put_items(self, items: Sequence[answers.Item]) -> answers.ItemsKept:
        """Insert or replace many."""
        return self._do(calls.put_items(items))

    def delete_item(self, item_id: str) -> None:
        """Remove it."""
        self._do(calls.delete_item(item_id))

    def person(self, user_id: str) -> answers.Person:
        """What is kept about somebody."""
        return self._do(calls.person(user_id))

    def put_person(self, user_id: str, attributes: Mapping[str, Any]) -> answers.Person:
        """Keep attributes, in the place of those there were."""
        return self._do(calls.put_person(user_id, attributes))

    def erase(self, user_id: str) -> answers.Receipt:
        """Forget somebody everywhere."""
        return self._do(calls.erase(user_id))

    def history(self, user_id: str, **wishes: Unpack[HistoryWishes]) -> Iterator[answers.Act]:
        """What somebody did, the latest first; pages are asked for as they are needed."""
        cursor: str | None = None
        while True:
            page = self._do(calls.history(user_id, cursor=cursor, **wishes))
            yield from page.history
            cursor = page.next_cursor
            if cursor is None:
                return

    def request(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Anything else of the API, such as `/v1/operations/runs`: plain JSON in and out."""
        return self._do(calls.anything(method, path, query or {}, body))

    def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _do(self, call: Call[T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                if (sign_in := self._exchange.sign_in()) is not None:
                    self._exchange.signed_in(self._once(sign_in))
                return self._once(call)
            except (NextupProblem, Unreachable) as error:
                pause = self._exchange.pause(call, attempt, error)
                if pause is None:
                    raise
            self._sleep(pause)

    def _once(self, call: Call[T]) -> T:
        try:
            response = self._http.request(
                call.method,
                call.path,
                params=call.parameters(),
                content=call.content(),
                headers=self._exchange.headers(call),
            )
        except self._httpx.TransportError as error:
            raise Unreachable(f"No answer from {self._http.base_url}: {error}") from error
        return self._exchange.read(call, response)
