"""Who may call: clients, their keys, and what a request came in as."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

CLIENT_ID = r"^[a-z0-9][a-z0-9_.-]{1,62}$"  # no "/": it separates a client from its people
OPEN = "open"  # the client of all requests where nobody has to say who they are
REFUSED = "refused"  # what usage calls requests beyond a limit


class Scope(StrEnum):
    """What a client may do; none of them contains another."""

    READ = "read"  # ask for lists, items and people
    WRITE = "write"  # send events, change items and people
    OPERATE = "operate"  # runs, models, generations, quarantine
    ADMIN = "admin"  # clients and their keys


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Client:
    """A program with credentials. It belongs to one tenant for ever; its id is never reused."""

    client_id: str
    tenant: str
    scopes: frozenset[Scope]
    created_at: datetime
    password_hash: str = field(default="", repr=False)  # empty: only keys let it in
    per_second: float = 0.0  # requests, on average; 0: no limit
    burst: int = 0  # requests at once; 0: as many as in a second
    per_day: int = 0  # requests within a day of UTC; 0: no quota
    tokens_since: datetime | None = None  # tokens issued before are void
    revoked_at: datetime | None = None
    number: int = 0  # small and its own; given when it is stored


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A long random secret that does not expire. Only its digest is kept."""

    key_id: str  # the public part of the secret
    client_id: str
    digest: str = field(repr=False)  # SHA-256 of the secret, hexadecimal
    created_at: datetime
    note: str = ""  # where it is used
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs tokens while it is the newest; older ones still verify theirs until they expire."""

    kid: str
    private: str = field(repr=False)  # PEM
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and what they may do."""

    client_id: str
    tenant: str
    scopes: frozenset[Scope]


class Usage(NamedTuple):
    """How often a client did something on one day of UTC."""

    client_id: str
    day: date
    what: str  # a scope, or REFUSED
    times: int
