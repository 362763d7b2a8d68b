"""Lets requests in, or says why not.

    caller = guard.admit(scope["headers"], Scope.READ)

A caller who was let in before costs about 5 microseconds on SQLite: one digest, one look into a
dictionary, and one read of the revision, which grows with every change of a client or a key in
any process. So whoever was shut out is out at the next request, in every worker.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from nextup.domain.clients import ALL_SCOPES, OPEN, REFUSED, Caller
from nextup.domain.errors import BackendUnavailable, Forbidden, LimitReached, Unauthenticated
from nextup.services.access.api_keys import key_id_of, opens
from nextup.services.access.credentials import shown
from nextup.services.access.rates import Rates
from nextup.services.access.tokens import Tokens
from nextup.services.access.usage import UsageMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nextup.domain.clients import Client, Scope
    from nextup.ports.clients import Clients
    from nextup.settings import Settings

GRACE_SECONDS = 30.0  # for so long callers who are known are let in while the database is down
RETRY_SECONDS = 1.0  # between questions to a database that is down
MOST_KNOWN = 50_000  # keys and tokens in memory; more are asked for again
FOREVER = float("inf")


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Known:
    """A key or token that was found good."""

    caller: Caller
    expires_at: float  # seconds since the epoch
    per_second: float
    burst: float
    per_day: int
    number: int  # of the client; small, for limits that processes share


class Guard:
    """Safe to share between threads. `start` and `stop` frame its work: it writes usage down."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = utc_now,
        rates: Rates | None = None,
    ) -> None:
        self._clients = clients
        self._settings = settings.access
        self.tokens = Tokens(clients, settings.access, clock)
        self.usage = UsageMeter(clients, clock)
        self._rates = rates or Rates()
        self.open_to = _open_caller(settings) if settings.access.auth == "none" else None
        self._known: tuple[int, dict[bytes, Known]] = (-1, {})  # as of a revision
        self._asked_at = -FOREVER  # monotonic seconds; when the revision was last answered
        self._ask_again_at = -FOREVER
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def admit(self, headers: Iterable[tuple[bytes, bytes]], needed: Scope) -> Caller:
        """Who sends a request with these headers (of an ASGI scope), which needs this scope.

        Counts it against the client's limits. Raises Unauthenticated, Forbidden, LimitReached,
        or BackendUnavailable when the database is down and the caller is not known.
        """
        if self.open_to is not None:
            return self.open_to
        caller = self.let_in(self.identified(shown(headers), self.revision()), needed)
        self.usage.count(caller.client_id, needed.value)
        return caller

    def let_in(self, known: Known, needed: Scope) -> Caller:
        """The caller, if they may do this, and so much; their usage is to be counted then."""
        caller = known.caller
        self._require_rate(known)
        if needed not in caller.scopes:
            raise Forbidden(
                f"This needs the scope '{needed.value}', which client '{caller.client_id}' "
                "does not have, or did not ask for with its token.",
                cure="An admin can give it: PATCH /v1/clients/{client_id}.",
            )
        return caller

    def start(self) -> None:
        """Write usage down in the background until `stop`."""
        if self.open_to is None and self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(
                target=self.usage.run, args=(self._stop,), name="nextup-usage", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Write down what is left. Stopping twice does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def identified(self, secret: bytes, revision: int) -> Known:
        """Whose key or token it is, as of a revision that was read since it was shown."""
        as_of, cache = self._known
        if as_of != revision:
            cache = {}
            self._known = (revision, cache)
        digest = hashlib.sha256(secret).digest()  # secrets are not kept, and compared in no time
        known = cache.get(digest)
        if known is None:
            known = self._asked(secret, revision)
            if len(cache) >= MOST_KNOWN:
                cache.clear()
            cache[digest] = known  # of the revision it was asked for, or thrown away with it
        elif known.expires_at <= time():
            raise Unauthenticated("The token has expired.", cure="POST /v1/token gives a new one.")
        return known

    def revision(self) -> int:
        """The number that grows with every change of who may do what. Raises BackendUnavailable
        when the database is down for longer than known callers are let in without it."""
        if self.open_to is not None:
            return 0
        now = monotonic()
        if now < self._ask_again_at:
            return self._revision_in_grace(now)
        try:
            revision = self._clients.revision()
        except BackendUnavailable:
            self._ask_again_at = now + RETRY_SECONDS
            return self._revision_in_grace(now)
        self._asked_at = now
        return revision

    def _revision_in_grace(self, now: float) -> int:
        if now - self._asked_at > GRACE_SECONDS:
            raise BackendUnavailable(
                "Who sends this cannot be checked: the control database does not answer.",
                cure="Try again in a moment; `nextup doctor` shows what is down.",
            )
        return self._known[0]

    def _asked(self, secret: bytes, revision: int) -> Known:
        key_id = key_id_of(secret)
        if key_id is not None:
            return self._by_key(secret, key_id)
        return self._by_token(secret, revision)

    def _by_key(self, secret: bytes, key_id: str) -> Known:
        key = self._clients.key(key_id)
        client = self._clients.client(key.client_id) if key is not None else None
        if not opens(secret, key) or client is None or client.revoked_at is not None:
            raise Unauthenticated(
                "The key is not good: it is none of ours, or was revoked.",
                cure="Ask an admin for another: `nextup client key`.",
            )
        return self._known_as(client, client.scopes, FOREVER)

    def _by_token(self, secret: bytes, revision: int) -> Known:
        claims = self.tokens.read(secret.decode("latin-1"), revision)
        client = self._clients.client(claims.client_id)
        if client is None or client.revoked_at is not None:
            raise Unauthenticated("The client of this token was revoked.")
        if client.tokens_since is not None and claims.issued_at < client.tokens_since:
            raise Unauthenticated("The token is void.", cure="POST /v1/token gives a new one.")
        scopes = claims.scopes & client.scopes
        return self._known_as(client, scopes, claims.expires_at.timestamp())

    def _known_as(self, client: Client, scopes: frozenset[Scope], expires_at: float) -> Known:
        return Known(
            Caller(client.client_id, client.tenant, scopes),
            expires_at,
            client.per_second,
            client.burst or max(client.per_second, 1.0),
            client.per_day,
            client.number,
        )

    def _require_rate(self, known: Known) -> None:
        client_id = known.caller.client_id
        if known.per_second > 0:
            wait = self._rates.take(known.number, per_second=known.per_second, burst=known.burst)
            if wait > 0:
                self.usage.count(client_id, REFUSED)
                raise LimitReached(
                    f"Client '{client_id}' may send {known.per_second:g} requests per second.",
                    retry_after=wait,
                    cure="Wait as long as Retry-After says.",
                )
        if known.per_day and self.usage.used(client_id) >= known.per_day:
            self.usage.count(client_id, REFUSED)
            raise LimitReached(
                f"Client '{client_id}' has used its {known.per_day} requests of this day.",
                retry_after=self.usage.until_tomorrow(),
                cure="The next day of UTC brings new ones; an admin can allow more.",
            )


def _open_caller(settings: Settings) -> Caller:
    return Caller(OPEN, settings.tenant, ALL_SCOPES)
