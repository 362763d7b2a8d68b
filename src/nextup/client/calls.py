"""Every request that the clients can make, as data: both of them send the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from nextup.client import answers

T = TypeVar("T")
Event = Mapping[str, Any]
Touches = Sequence[str | Mapping[str, Any]]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and the type of its answer."""

    method: str
    path: str
    returns: type[T] | None  # None: nothing of interest
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    again: bool = True  # whether it may be sent twice, when nobody knows if it arrived
    signed: bool = True  # with the client's key or token

    def parameters(self) -> list[tuple[str, str]]:
        """The query, without what is not wished for."""
        pairs: list[tuple[str, str]] = []
        for name, value in self.query.items():
            if isinstance(value, str) or not isinstance(value, Iterable):
                value = () if value is None else (value,)  # noqa: PLW2901
            pairs += [(name, _text(one)) for one in value]
        return pairs

    def content(self) -> bytes | None:
        """The body as JSON."""
        return None if self.body is None else msgspec.json.encode(self.body)

    def answer(self, content: bytes) -> T:
        """What came back."""
        if self.returns is None:
            return None  # type: ignore[return-value]
        return msgspec.json.decode(content, type=self.returns)


def event(
    type: str,  # noqa: A002 (the word of the events)
    user_id: str,
    item_id: str,
    *,
    value: float | None = None,
    event_id: str | None = None,
    occurred_at: datetime | None = None,
    session_id: str | None = None,
    recommendation_id: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An event with an id, so that sending it twice counts once."""
    fields = {
        "event_id": event_id,
        "type": type,
        "user_id": user_id,
        "item_id": item_id,
        "value": value,
        "occurred_at": occurred_at,
        "session_id": session_id,
        "recommendation_id": recommendation_id,
        "context": context,
    }
    return with_id({name: value for name, value in fields.items() if value is not None})


def with_id(event: Event) -> dict[str, Any]:
    """The event, with an id if it had none."""
    return {"event_id": str(uuid.uuid4()), **event}


def send(event: Event) -> Call[answers.Accepted]:
    """One event."""
    return Call("POST", "/v1/events", answers.Accepted, body=event)


def send_many(events: Sequence[Event]) -> Call[answers.BatchResult]:
    """Up to 10,000 events, or what the server's setting allows."""
    return Call("POST", "/v1/events/batch", answers.BatchResult, body=list(events))


def recommendations(user_id: str, **wishes: Any) -> Call[answers.Recommendations]:
    """A person's list, or a page of it."""
    path = f"/v1/users/{_segment(user_id)}/recommendations"
    return Call("GET", path, answers.Recommendations, query=_query(wishes))


def following(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """What the pages after the first are asked for with: the list keeps its own wishes."""
    return {"limit": wishes["limit"]} if "limit" in wishes else {}


def for_history(history: Touches, **wishes: Any) -> Call[answers.Recommendations]:
    """For somebody without a name, or a page of such a list."""
    body = {"history": list(history), **_given(wishes)}
    return Call("POST", "/v1/recommendations", answers.Recommendations, body=body)


def rerank(items: Touches, **wishes: Any) -> Call[answers.Reranked]:
    """The caller's own list in another order."""
    body = {"items": list(items), **_given(wishes)}
    return Call("POST", "/v1/rerank", answers.Reranked, body=body)


def served(token: str) -> Call[answers.Recommendations]:
    """A whole list as it was shown."""
    return Call("GET", f"/v1/served/{_segment(token)}", answers.Recommendations)


def similar(item_id: str, **wishes: Any) -> Call[answers.Shelf]:
    """What goes together with an item."""
    return Call(
        "GET", f"/v1/items/{_segment(item_id)}/similar", answers.Shelf, query=_query(wishes)
    )


def shelf(name: str, **wishes: Any) -> Call[answers.Shelf]:
    """`trending` or `popular`."""
    return Call("GET", f"/v1/{name}", answers.Shelf, query=_query(wishes))


def items(**wishes: Any) -> Call[answers.ItemsPage]:
    """A page of the catalogue."""
    return Call("GET", "/v1/items", answers.ItemsPage, query=wishes)


def item(item_id: str) -> Call[answers.Item]:
    """One item."""
    return Call("GET", f"/v1/items/{_segment(item_id)}", answers.Item)


def put_item(item: answers.Item) -> Call[answers.Item]:
    """Insert or replace one."""
    body = msgspec.to_builtins(item)
    item_id = body.pop("item_id")
    return Call("PUT", f"/v1/items/{_segment(item_id)}", answers.Item, body=body)


def put_items(items: Iterable[answers.Item]) -> Call[answers.ItemsKept]:
    """Insert or replace many."""
    return Call("POST", "/v1/items/batch", answers.ItemsKept, body={"items": list(items)})


def delete_item(item_id: str) -> Call[None]:
    """Remove one."""
    return Call("DELETE", f"/v1/items/{_segment(item_id)}", None)


def person(user_id: str) -> Call[answers.Person]:
    """What is kept about somebody."""
    return Call("GET", f"/v1/users/{_segment(user_id)}", answers.Person)


def put_person(user_id: str, attributes: Mapping[str, Any]) -> Call[answers.Person]:
    """Keep attributes, in the place of those there were."""
    body = {"attributes": dict(attributes)}
    return Call("PUT", f"/v1/users/{_segment(user_id)}", answers.Person, body=body)


def erase(user_id: str) -> Call[answers.Receipt]:
    """Forget somebody everywhere."""
    return Call("DELETE", f"/v1/users/{_segment(user_id)}", answers.Receipt)


def history(user_id: str, **wishes: Any) -> Call[answers.HistoryPage]:
    """A page of what somebody did."""
    return Call("GET", f"/v1/users/{_segment(user_id)}/history", answers.HistoryPage, query=wishes)


def anything(method: str, path: str, query: Mapping[str, Any], body: Any) -> Call[Any]:
    """Whatever has no method of its own; sent again only where HTTP says that it may be."""
    again = method.upper() in {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
    return Call(method, path, Any, query=query, body=body, again=again)


def token(client_id: str, password: str) -> Call[answers.Token]:
    """Sign in."""
    body = {"client_id": client_id, "password": password}
    return Call("POST", "/v1/token", answers.Token, body=body, signed=False)


def _segment(text: str) -> str:
    return quote(text, safe="")


def _query(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """A query names each of several genres."""
    return {"genre" if name == "genres" else name: value for name, value in wishes.items()}


def _given(wishes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wishes.items() if value is not None}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
