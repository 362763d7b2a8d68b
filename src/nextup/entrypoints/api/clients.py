"""Clients, their keys and tokens, and what they use."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from nextup.domain.clients import REFUSED, Caller, Client, Scope, Usage
from nextup.domain.errors import Forbidden, InvalidInput
from nextup.entrypoints.api.access import Asking
from nextup.entrypoints.api.clients_bodies import (
    ClientAnswer,
    ClientChange,
    ClientDetail,
    ClientsAnswer,
    KeyAnswer,
    KeyNote,
    Name,
    NewClient,
    NewClientAnswer,
    NewKeyAnswer,
    TokenAnswer,
    UsageAnswer,
    UsageRow,
)
from nextup.entrypoints.api.credentials import TOKEN_BODY, read_credentials
from nextup.entrypoints.api.problems import problems
from nextup.services.access.accounts import Accounts
from nextup.services.access.guard import Guard

router = APIRouter(prefix="/v1/clients", tags=["clients"])
token_router = APIRouter(prefix="/v1", tags=["clients"])

HASHING = 2  # passwords are compared at a time: each takes 19 MiB and a core
USAGE_DAYS = 30
LONGEST_USAGE_DAYS = 400

ClientId = Annotated[Name, Path()]
KeyId = Annotated[str, Path(pattern="^[0-9a-f]{12}$", examples=["5f1c0a9be2d4"])]


class Desk:
    """The accounts that one admin looks after: of their own tenant; of all tenants, if theirs is
    the one that the deployment's settings name."""

    def __init__(self, accounts: Accounts, caller: Caller) -> None:
        self.accounts = accounts
        own = caller.tenant
        self.tenant = None if own == accounts.tenant else own

    def client(self, client_id: str) -> Client:
        """Raises NotFound for another tenant's, as for one that never was."""
        return self.accounts.client(client_id, self.tenant)

    def tenant_for(self, wanted: str | None, caller: Caller) -> str:
        """Raises Forbidden for a tenant that is not theirs to fill."""
        if wanted is None:
            return caller.tenant
        if self.tenant not in {None, wanted}:
            raise Forbidden(
                f"An admin of '{caller.tenant}' registers clients of '{caller.tenant}'.",
                cure="Leave the tenant out.",
            )
        return wanted


async def _accounts(request: Request) -> Accounts:
    accounts = request.app.state.accounts
    assert isinstance(accounts, Accounts)
    return accounts


async def _guard(request: Request) -> Guard:
    guard = request.app.state.guard
    assert isinstance(guard, Guard)
    return guard


async def _desk(request: Request, caller: Asking) -> Desk:
    return Desk(await _accounts(request), caller)


Admin = Annotated[Desk, Depends(_desk)]


@token_router.post(
    "/token",
    response_model=TokenAnswer,
    responses=problems(400, 401, 413, 422, 429, 503),
    openapi_extra=TOKEN_BODY,
    summary="Get a short-lived token",
)
async def post_token(request: Request, response: Response) -> TokenAnswer:
    """For a client's name and password, as JSON or as an OAuth2 form (`client_credentials` or
    `password`), or in an `Authorization: Basic` header. The token lets the client do what it may,
    or less where `scope` asks for less."""
    asked = await read_credentials(request)
    accounts = await _accounts(request)
    address = request.client.host if request.client else ""

    def issue() -> TokenAnswer:
        token = accounts.token(
            asked.client_id, asked.password, scopes=asked.scopes, address=address
        )
        return TokenAnswer(
            access_token=token.text,
            expires_in=token.expires_in,
            scope=" ".join(sorted(token.scopes)),
        )

    response.headers["Cache-Control"] = "no-store"
    return await run_sync(issue, limiter=request.app.state.hashing)


@router.get("", responses=problems(503), summary="All clients")
def list_clients(desk: Admin) -> ClientsAnswer:
    """By name, those that were revoked too. An admin of the deployment's own tenant sees those of
    all tenants."""
    found = desk.accounts.clients(desk.tenant)
    return ClientsAnswer(clients=[ClientAnswer.of(client) for client in found])


