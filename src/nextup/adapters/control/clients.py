"""Clients, their keys and their usage in a SQL database."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from nextup.adapters.control.clients_tables import ClientTables
from nextup.adapters.control.revision import Revision
from nextup.adapters.sql_backup import SqlBackup
from nextup.adapters.sql_schema import Schema
from nextup.domain.clients import REFUSED, ApiKey, Client, Scope, SigningKey, Usage
from nextup.domain.errors import Conflict, NotFound
from nextup.domain.events import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, Row

    from nextup.adapters.sql import Database

EPOCH = date(1970, 1, 1)
THE_ROW = 1  # of the revision


class SqlClients(SqlBackup):
    """Clients in SQLite or PostgreSQL. Takes the database over: closing this closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = ClientTables(database.table_name)
        self._metadata = self._tables.metadata
        Schema(database, "clients").prepare(self._metadata)
        self._revision = Revision(database, self._tables.revision.name)

    def revision(self) -> int:
        """As in the port; 0 before the first change."""
        return self._revision.read()

    def add(self, client: Client) -> Client:
        """As in the port."""
        clients = self._tables.clients
        with self._changing() as connection:
            if self._row(connection, client.client_id) is not None:
                raise _taken(client.client_id)
            last = connection.execute(select(func.max(clients.c.number))).scalar_one() or 0
            values = _values(client) | {
                "client_id": client.client_id,
                "tenant": client.tenant,
                "number": last + 1,
                "created_at": to_microseconds(client.created_at),
                "revoked_at": _microseconds(client.revoked_at),
            }
            connection.execute(clients.insert().values(values))
        return replace(client, number=last + 1)

    def change(self, client: Client) -> None:
        """As in the port."""
        clients = self._tables.clients
        with self._changing() as connection:
            changed = connection.execute(
                update(clients)
                .where(clients.c.client_id == client.client_id)
                .values(_values(client))
            ).rowcount
            if not changed:
                raise NotFound(f"There is no client '{client.client_id}'.")

    def revoke(self, client_id: str, at: datetime) -> bool:
        """As in the port."""
        clients = self._tables.clients
        with self._changing() as connection:
            return bool(
                connection.execute(
                    update(clients)
                    .where(clients.c.client_id == client_id, clients.c.revoked_at.is_(None))
                    .values(revoked_at=to_microseconds(at))
                ).rowcount
            )

    def client(self, client_id: str) -> Client | None:
        """None for an unknown one."""
        with self._database.connect() as connection:
            row = self._row(connection, client_id)
        return None if row is None else _client(row)

    def clients(self, tenant: str | None = None) -> Sequence[Client]:
        """As in the port."""
        clients = self._tables.clients
        query = select(clients).order_by(clients.c.client_id)
        if tenant is not None:
            query = query.where(clients.c.tenant == tenant)
        with self._database.connect() as connection:
            return [_client(row) for row in connection.execute(query)]

    def add_key(self, key: ApiKey) -> None:
        """As in the port."""
        keys = self._tables.keys
        with self._changing() as connection:
            if self._row(connection, key.client_id) is None:
                raise NotFound(f"There is no client '{key.client_id}'.")
            known = select(keys.c.key_id).where(keys.c.key_id == key.key_id)
            if connection.execute(known).one_or_none() is not None:
                raise Conflict(f"There is a key '{key.key_id}' already.")
            connection.execute(
                keys.insert().values(
                    key_id=key.key_id,
                    client_id=key.client_id,
                    digest=key.digest,
                    note=key.note,
                    created_at=to_microseconds(key.created_at),
                    revoked_at=_microseconds(key.revoked_at),
                )
            )

    def key(self, key_id: str) -> ApiKey | None:
        """None for an unknown one."""
        keys = self._tables.keys
        with self._database.connect() as connection:
            row = connection.execute(select(keys).where(keys.c.key_id == key_id)).one_or_none()
        return None if row is None else _key(row)

    def keys(self, client_id: str) -> Sequence[ApiKey]:
        """As in the port."""
        keys = self._tables.keys
        query = select(keys).where(keys.c.client_id == client_id)
        latest = query.order_by(keys.c.created_at.desc(), keys.c.key_id)
        with self._database.connect() as connection:
            return [_key(row) for row in connection.execute(latest)]

    def revoke_key(self, key_id: str, at: datetime) -> bool:
        """As in the port."""
        keys = self._tables.keys
        with self._changing() as connection:
            return bool(
                connection.execute(
                    update(keys)
                    .where(keys.c.key_id == key_id, keys.c.revoked_at.is_(None))
                    .values(revoked_at=to_microseconds(at))
                ).rowcount
            )

    def signing_keys(self) -> Sequence[SigningKey]:
        """As in the port."""
        with self._database.connect() as connection:
            return self._signing_keys(connection)

    def add_signing_key(self, key: SigningKey, *, after: str | None, drop_before: datetime) -> bool:
        """As in the port."""
        keys = self._tables.signing_keys
        with self._changing() as connection:
            latest = next((one.kid for one in self._signing_keys(connection)), None)
            if latest != after:
                return False
            connection.execute(
                keys.delete().where(keys.c.created_at < to_microseconds(drop_before))
            )
            connection.execute(
                keys.insert().values(
                    kid=key.kid, private=key.private, created_at=to_microseconds(key.created_at)
                )
            )
            return True

    def count(self, usage: Iterable[Usage]) -> None:
        """As in the port."""
        table = self._tables.usage
        rows = [
            {
                "day": (one.day - EPOCH).days,
                "client_id": one.client_id,
                "what": one.what,
                "times": one.times,
            }
            for one in sorted(usage)  # in one order everywhere, so that no two wait for each other
        ]
        if not rows:
            return
        insert = self._database.insert(table)
        added = insert.on_conflict_do_update(
            index_elements=["day", "client_id", "what"],
            set_={"times": table.c.times + insert.excluded.times},
        )
        with self._database.begin() as connection:
            connection.execute(added, rows)

    def usage(self, client_id: str, since: date, until: date) -> Sequence[Usage]:
        """As in the port."""
        table = self._tables.usage
        days = table.c.day.between((since - EPOCH).days, (until - EPOCH).days)
        query = select(table).where(table.c.client_id == client_id, days)
        with self._database.connect() as connection:
            rows = connection.execute(query.order_by(table.c.day, table.c.what)).all()
        return [
            Usage(row.client_id, EPOCH + timedelta(days=row.day), row.what, row.times)
            for row in rows
        ]

    def used(self, day: date) -> dict[str, int]:
        """As in the port."""
        table = self._tables.usage
        query = (
            select(table.c.client_id, func.sum(table.c.times))
            .where(table.c.day == (day - EPOCH).days, table.c.what != REFUSED)
            .group_by(table.c.client_id)
        )
        with self._database.connect() as connection:
            return {client_id: int(times) for client_id, times in connection.execute(query)}

    def backup(self, folder: Path) -> None:
        """In SQLite they are in the control data's file, which is copied with that."""
        if not self._database.is_sqlite:
            super().backup(folder)

    def restore(self, folder: Path) -> None:
        """Likewise."""
        if not self._database.is_sqlite:
            super().restore(folder)

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._revision.close()
        self._database.close()

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction that others see as a new revision."""
        table = self._tables.revision
        insert = self._database.insert(table).values(id=THE_ROW, revision=1)
        grow = insert.on_conflict_do_update(
            index_elements=["id"], set_={"revision": table.c.revision + 1}
        )
        with self._database.begin() as connection:
            connection.execute(grow)  # first, so that those who change anything queue here
            yield connection

    def _row(self, connection: Connection, client_id: str) -> Row[Any] | None:
        clients = self._tables.clients
        query = select(clients).where(clients.c.client_id == client_id)
        return connection.execute(query).one_or_none()

    def _signing_keys(self, connection: Connection) -> list[SigningKey]:
        keys = self._tables.signing_keys
        query = select(keys).order_by(keys.c.created_at.desc(), keys.c.kid)
        return [
            SigningKey(row.kid, row.private, from_microseconds(row.created_at))
            for row in connection.execute(query)
        ]


def _values(client: Client) -> dict[str, Any]:
    """What may change."""
    return {
        "scopes": " ".join(sorted(client.scopes)),
        "password_hash": client.password_hash,
        "per_second": client.per_second,
        "burst": client.burst,
        "per_day": client.per_day,
        "tokens_since": _microseconds(client.tokens_since),
    }


def _client(row: Row[Any]) -> Client:
    return Client(
        client_id=row.client_id,
        tenant=row.tenant,
        scopes=frozenset(Scope(one) for one in row.scopes.split()),
        created_at=from_microseconds(row.created_at),
        password_hash=row.password_hash,
        per_second=row.per_second,
        burst=row.burst,
        per_day=row.per_day,
        tokens_since=_moment(row.tokens_since),
        revoked_at=_moment(row.revoked_at),
        number=row.number,
    )


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        client_id=row.client_id,
        digest=row.digest,
        created_at=from_microseconds(row.created_at),
        note=row.note,
        revoked_at=_moment(row.revoked_at),
    )


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def _taken(client_id: str) -> Conflict:
    return Conflict(
        f"There is a client '{client_id}', or was one.", cure="Choose another name for yours."
    )
