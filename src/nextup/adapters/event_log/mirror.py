"""A row of somebody else's table for each event of some types, in the transaction that logs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select

from nextup.adapters.shared_tables import Shared, is_number, number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from nextup.adapters.sql import Database
    from nextup.domain.events import Event
    from nextup.settings_history import History, SharedTables

USER, ITEM, ACTION, AT = "who", "item", "what", "moment"  # a row, on its way to the database


class Mirror:
    """What the table holds of our events is what the log holds: both or neither is committed.

    A person who is unknown there gets a row with nothing but the number.
    """

    def __init__(self, database: Database, history: History, names: SharedTables) -> None:
        self._actions = names.events
        self._shared = shared = Shared(database, history, names)
        key = shared.users.c[names.user_key]
        person = database.insert(shared.users).values({key.name: bindparam(USER)})
        self._put_person = person.on_conflict_do_nothing()
        items = shared.items.c
        item = select(items[history.item_key]).where(items[history.item_name] == bindparam(ITEM))
        self._put_act = shared.acts.insert().values(
            {
                history.user_column: bindparam(USER),
                history.item_column: item.scalar_subquery(),
                history.action_column: bindparam(ACTION),
                history.at_column: bindparam(AT),
            }
        )
        self._user = shared.acts.c[history.user_column]

    def make(self) -> None:
        """Make the tables where they are absent."""
        self._shared.make()

    def check(self, events: Sequence[Event]) -> None:
        """Raises InvalidInput for somebody who has no number."""
        for event in events:
            if event.type in self._actions:
                number_of(event.user_id)

    def follow(self, connection: Connection, events: Sequence[Event]) -> None:
        """Write the rows of events that the log has just got. An item that the table of items
        lacks has none: the database refuses it, and so the log does."""
        rows: list[dict[str, Any]] = [
            {
                USER: number_of(event.user_id),
                ITEM: event.item_id,
                ACTION: self._actions[event.type],
                AT: event.occurred_at,
            }
            for event in events
            if event.type in self._actions
        ]
        if not rows:
            return
        people = [{USER: user} for user in sorted({row[USER] for row in rows})]
        connection.execute(self._put_person, people)
        connection.execute(self._put_act, rows)

    def erase(self, connection: Connection, user_id: str) -> None:
        """Remove all that the person did, whoever wrote it. Who has no number did nothing."""
        if is_number(user_id):
            connection.execute(delete(self._shared.acts).where(self._user == int(user_id)))
