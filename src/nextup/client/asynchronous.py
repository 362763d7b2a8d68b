"""The client for programs that do other things while they wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from nextup.client import calls
from nextup.client.async_batches import AsyncBatch
from nextup.client.exchange import Exchange, httpx_module
from nextup.client.gathering import joined
from nextup.client.problems import NextupProblem, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
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


class AsyncClient:
    """`Client`, with the same methods to be awaited and iterators to be awaited over. For one event
    loop; close it, or use it as a context manager.

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
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._httpx = httpx_module()
        self._exchange = Exchange(api_key, client_id, password, retries)
        self._http = self._httpx.AsyncClient(
            base_url=url, timeout=timeout_seconds, transport=transport
        )
        self._sleep = sleep

    async def send(
        self,
        type: str,  # noqa: A002 (the word of the events)
        user_id: str,
        item_id: str,
        **fields: Unpack[EventFields],
    ) -> answers.Accepted:
        """One event; durable when this returns, and counted in the person's next list."""
        return await self._do(calls.send(calls.event(type, user_id, item_id, **fields)))

    async def send_many(self, events: Iterable[Event]) -> answers.BatchResult:
        """Many events, in as many requests as it takes; good rows are kept whatever the others
        are. Raises in the middle if a request fails: the same events may be sent again."""
        ready = [calls.with_id(event) for event in events]
        chunks = [ready[start : start + CHUNK] for start in range(0, len(ready), CHUNK)]
        return joined([await self._do(calls.send_many(chunk)) for chunk in chunks])

    def batch(self, *, size: int = 500, seconds: float = 1.0) -> AsyncBatch:
        """A context manager that gathers events and sends them in the background: as soon as
        there are `size`, and none later than `seconds` after it came."""
        return AsyncBatch(lambda events: self._do(calls.send_many(events)), size, seconds)

    async def recommendations(
        self, user_id: str, **wishes: Unpack[PageWishes]
    ) -> answers.Recommendations:
        """What this person should see next: the first page, or with `page` a following one."""
        return await self._do(calls.recommendations(user_id, **wishes))

    async def pages(
        self, user_id: str, **wishes: Unpack[ListWishes]
    ) -> AsyncIterator[answers.Recommendations]:
        """The person's list page by page, without repeats and gaps whatever happens meanwhile."""
        page = await self.recommendations(user_id, **wishes)
        yield page
        following = calls.following(wishes)
        while page.next_page is not None:
            page = await self._do(calls.recommendations(user_id, page=page.next_page, **following))
            yield page

    async def for_history(
        self, history: Touches, **wishes: Unpack[PageWishes]
    ) -> answers.Recommendations:
        """For somebody without a name, who did this; nothing of it is remembered."""
        return await self._do(calls.for_history(history, **wishes))

    async def rerank(self, items: Touches, **wishes: Unpack[RerankWishes]) -> answers.Reranked:
        """These items in the order in which the person should see them."""
        return await self._do(calls.rerank(items, **wishes))

    async def served(self, token: str) -> answers.Recommendations:
        """The whole list exactly as it was shown."""
        return await self._do(calls.served(token))

    async def similar(self, item_id: str, **wishes: Unpack[ShelfWishes]) -> answers.Shelf:
        """What goes together with an item."""
        return await self._do(calls.similar(item_id, **wishes))

    async def trending(self, **wishes: Unpack[TrendingWishes]) -> answers.Shelf:
        """What many people turn to now."""
        return await self._do(calls.shelf("trending", **wishes))

    async def popular(self, **wishes: Unpack[ShelfWishes]) -> answers.Shelf:
        """What most people turned to."""
        return await self._do(calls.shelf("popular", **wishes))

    async def items(self, q: str = "", **wishes: Unpack[ItemWishes]) -> AsyncIterator[answers.Item]:
        """Items whose title contains the text, one after the other; pages are asked for as they
        are needed."""
        cursor: str | None = None
        while True:
            page = await self._do(calls.items(q=q, cursor=cursor, **wishes))
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def item(self, item_id: str) -> answers.Item:
        """One item."""
        return await self._do(calls.item(item_id))

    async def put_item(self, item: answers.Item) -> answers.Item:
        """Insert or replace it."""
        return await self._do(calls.put_item(item))

    async def put_items(self, items: Sequence[answers.Item]) -> answers.ItemsKept:
        """Insert or replace many."""
        return await self._do(calls.put_items(items))

    async def delete_item(self, item_id: str) -> None:
        """Remove it."""
        await self._do(calls.delete_item(item_id))

    async def person(self, user_id: str) -> answers.Person:
        """What is kept about somebody."""
        return await self._do(calls.person(user_id))

    async def put_person(self, user_id: str, attributes: Mapping[str, Any]) -> answers.Person:
        """Keep attributes, in the place of those there were."""
        return await self._do(calls.put_person(user_id, attributes))

    async def erase(self, user_id: str) -> answers.Receipt:
        """Forget somebody everywhere."""
        return await self._do(calls.erase(user_id))

    async def history(
        self, user_id: str, **wishes: Unpack[HistoryWishes]
    ) -> AsyncIterator[answers.Act]:
        """What somebody did, the latest first; pages are asked for as they are needed."""
        cursor: str | None = None
        while True:
            page = await self._do(calls.history(user_id, cursor=cursor, **wishes))
            for act in page.history:
                yield act
            cursor = page.next_cursor
            if cursor is None:
                return

    async def request(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Anything else of the API, such as `/v1/operations/runs`: plain JSON in and out."""
        return await self._do(calls.anything(method, path, query or {}, body))

    async def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _do(self, call: Call[T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                if (sign_in := self._exchange.sign_in()) is not None:
                    self._exchange.signed_in(await self._once(sign_in))
                return await self._once(call)
            except (NextupProblem, Unreachable) as error:
                pause = self._exchange.pause(call, attempt, error)
                if pause is None:
                    raise
            await self._sleep(pause)

    async def _once(self, call: Call[T]) -> T:
        try:
            response = await self._http.request(
                call.method,
                call.path,
                params=call.parameters(),
                content=call.content(),
                headers=self._exchange.headers(call),
            )
        except self._httpx.TransportError as error:
            raise Unreachable(f"No answer from {self._http.base_url}: {error}") from error
        return self._exchange.read(call, response)
