"""The tables of clients and their keys in a SQL database. Times are in microseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Float, ForeignKey, MetaData, Table, Text

from nextup.adapters.sql import Id, Number

if TYPE_CHECKING:
    from collections.abc import Callable


class ClientTables:
    """Clients, API keys, signing keys, usage, and the revision of the first three."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self.metadata = MetaData()
        self.clients = Table(
            name("clients"),
            self.metadata,
            Column("client_id", Id, primary_key=True),
            Column("number", Number, nullable=False, unique=True),
            Column("tenant", Id, nullable=False, index=True),
            Column("scopes", Text, nullable=False),  # separated by spaces
            Column("password_hash", Text, nullable=False),  # Argon2's own form; empty: none
            Column("per_second", Float(53), nullable=False),
            Column("burst", Number, nullable=False),
            Column("per_day", Number, nullable=False),
            Column("created_at", Number, nullable=False),
            Column("tokens_since", Number),
            Column("revoked_at", Number),
        )
        self.keys = Table(
            name("client_keys"),
            self.metadata,
            Column("key_id", Id, primary_key=True),
            Column(
                "client_id", Id, ForeignKey(self.clients.c.client_id), nullable=False, index=True
            ),
            Column("digest", Text, nullable=False),  # SHA-256, hexadecimal
            Column("note", Text, nullable=False),
            Column("created_at", Number, nullable=False),
            Column("revoked_at", Number),
        )
        self.signing_keys = Table(
            name("signing_keys"),
            self.metadata,
            Column("kid", Id, primary_key=True),
            Column("private", Text, nullable=False),  # PEM
            Column("created_at", Number, nullable=False),
        )
        self.usage = Table(
            name("client_usage"),
            self.metadata,
            Column("day", Number, primary_key=True, autoincrement=False),  # since the epoch
            Column("client_id", Id, primary_key=True),
            Column("what", Id, primary_key=True),
            Column("times", Number, nullable=False),
        )
        self.revision = Table(
            name("client_revision"),
            self.metadata,
            Column("id", Number, primary_key=True, autoincrement=False),  # there is one row: 1
            Column("revision", Number, nullable=False),
        )
