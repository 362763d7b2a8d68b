"""`nextup client create|list|key|revoke|usage|rotate`: who may call the API."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output, confirm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.domain.clients import Client, Scope
    from nextup.services.access.accounts import Accounts

app = typer.Typer(no_args_is_help=True, help="Who may call the API: clients and their keys.")
Name = Annotated[str, typer.Argument(metavar="CLIENT", help="The client's name.")]
ONCE = "shown only now"


@app.command()
def create(
    client_id: Name,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, write, operate or admin; again for more. Default: read, write."),
    ] = None,
    password: Annotated[
        bool, typer.Option("--password", help="Make a password too, for POST /v1/token.")
    ] = False,
    per_second: Annotated[
        float | None, typer.Option(min=0, help="Requests per second; 0: any.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(min=0, help="Requests at once; 0: as many as in a second.")
    ] = None,
    per_day: Annotated[int | None, typer.Option(min=0, help="Requests per day; 0: any.")] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Register a client of the tenant, and show its first key, once."""
    from secrets import token_urlsafe

    from nextup.domain.clients import Scope
    from nextup.services.access.accounts import PASSWORD_BYTES

    with _accounts(home) as accounts:
        made = accounts.register(
            client_id,
            scopes=_scopes(scope) if scope else (Scope.READ, Scope.WRITE),
            password=token_urlsafe(PASSWORD_BYTES) if password else "",
            per_second=per_second,
            burst=burst,
            per_day=per_day,
        )
    document = {
        **_document(made.client),
        "key_id": made.key.key_id,
        "api_key": made.secret,
        **({"password": made.password} if password else {}),
    }
    text = f"Client '{client_id}' of tenant '{made.client.tenant}'. Its API key, {ONCE}:\n"
    text += made.secret
    if password:
        text += f"\nIts password, {ONCE}:\n{made.password}"
    Output(as_json=as_json).result(document, text)


@app.command("list")
def list_clients(
    every_tenant: Annotated[
        bool, typer.Option("--all", help="Those of all tenants, not only of one.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """The tenant's clients, by name; those that were revoked too."""
    with _accounts(home) as accounts:
        found = accounts.clients(None if every_tenant else accounts.tenant)
    rows = [
        (
            one.client_id,
            one.tenant,
            " ".join(sorted(one.scopes)),
            _limits(one),
            "revoked" if one.revoked_at else "",
        )
        for one in found
    ]
    title = "Clients" if rows else "There are no clients yet; `nextup client create` makes one."
    columns = ("client", "tenant", "scopes", "limits", "")
    Output(as_json=as_json).table(title, columns, rows, [_document(one) for one in found])


@app.command()
def key(
    client_id: Name,
    note: Annotated[str, typer.Option(help="Where it will be used.")] = "",
    revoke_key: Annotated[
        str, typer.Option("--revoke", metavar="KEY", help="Revoke this key instead.")
    ] = "",
    show: Annotated[bool, typer.Option("--list", help="List the client's keys instead.")] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Give a client another key and show it, once; or revoke or list its keys."""
    out = Output(as_json=as_json)
    with _accounts(home) as accounts:
        if revoke_key:
            accounts.revoke_key(client_id, revoke_key)
            out.result({"revoked": revoke_key}, f"Key '{revoke_key}' is refused from now on.")
        elif show:
            keys = accounts.keys(client_id)
            rows = [
                (
                    one.key_id,
                    one.note,
                    f"{one.created_at:%Y-%m-%d}",
                    "revoked" if one.revoked_at else "",
                )
                for one in keys
            ]
            document = [
                {
                    name: getattr(one, name)
                    for name in ("key_id", "note", "created_at", "revoked_at")
                }
                for one in keys
            ]
            out.table(f"Keys of '{client_id}'", ("key", "note", "since", ""), rows, document)
        else:
            made, secret = accounts.add_key(client_id, note)
            document_of_key = {"client_id": client_id, "key_id": made.key_id, "api_key": secret}
            out.result(document_of_key, f"A key for '{client_id}', {ONCE}:\n{secret}")


@app.command()
def revoke(
    client_id: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Shut a client out for ever, from its next request on, in every running server."""
    confirm(f"Shut client '{client_id}' out for ever?", yes=yes)
    with _accounts(home) as accounts:
        client = accounts.revoke(client_id)
    Output(as_json=as_json).result(_document(client), f"Client '{client_id}' is shut out.")


@app.command()
def usage(
    client_id: Name,
    days: Annotated[int, typer.Option(min=1, max=400, help="How many, up to today.")] = 30,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """How many requests a client sent, by day and by the scope that they needed."""
    from datetime import UTC, datetime, timedelta

    today = datetime.now(UTC).date()
    with _accounts(home) as accounts:
        found = accounts.usage(client_id, today - timedelta(days=days - 1), today)
    rows = [(one.day.isoformat(), one.what, one.times) for one in found]
    title = f"Usage of '{client_id}'" if rows else f"'{client_id}' sent nothing in {days} days."
    Output(as_json=as_json).table(title, ("day", "what", "times"), rows, found)


@app.command()
def rotate(
    void_old: Annotated[
        bool, typer.Option("--void-old", help="Refuse the tokens that are out already.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Sign tokens with a new key from now on. It happens by itself every `rotate_days`."""
    with _accounts(home) as accounts:
        kid = accounts.rotate(void_old=void_old)
    older = "are refused" if void_old else "are good until they expire"
    Output(as_json=as_json).result({"kid": kid}, f"Signing with key '{kid}'; older tokens {older}.")


@contextmanager
def _accounts(home: str) -> Iterator[Accounts]:
    from nextup.services.access.accounts import Accounts

    with platform_at(home) as platform:
        yield Accounts(platform.clients, platform.settings)


def _scopes(words: list[str]) -> set[Scope]:
    from nextup.domain.clients import Scope
    from nextup.domain.errors import InvalidInput

    try:
        return {Scope(one) for word in words for one in word.replace(",", " ").split()}
    except ValueError as error:
        raise InvalidInput(f"--scope: {error}.", cure=f"One of: {', '.join(Scope)}.") from error


def _document(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "tenant": client.tenant,
        "scopes": sorted(client.scopes),
        "per_second": client.per_second,
        "burst": client.burst,
        "per_day": client.per_day,
        "created_at": client.created_at,
        "revoked_at": client.revoked_at,
    }


def _limits(client: Client) -> str:
    parts = (
        (client.per_second, f"{client.per_second:g} a second"),
        (client.per_day, f"{client.per_day:,} a day"),
    )
    return ", ".join(text for amount, text in parts if amount)
