"""Named locks in a SQL table, held by processes that may die."""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Table, delete, func, select, update

from nextup.adapters.control.holder import Holder
from nextup.domain.errors import Conflict, NextupError
from nextup.domain.events import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from nextup.adapters.sql import Database

BEATS_PER_TERM: Final = 6  # heartbeats within the time after which a silent holder is dead

# Tokens of the locks that this process holds. A row of this process with another token is left
# from a release that the database did not accept (a full disk), and is free.
_held: Final[set[str]] = set()


class SqlLocks:
    """Locks that hold across processes and machines, and not twice within one process."""

    def __init__(
        self,
        database: Database,
        table: Table,
        *,
        clock: Callable[[], datetime],
        stale_seconds: float,
        holder: Holder | None = None,
    ) -> None:
        self._database = database
        self._table = table
        self._clock = clock
        self._stale_seconds = stale_seconds
        self._holder = holder

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Raises Conflict if somebody holds it, or, when the block has ended well, if another
        took the lock over meanwhile because this machine had been silent for too long."""
        token = uuid.uuid4().hex
        _held.add(token)
        try:
            self._take(name, token)
            ended = threading.Event()
            heart = threading.Thread(
                target=self._beat, args=(name, token, ended), name=f"lock {name}", daemon=True
            )
            heart.start()
            try:
                yield
            finally:
                ended.set()
                heart.join()
                kept = self._release(name, token)
        finally:
            _held.discard(token)
        if not kept:
            raise Conflict(
                f"The lock '{name}' was taken over while it was held: no heartbeat reached the "
                f"database for {self._stale_seconds:g} s.",
                cure="Check what both runs wrote, and run again.",
            )

    def _take(self, name: str, token: str) -> None:
        me = self._holder or Holder.here()  # not kept: a fork is another process
        locks = self._table
        with self._database.begin() as connection:
            now = self._now(connection)
            query = select(locks).where(locks.c.name == name).with_for_update()
            row = connection.execute(query).one_or_none()
            if row is not None:
                if self._is_held(row, me, now):
                    raise _conflict(name, row)
                self._remove(connection, name, row.token)
            connection.execute(
                self._database.insert(locks)
                .values(
                    name=name,
                    token=token,
                    host=me.host,
                    place=me.place,
                    pid=me.pid,
                    started=me.started,
                    since=now,
                    heartbeat_at=now,
                )
                .on_conflict_do_nothing()
            )
            row = connection.execute(query).one_or_none()
            if row is None or row.token != token:  # somebody was faster, since the first look
                raise _conflict(name, row)

    def _is_held(self, row: Row[Any], me: Holder, now: int) -> bool:
        other = Holder(row.host, row.place, row.pid, row.started)
        if other == me and row.token not in _held:
            return False
        if other.is_visible_from(me):
            return other.is_alive()
        return now - int(row.heartbeat_at) < self._stale_seconds * 1_000_000

    def _beat(self, name: str, token: str, ended: threading.Event) -> None:
        locks = self._table
        while not ended.wait(self._stale_seconds / BEATS_PER_TERM):
            with suppress(NextupError), self._database.begin() as connection:
                connection.execute(
                    update(locks)
                    .where(locks.c.name == name, locks.c.token == token)
                    .values(heartbeat_at=self._now(connection))
                )

    def _release(self, name: str, token: str) -> bool:
        """Whether the lock was still ours. A database that is away gets the benefit of the
        doubt: the row is free for this process at once, and for others when it ends."""
        try:
            with self._database.begin() as connection:
                return self._remove(connection, name, token)
        except NextupError:
            return True

    def _remove(self, connection: Connection, name: str, token: str) -> bool:
        locks = self._table
        gone = connection.execute(
            delete(locks).where(locks.c.name == name, locks.c.token == token)
        ).rowcount
        return gone > 0

    def _now(self, connection: Connection) -> int:
        """In microseconds. Of the server where there is one: machines' clocks differ."""
        if self._database.is_sqlite:
            return to_microseconds(self._clock())
        seconds = func.extract("epoch", func.clock_timestamp())
        return int(connection.execute(select(seconds)).scalar_one() * 1_000_000)


def _conflict(name: str, row: Row[Any] | None) -> Conflict:
    if row is None:
        return Conflict(f"The lock '{name}' was just taken.", cure="Repeat in a moment.")
    holder = Holder(row.host, row.place, row.pid, row.started)
    since = from_microseconds(row.since).isoformat(timespec="seconds")
    return Conflict(
        f"The lock '{name}' is held by {holder} since {since}.",
        cure="Wait until it ends, or stop that process; its lock is then free.",
    )