@router.post(
    "", status_code=201, responses=problems(400, 409, 413, 422, 503), summary="Register a client"
)
def register_client(body: NewClient, desk: Admin, caller: Asking) -> NewClientAnswer:
    """With a first API key, which is shown here and never again. With a password it can get
    tokens, too. A name is never given twice, also not after it was revoked."""
    made = desk.accounts.register(
        body.client_id,
        tenant=desk.tenant_for(body.tenant, caller),
        scopes=body.scopes or (Scope.READ, Scope.WRITE),
        password=body.password or "",
        per_second=body.per_second,
        burst=body.burst,
        per_day=body.per_day,
    )
    shown = ClientAnswer.of(made.client).model_dump()
    return NewClientAnswer(**shown, key_id=made.key.key_id, api_key=made.secret)


@router.get("/{client_id}", responses=problems(404, 422, 503), summary="One client and its keys")
def get_client(client_id: ClientId, desk: Admin) -> ClientDetail:
    """Keys without their secrets, which nobody has but the client."""
    shown = ClientAnswer.of(desk.client(client_id)).model_dump()
    keys = [KeyAnswer.of(key) for key in desk.accounts.keys(client_id)]
    return ClientDetail(**shown, keys=keys)


@router.patch(
    "/{client_id}",
    responses=problems(400, 404, 409, 413, 422, 503),
    summary="Change a client's scopes, limits or password",
)
def change_client(client_id: ClientId, body: ClientChange, desk: Admin) -> ClientAnswer:
    """What is not given stays. Another password makes all its tokens void. Holds from the next
    request on."""
    desk.client(client_id)
    changed = desk.accounts.change(
        client_id,
        scopes=body.scopes,
        password=body.password,
        per_second=body.per_second,
        burst=body.burst,
        per_day=body.per_day,
    )
    return ClientAnswer.of(changed)


@router.delete("/{client_id}", responses=problems(404, 409, 422, 503), summary="Revoke a client")
def revoke_client(client_id: ClientId, desk: Admin) -> ClientAnswer:
    """Its keys and tokens are refused from the next request on, by every process. A second time
    does nothing."""
    desk.client(client_id)
    return ClientAnswer.of(desk.accounts.revoke(client_id))


@router.post(
    "/{client_id}/keys",
    status_code=201,
    responses=problems(400, 404, 409, 413, 422, 503),
    summary="Give a client another key",
)
def add_key(client_id: ClientId, body: KeyNote, desk: Admin) -> NewKeyAnswer:
    """So that a key can be replaced without a pause: add one, use it, revoke the old one."""
    desk.client(client_id)
    key, secret = desk.accounts.add_key(client_id, body.note)
    return NewKeyAnswer(**KeyAnswer.of(key).model_dump(), api_key=secret)


@router.delete(
    "/{client_id}/keys/{key_id}",
    status_code=204,
    responses=problems(404, 422, 503),
    summary="Revoke one key",
)
def revoke_key(client_id: ClientId, key_id: KeyId, desk: Admin) -> Response:
    """Refused from the next request on. A second time does nothing."""
    desk.client(client_id)
    desk.accounts.revoke_key(client_id, key_id)
    return Response(status_code=204)


@router.get("/{client_id}/usage", responses=problems(404, 422, 503), summary="What a client used")
def get_usage(
    client_id: ClientId,
    desk: Admin,
    guard: Annotated[Guard, Depends(_guard)],
    since: Annotated[date | None, Query(description="30 days ago, if not given.")] = None,
    until: Annotated[date | None, Query(description="Today, if not given.")] = None,
) -> UsageAnswer:
    """Requests by day of UTC and by the scope that they needed. Other processes' requests of the
    last second may be missing."""
    desk.client(client_id)
    last = until or datetime.now(UTC).date()
    first = since or last - timedelta(days=min(USAGE_DAYS, (last - date.min).days))
    if not timedelta(0) <= last - first <= timedelta(days=LONGEST_USAGE_DAYS):
        raise InvalidInput(
            f"{first} to {last} is no period of at most {LONGEST_USAGE_DAYS} days.",
            cure="Give `since` and `until` as 2026-11-01 and 2026-11-30.",
        )
    guard.usage.flush()
    return UsageAnswer(
        client_id=client_id, days=_by_day(desk.accounts.usage(client_id, first, last))
    )


def _by_day(usage: Sequence[Usage]) -> list[UsageRow]:
    days: dict[date, dict[str, int]] = defaultdict(dict)
    for one in usage:
        days[one.day][one.what] = one.times
    return [
        UsageRow(
            day=day,
            refused=counts.pop(REFUSED, 0),
            requests=sum(counts.values()),
            by_scope=counts,
        )
        for day, counts in days.items()
    ]
