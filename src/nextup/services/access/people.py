"""A tenant's platform as one of its clients sees it: with that client's people and nobody else.

Items, models and what trends are the tenant's. Whatever names a person goes through here, where
the id gets the client's name on its way in and loses it on its way out; so no handler and no
service has to think of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from nextup.domain.people import own_id, stored_id
from nextup.domain.tables import USER_ID
from nextup.ports.catalog import SupportsBrowsing
from nextup.ports.event_log import EventBatch, RejectedBatch, SupportsErasure
from nextup.services.recommending.served_lists import save_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nextup.domain.events import Appended, Event, Position, Rejected
    from nextup.domain.items import Person
    from nextup.domain.recommendations import PublishedList, ServedList, Touch
    from nextup.ports.catalog import Catalog
    from nextup.ports.event_log import EventLog
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.serving import ServingPorts


def _same(name: str) -> Any:
    """A method that names nobody, and is the tenant's."""

    def method(self: _Narrowed, *arguments: Any, **named: Any) -> Any:
        return getattr(self._port, name)(*arguments, **named)

    method.__name__ = name
    method.__doc__ = "As in the port."
    return method


class _Narrowed:
    """A port of the tenant's, in which only one client's people are to be found. It has no
    method but those written here: one that a port gets later names nobody by mistake."""

    def __init__(self, port: Any, client_id: str) -> None:
        self._port = port
        self._client_id = client_id

    def stored_id(self, user_id: str) -> str:
        """As it is in the stores."""
        return stored_id(self._client_id, user_id)

    def close(self) -> None:
        """Nothing: it is the tenant's."""

    def _own(self, stored: str) -> str | None:
        return own_id(self._client_id, stored)


class ClientLog(_Narrowed):
    """Events carry the client's name; its event ids are its own, too."""

    _port: EventLog
    head = _same("head")
    committed = _same("committed")

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """The receipts have the client's own ids."""
        stored = [
            event._replace(
                event_id=self.stored_id(event.event_id), user_id=self.stored_id(event.user_id)
            )
            for event in events
        ]
        receipts = self._port.append(stored)
        return [
            receipt._replace(event_id=self._own(receipt.event_id) or "") for receipt in receipts
        ]

    def reject(self, records: Sequence[Rejected]) -> int:
        """The record names the person as the stores do, so that erasing them finds it."""
        return self._port.reject(
            [one._replace(record=self._renamed(one.record)) for one in records]
        )

    def _renamed(self, record: str) -> str:
        parsed = _object(record)
        if parsed is None or not isinstance(parsed.get(USER_ID), str):
            return record
        parsed[USER_ID] = self.stored_id(parsed[USER_ID])
        return msgspec.json.encode(parsed).decode()

    def read(self, position: Position, limit: int) -> EventBatch:
        """Only the client's own events; the position moves on over the others."""
        batch = self._port.read(position, limit)
        own = [
            row._replace(user_id=user_id, event_id=self._own(row.event_id) or row.event_id)
            for row in batch.rows
            if (user_id := self._own(row.user_id)) is not None
        ]
        return EventBatch(own, batch.position)

    def read_rejected(self, position: Position, limit: int) -> RejectedBatch:
        """Nothing: quarantine is the operators'."""
        return RejectedBatch([], self._port.read_rejected(position, limit).position)

    def erase(self, user_id: str) -> int:
        """0 where the log cannot."""
        if not isinstance(self._port, SupportsErasure):
            return 0
        return self._port.erase(self.stored_id(user_id))


def _object(record: str) -> dict[str, Any] | None:
    try:
        parsed = msgspec.json.decode(record)
    except (msgspec.DecodeError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


class ClientState(_Narrowed):
    """Histories and served lists of the client's people."""

    _port: OnlineState
    position = _same("position")
    trending = _same("trending")

    def history(self, user_id: str) -> list[Touch]:
        """As in the port."""
        return self._port.history(self.stored_id(user_id))

    def save_served(self, served: ServedList, expires_at: datetime) -> None:
        """Lists for nobody in particular are the client's as well."""
        self._port.save_served(replace(served, user_id=self.stored_id(served.user_id)), expires_at)

    def save_many_served(self, lists: Sequence[tuple[ServedList, datetime]]) -> None:
        """Like `save_served`, many at once where the state can."""
        stored = [
            (replace(served, user_id=self.stored_id(served.user_id)), expires_at)
            for served, expires_at in lists
        ]
        save_all(self._port, stored)

    def served(self, token: str) -> ServedList | None:
        """None for another client's list, like for one that never was."""
        served = self._port.served(token)
        user_id = None if served is None else self._own(served.user_id)
        return None if served is None or user_id is None else replace(served, user_id=user_id)

    def erase(self, user_id: str) -> int:
        """As in the port."""
        return self._port.erase(self.stored_id(user_id))


class ClientLists(_Narrowed):
    """Published lists of the client's people."""

    _port: RecommendationStore
    current = _same("current")
    generations = _same("generations")
    count = _same("count")

    def read(self, user_id: str) -> PublishedList | None:
        """As in the port."""
        found = self._port.read(self.stored_id(user_id))
        return None if found is None else replace(found, user_id=user_id)

    def erase(self, user_id: str) -> int:
        """As in the port."""
        return self._port.erase(self.stored_id(user_id))


class ClientCatalog(_Narrowed):
    """The tenant's items and the client's people."""

    _port: Catalog
    put_items = _same("put_items")
    item = _same("item")
    items = _same("items")
    all_items = _same("all_items")
    unknown_items = _same("unknown_items")
    search_items = _same("search_items")
    count_items = _same("count_items")
    delete_item = _same("delete_item")

    def put_person(self, person: Person) -> None:
        """As in the port."""
        self._port.put_person(replace(person, user_id=self.stored_id(person.user_id)))

    def person(self, user_id: str) -> Person | None:
        """As in the port."""
        found = self._port.person(self.stored_id(user_id))
        return None if found is None else replace(found, user_id=user_id)

    def delete_person(self, user_id: str) -> bool:
        """As in the port."""
        return self._port.delete_person(self.stored_id(user_id))


class BrowsedClientCatalog(ClientCatalog):
    """Of a catalogue that can be leafed through."""

    browse_items = _same("browse_items")


class ClientPeople(_Narrowed):
    """ServingPorts for one client: what it does not narrow is the tenant's."""

    _port: ServingPorts

    def __init__(self, ports: ServingPorts, client_id: str) -> None:
        super().__init__(ports, client_id)
        self.settings = ports.settings
        self.event_log: Any = ClientLog(ports.event_log, client_id)
        self.online_state: Any = ClientState(ports.online_state, client_id)
        self.recommendation_store: Any = ClientLists(ports.recommendation_store, client_id)
        browsed = isinstance(ports.catalog, SupportsBrowsing)
        catalog_class = BrowsedClientCatalog if browsed else ClientCatalog
        self.catalog: Any = catalog_class(ports.catalog, client_id)
        self.files = ports.files
        self.control = ports.control

    @property
    def store_opener(self) -> Any:
        """The tenant's: a run publishes everybody's lists."""
        return self._port.store_opener

    @property
    def engine(self) -> Any:
        """The tenant's; opened when it is asked for."""
        return self._port.engine

    @property
    def lake(self) -> Any:
        """The tenant's; `stored_id` says what people are called there."""
        return self._port.lake

    @property
    def tracker(self) -> Any:
        """The tenant's."""
        return self._port.tracker
