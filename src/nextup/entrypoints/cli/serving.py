"""`nextup serve`, and its answers on the command line: `recommend`, `similar`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.needs import look_from_outside
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextup.bootstrap import Platform
    from nextup.domain.items import Item
    from nextup.domain.recommendations import Recommendation
    from nextup.settings import Settings

Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many items.")]
Kind = Annotated[str, typer.Option(help="Only items of this kind, such as film or book.")]


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    root.command()(serve)
    root.command()(recommend)
    root.command()(similar)


def serve(
    host: Annotated[str, typer.Option(help="Default: the setting server.host.")] = "",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Default: server.port; 0 takes any free one."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the port. Default: server.workers."),
    ] = None,
    home: Home = HERE,
) -> None:
    """Answer over HTTP until interrupted; another port is taken where this one is not free."""
    import os
    from contextlib import ExitStack

    # one person's products are small: BLAS threads would cost more than they bring
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from nextup.entrypoints.heap import settle_heap, starting

    settle_heap()
    with ExitStack() as start:
        start.enter_context(starting())
        _serve(home, host, port, workers, started=start.close)


def _serve(
    home: str, host: str, port: int | None, workers: int | None, *, started: Callable[[], None]
) -> None:
    """The same; `started` is called once all is there that stays."""
    from nextup.entrypoints.api.server import serve as serve_http
    from nextup.entrypoints.logs import configure_logs
    from nextup.services.access.exposure import require_safe

    out = Output(as_json=False)
    with platform_at(home) as platform:
        configure_logs(platform.settings.logs)
        server = platform.settings.server
        wanted = server.port if port is None else port
        require_safe(platform.settings, host or server.host)
        introduce_admin(platform, out)
        look_from_outside(platform)

        def ready(url: str) -> None:
            started()
            say_where(out, url, wanted)

        if (workers or server.workers) == 1:
            serve_http(platform, host=host or server.host, port=wanted, ready=ready)
            return
        settings = platform.settings
        load_libraries(platform)
    started()
    # nothing is open any more: the workers are forks of this process
    serve_with_workers(settings, out, host or server.host, wanted, workers or server.workers)


def load_libraries(platform: Platform) -> None:
    """Import what the workers need, so that they share its memory; one that is out of order is
    theirs to report."""
    from contextlib import suppress
    from importlib import import_module

    from nextup.domain.errors import NextupError

    import_module("nextup.services.access.signing")  # which one alone loads with its first token
    for port in ("control", "event_log", "catalog", "online_state", "recommendation_store"):
        if str(getattr(platform.settings, f"{port}_url")).startswith("sqlite:"):  # no threads
            with suppress(NextupError):
                getattr(platform, port)


def serve_with_workers(settings: Settings, out: Output, host: str, port: int, number: int) -> None:
    """Several processes answer at one port."""
    from nextup.bootstrap import open_platform
    from nextup.entrypoints.api.workers import (
        Seat,
        Workers,
        listen,
        require_shareable,
        serve_from,
    )

    def work(seat: Seat) -> None:
        with open_platform(settings) as platform:
            serve_from(platform, seat)

    require_shareable(settings)
    listening, url = listen(host, port)
    workers = Workers(work, listening, settings.home, number)
    workers.run(ready=lambda: say_where(out, url, port))


def introduce_admin(platform: Platform, out: Output) -> None:
    """At the first start of a server that asks for keys: make an admin, and tell its secrets."""
    from nextup.services.access.accounts import Accounts

    if platform.settings.access.auth == "none":
        return
    admin = Accounts(platform.clients, platform.settings).first_admin()
    if admin is None:
        return
    own = platform.settings.access.admin_password
    out.say(
        f"This is the first start. Client '{admin.client.client_id}' may do everything; its "
        "secrets are shown only now:\n"
        f"  API key   {admin.secret}\n"
        f"  password  {'that of access.admin_password' if own else admin.password}\n"
        "Send the key as X-API-Key; `nextup client` makes further clients."
    )


def say_where(out: Output, url: str, wanted: int) -> None:
    """Where the server is, and that it had to go elsewhere if it had to."""
    if wanted and not url.endswith(f":{wanted}"):
        out.say(f"Port {wanted} is taken; this is another one.")
    out.say(f"Serving on {url}; its manual is {url}/docs")


def recommend(
    user_id: Annotated[str, typer.Argument(help="Whom to recommend to.")],
    limit: Limit = 10,
    kind: Kind = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """What the person should see next, and why."""
    from contextlib import suppress

    from nextup.domain.errors import BackendUnavailable, CorruptData
    from nextup.entrypoints.heap import starting

    with starting(), platform_at(home) as platform:
        from nextup.services.recommending.request import Request
        from nextup.services.serving import Serving

        serving = Serving(platform)
        with suppress(BackendUnavailable, CorruptData):  # the answer does without, and says so
            serving.updater.catch_up()
        page = serving.recommender.recommend(Request(user_id, limit=limit, kind=kind or None))
    rows = [
        (
            place,
            _title(item.item_id, page.details),
            item.score,
            item.source,
            _why(item, page.details),
        )
        for place, item in enumerate(page.places, start=1)
    ]
    served = page.served
    document = {
        "user_id": user_id,
        "level": served.level,
        "model_id": served.model_id,
        "token": served.token,
        "items": page.places,
        "missing": list(page.missing),
    }
    title = f"For {user_id} ({served.level.value})"
    Output(as_json=as_json).table(title, ("", "item", "score", "source", "why"), rows, document)


def similar(
    item_id: Annotated[str, typer.Argument(help="The item to compare with.")],
    limit: Limit = 10,
    kind: Kind = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Which items go with this one."""
    from nextup.entrypoints.heap import starting

    with starting(), platform_at(home) as platform:
        from nextup.services.serving import Serving

        shelf = Serving(platform).shelves.similar(item_id, limit=limit, kind=kind or None)
    rows = [(_title(place.item_id, shelf.details), place.score) for place in shelf.places]
    document = {"item_id": item_id, "source": shelf.source, "items": shelf.places}
    title = f"Similar to {item_id} ({shelf.source})"
    Output(as_json=as_json).table(title, ("item", "score"), rows, document)


def _title(item_id: str, details: Mapping[str, Item]) -> str:
    item = details.get(item_id)
    if item is None or not item.title:
        return item_id
    return f"{item.title} ({item.year})" if item.year is not None else item.title


def _why(item: Recommendation, details: Mapping[str, Item]) -> str:
    because = ", ".join(
        f"{_title(reason.item_id, details)} {reason.share:.0%}" for reason in item.because[:3]
    )
    return "; ".join(part for part in (because, ", ".join(item.rules)) if part)
