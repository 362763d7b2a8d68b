"""Clients come, get credentials, prove who they are, and go."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nextup.domain.clients import ALL_SCOPES, CLIENT_ID, Client, Scope
from nextup.domain.errors import (
    Conflict,
    InvalidInput,
    LimitReached,
    NotFound,
    Unauthenticated,
)
from nextup.services.access.api_keys import mint
from nextup.services.access.guard import utc_now
from nextup.services.access.passwords import hash_password, is_password, require_strong
from nextup.services.access.rates import Rates
from nextup.services.access.tokens import Tokens
from nextup.settings import TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date, datetime

    from nextup.domain.clients import ApiKey, Usage
    from nextup.ports.clients import Clients
    from nextup.settings import Settings

PER_ADDRESS = 6  # times as many attempts are allowed from one address as for one client from it
PER_CLIENT = 10  # and for one client from all addresses together
SECONDS = 60.0  # in a minute
PASSWORD_BYTES = 18  # of one that is made: 144 random bits


@dataclass(frozen=True, slots=True)
class Registered:
    """A new client. Its secrets are told here and never again."""

    client: Client
    key: ApiKey
    secret: str = field(repr=False)  # the API key
    password: str = field(default="", repr=False)  # empty: it has none


@dataclass(frozen=True, slots=True)
class Token:
    """A short-lived token."""

    text: str = field(repr=False)
    scopes: frozenset[Scope]
    expires_in: int  # seconds


class Accounts:
    """Safe to share between threads."""

    def __init__(
        self, clients: Clients, settings: Settings, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._clients = clients
        self._settings = settings.access
        self.tenant = settings.tenant  # the deployment's own
        self._clock = clock
        self._tokens = Tokens(clients, settings.access, clock)
        self._attempts = Rates()

    def register(
        self,
        client_id: str,
        *,
        tenant: str = "",
        scopes: Collection[Scope] = (Scope.READ, Scope.WRITE),
        password: str = "",
        per_second: float | None = None,
        burst: int | None = None,
        per_day: int | None = None,
        note: str = "",
    ) -> Registered:
        """A new client with a first key, and a password if one is given; limits that are not
        given are those of the settings.

        Raises InvalidInput for a name that cannot be one or a password that is weak, Conflict for
        a name that was ever used.
        """
        tenant = tenant or self.tenant
        _require_names(client_id, tenant)
        if password:
            require_strong(password, client_id)
        ours, now = self._settings, self._clock()
        client = self._clients.add(
            Client(
                client_id=client_id,
                tenant=tenant,
                scopes=frozenset(scopes),
                created_at=now,
                password_hash=hash_password(password) if password else "",
                per_second=ours.per_second if per_second is None else per_second,
                burst=ours.burst if burst is None else burst,
                per_day=ours.per_day if per_day is None else per_day,
            )
        )
        key, secret = self.add_key(client_id, note or "first")
        return Registered(client, key, secret, password)

    def first_admin(self) -> Registered | None:
        """The admin that the first start makes, once and for ever; None where there is or was
        one. Its password is that of the settings, or made."""
        if any(Scope.ADMIN in client.scopes for client in self._clients.clients()):
            return None
        password = self._settings.admin_password or secrets.token_urlsafe(PASSWORD_BYTES)
        try:
            admin = self.register(self._settings.admin, scopes=ALL_SCOPES)
        except Conflict:  # another process was faster
            return None
        # as it is in the settings: whether it is good enough is asked where the server listens
        changed = replace(admin.client, password_hash=hash_password(password))
        self._clients.change(changed)
        return replace(admin, client=changed, password=password)

    def token(
        self,
        client_id: str,
        password: str,
        *,
        scopes: Collection[Scope] | None = None,
        address: str = "",
    ) -> Token:
        """A token for who knows the password; a key needs none, it is shown itself.

        Raises Unauthenticated in the same time and words whatever is wrong, LimitReached after
        too many attempts, InvalidInput for scopes that the client does not have.
        """
        attempt = (client_id[:64], address)
        self._require_patience(attempt)
        client = self._clients.client(client_id)
        good = is_password(password, client.password_hash if client else "")
        if not good or client is None or client.revoked_at is not None:
            raise Unauthenticated(
                "Client and password do not fit.", cure="An admin can set another password."
            )
        self._attempts.forget(attempt)
        wanted = client.scopes if scopes is None else frozenset(scopes)
        if not wanted <= client.scopes:
            missing = ", ".join(sorted(wanted - client.scopes))
            raise InvalidInput(f"Client '{client_id}' does not have the scope: {missing}.")
        text = self._tokens.issue(client, wanted)
        return Token(text, wanted, self._settings.token_seconds)

    def client(self, client_id: str, tenant: str | None = None) -> Client:
        """Raises NotFound for an unknown one, and for one of another tenant."""
        client = self._clients.client(client_id)
        if client is None or tenant not in {None, client.tenant}:
            raise NotFound(f"There is no client '{client_id}'.", cure="`nextup client list`.")
        return client

    def clients(self, tenant: str | None = None) -> Sequence[Client]:
        """By id; only the tenant's where one is given."""
        return self._clients.clients(tenant)

    def change(
        self,
        client_id: str,
        *,
        scopes: Collection[Scope] | None = None,
        password: str | None = None,
        per_second: float | None = None,
        burst: int | None = None,
        per_day: int | None = None,
    ) -> Client:
        """Change what is given. Another password makes all tokens void. Raises NotFound,
        InvalidInput for a weak password, Conflict where nobody would be an admin any more."""
        client = self.client(client_id)
        if scopes is not None:
            if Scope.ADMIN not in scopes:
                self._require_other_admin(client)
            client = replace(client, scopes=frozenset(scopes))
        if password is not None:
            require_strong(password, client_id)
            hashed = hash_password(password)
            client = replace(client, password_hash=hashed, tokens_since=self._clock())
        limits = {"per_second": per_second, "burst": burst, "per_day": per_day}
        given = {name: value for name, value in limits.items() if value is not None}
        client = replace(client, **given)  # type: ignore[arg-type]
        self._clients.change(client)
        return client

    def revoke(self, client_id: str) -> Client:
        """Shut it out, from the next request on and everywhere. A second time does nothing.
        Raises NotFound, Conflict for the last admin."""
        client = self.client(client_id)
        self._require_other_admin(client)
        self._clients.revoke(client_id, self._clock())
        return self.client(client_id)

    def add_key(self, client_id: str, note: str = "") -> tuple[ApiKey, str]:
        """A further key and its secret, which is told here and never again. Raises NotFound,
        Conflict for a client that was revoked."""
        client = self.client(client_id)
        if client.revoked_at is not None:
            raise Conflict(f"Client '{client_id}' was revoked.", cure="Register another one.")
        key, secret = mint(client_id, self._clock(), note)
        self._clients.add_key(key)
        return key, secret

    def keys(self, client_id: str) -> Sequence[ApiKey]:
        """The latest first. Raises NotFound."""
        return self._clients.keys(self.client(client_id).client_id)

    def revoke_key(self, client_id: str, key_id: str) -> None:
        """A second time does nothing. Raises NotFound for a key of nobody or somebody else."""
        key = self._clients.key(key_id)
        if key is None or key.client_id != client_id:
            raise NotFound(f"Client '{client_id}' has no key '{key_id}'.")
        self._clients.revoke_key(key_id, self._clock())

    def rotate(self, *, void_old: bool = False) -> str:
        """Sign tokens with a new key from now on; returns its name. See `Tokens.rotate`."""
        return self._tokens.rotate(void_old=void_old).kid

    def usage(self, client_id: str, since: date, until: date) -> Sequence[Usage]:
        """What the client did on these days, both included. Raises NotFound."""
        return self._clients.usage(self.client(client_id).client_id, since, until)

    def _require_other_admin(self, client: Client) -> None:
        if Scope.ADMIN not in client.scopes or client.revoked_at is not None:
            return
        admins = {
            one.client_id
            for one in self._clients.clients()
            if Scope.ADMIN in one.scopes and one.revoked_at is None
        }
        if admins == {client.client_id}:
            raise Conflict(
                f"'{client.client_id}' is the last admin.", cure="Make another one before."
            )

    def _require_patience(self, attempt: tuple[str, str]) -> None:
        client_id, address = attempt
        allowed = self._settings.logins_per_minute
        for key, times in ((attempt, 1), (("", address), PER_ADDRESS), ((client_id,), PER_CLIENT)):
            wait = self._attempts.take(
                key, per_second=allowed * times / SECONDS, burst=allowed * times
            )
            if wait > 0:
                raise LimitReached(
                    "Too many attempts to sign in.", retry_after=wait, cure="Wait, then try again."
                )


def _require_names(client_id: str, tenant: str) -> None:
    if not re.fullmatch(CLIENT_ID, client_id):
        raise InvalidInput(
            f"'{client_id[:80]}' cannot be a client's name.",
            cure="Use 2 to 63 of a-z, 0-9, '_', '.' and '-', first a letter or digit.",
        )
    if not re.fullmatch(TENANT, tenant):
        raise InvalidInput(
            f"'{tenant[:80]}' cannot be a tenant's name.",
            cure="Use up to 31 of a-z, 0-9 and '_', first a letter.",
        )
