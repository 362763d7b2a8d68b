"""Short-lived tokens: JWTs signed with Ed25519 by keys that take turns.

What is checked of a token, besides its signature: the algorithm is the one there is, the key is
one of ours by its `kid`, issuer and audience are this deployment's, it has not expired. Whether
its client is still let in is the guard's question.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from nextup.domain.clients import Scope
from nextup.services.access.credentials import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from nextup.domain.clients import Client, SigningKey
    from nextup.ports.clients import Clients
    from nextup.services.access.signing import PublicKeys, Signatures
    from nextup.settings import Access

LONGEST = 4_096  # bytes; ours have about 400
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Claims(NamedTuple):
    """What a good token says."""

    client_id: str
    scopes: frozenset[Scope]
    issued_at: datetime
    expires_at: datetime


class Tokens:
    """Issues and reads tokens. Safe to share between threads."""

    def __init__(self, clients: Clients, settings: Access, clock: Callable[[], datetime]) -> None:
        self._clients = clients
        self._settings = settings
        self._clock = clock
        self._lifetime = timedelta(seconds=settings.token_seconds)
        self._known: tuple[int, PublicKeys] = (-1, {})  # as of a revision

    @cached_property
    def _signatures(self) -> Signatures:
        """Loaded by the first token: a server whose clients show keys needs none."""
        from nextup.services.access.signing import Signatures  # noqa: PLC0415

        return Signatures(self._settings)

    def issue(self, client: Client, scopes: Collection[Scope]) -> str:
        """A token that lets the client do this much, for `token_seconds`."""
        key = self.signing_key()
        now = self._clock()
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": client.client_id,
            "scope": " ".join(sorted(scopes)),
            "iat": now.timestamp(),
            "exp": (now + self._lifetime).timestamp(),
            "jti": secrets.token_hex(8),
        }
        return self._signatures.sign(claims, key)

    def read(self, token: str, revision: int) -> Claims:
        """What the token says. Raises Unauthenticated for any but a good one of ours; the reason
        that it gives helps whoever holds a real token, and nobody else."""
        if len(token) > LONGEST:
            raise refused("is none of ours")
        kid = self._signatures.signer(token)
        key = None if kid is None else self._public(kid, revision)
        if key is None:
            raise refused("is not signed by this server, or long ago")
        return self._claims(self._signatures.read(token, key))

    def signing_key(self) -> SigningKey:
        """The newest; a new one first, where there is none or it has done its days."""
        newest = self._newest()
        if newest is not None and self._clock() < newest.created_at + self._turn():
            return newest
        return self._follow(newest)

    def rotate(self, *, void_old: bool = False) -> SigningKey:
        """Sign with a new key from now on. Older tokens are good until they expire, or with
        `void_old` no longer."""
        return self._follow(self._newest(), void_old=void_old)

    def _newest(self) -> SigningKey | None:
        keys = self._clients.signing_keys()
        return keys[0] if keys else None

    def _follow(self, newest: SigningKey | None, *, void_old: bool = False) -> SigningKey:
        """A new key after the newest that was seen, or what another process has put there."""
        now = self._clock()
        drop_before = LONG_AGO
        if void_old:
            drop_before = now
        elif newest is not None and newest.created_at + self._lifetime < now:
            drop_before = newest.created_at  # all before it ended when it began
        made = self._signatures.new_key(now)
        after = newest.kid if newest else None
        if self._clients.add_signing_key(made, after=after, drop_before=drop_before):
            return made
        return self._clients.signing_keys()[0]

    def _turn(self) -> timedelta:
        return timedelta(days=self._settings.rotate_days)

    def _public(self, kid: str, revision: int) -> Ed25519PublicKey | None:
        as_of, keys = self._known
        if as_of != revision:
            keys = self._signatures.public_keys(self._clients.signing_keys())
            self._known = (revision, keys)
        return keys.get(kid)

    def _claims(self, claims: dict[str, Any]) -> Claims:
        try:
            issued_at = datetime.fromtimestamp(float(claims["iat"]), UTC)
            expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
            scopes = frozenset(Scope(one) for one in str(claims["scope"]).split())
        except (KeyError, ValueError, TypeError, OverflowError, OSError) as error:
            raise refused("is not good") from error
        if expires_at <= self._clock():
            raise refused("has expired")
        return Claims(str(claims["sub"]), scopes, issued_at, expires_at)
