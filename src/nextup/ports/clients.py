"""Clients, their keys and what they used: one set for the deployment, whatever its tenants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Protocol

from nextup.domain.clients import ApiKey, Client, SigningKey, Usage


class Clients(Protocol):
    """Every call is one transaction. Safe to share between threads."""

    def revision(self) -> int:
        """A number that grows whenever a client, a key or a signing key changes, in any process,
        before the call that changed it returns. Cheap: asked before every request."""
        ...

    def add(self, client: Client) -> Client:
        """Keep a new one, and give it its number. Raises Conflict where the id was ever used."""
        ...

    def change(self, client: Client) -> None:
        """Replace all but tenant, number and `created_at`. Who was revoked stays so. Raises
        NotFound for an unknown one."""
        ...

    def revoke(self, client_id: str, at: datetime) -> bool:
        """Shut the client out, and all of its keys. Returns whether it was let in before; an
        unknown one was not."""
        ...

    def client(self, client_id: str) -> Client | None: ...

    def clients(self, tenant: str | None = None) -> Sequence[Client]:
        """By id; only the tenant's where one is given; revoked ones too."""
        ...

    def add_key(self, key: ApiKey) -> None:
        """Raises NotFound for a key of no client, Conflict for an id that there is."""
        ...

    def key(self, key_id: str) -> ApiKey | None: ...

    def keys(self, client_id: str) -> Sequence[ApiKey]:
        """The client's, the latest first; revoked ones too."""
        ...

    def revoke_key(self, key_id: str, at: datetime) -> bool:
        """Returns whether it was good before."""
        ...

    def signing_keys(self) -> Sequence[SigningKey]:
        """The latest first."""
        ...

    def add_signing_key(self, key: SigningKey, *, after: str | None, drop_before: datetime) -> bool:
        """Add it if `after` is still the latest (None: there is none), and drop those that were
        made before; returns whether it was added. Of many processes that rotate, one does."""
        ...

    def count(self, usage: Iterable[Usage]) -> None:
        """Add to what is counted."""
        ...

    def usage(self, client_id: str, since: date, until: date) -> Sequence[Usage]:
        """What it did on these days, both included, by day."""
        ...

    def used(self, day: date) -> dict[str, int]:
        """By client: how many requests of that day were let in."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        ...
