"""What commands share: settings, an open platform, and a run's context."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextup.domain.errors import ConfigurationError, InvalidInput
from nextup.entrypoints.cli.command_log import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from nextup.bootstrap import Platform
    from nextup.ports.lake import AsOf
    from nextup.services.contracts import EventContract
    from nextup.services.steps import Context


AsOfOption = Annotated[
    str,
    typer.Option("--as-of", help="Use the tables as they were: a version, or a moment in ISO."),
]

chosen_tenant: ContextVar[str] = ContextVar("chosen_tenant", default="")


@contextmanager
def platform_at(home: str, *, must_exist: bool = True) -> Iterator[Platform]:
    """The platform whose nextup.toml lies in `home`, open until the block ends."""
    from nextup.bootstrap import open_platform
    from nextup.settings import FILE_NAME, load_settings

    folder = Path(home)
    if must_exist and not (folder / FILE_NAME).is_file():
        raise ConfigurationError(
            f"There is no {FILE_NAME} in {folder.resolve()}.",
            cure="`nextup init` makes one; -C names another folder.",
        )
    chosen = _tenant()
    settings = load_settings(folder, **chosen)
    if (log := kept.get()) is not None:
        log.note_settings(settings)
    with open_platform(settings) as platform:
        yield platform


def _tenant() -> dict[str, str]:
    """`nextup --tenant NAME ...`, which wins over the settings."""
    tenant = chosen_tenant.get()
    return {"tenant": tenant} if tenant else {}


def context_of(
    platform: Platform,
    day: date,
    report: Callable[[str, int, int], None] | None = None,
    as_of: AsOf = None,
) -> Context:
    """The ports and the day, as the pipeline's steps want them."""
    from nextup.services.pipeline import end_of_day
    from nextup.services.steps import Context

    return Context(
        settings=platform.settings,
        day=day,
        until=end_of_day(day, platform.settings),
        event_log=platform.event_log,
        catalog=platform.catalog,
        engine=platform.engine,
        lake=platform.lake,
        files=platform.files,
        recommendation_store=platform.recommendation_store,
        online_state=platform.online_state,
        control=platform.control,
        tracker=platform.tracker,
        as_of=as_of,
        report=report,
        reopen_store=platform.store_opener,
    )


def parse_day(text: str, option: str) -> date:
    """An ISO date; raises InvalidInput, naming the option."""
    from datetime import date

    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{option}: '{text}' is not a date.", cure="Write it as 2026-11-20."
        ) from error


def contract_of(platform: Platform) -> EventContract:
    """What events must satisfy on this platform, now."""
    from datetime import UTC, datetime

    from nextup.services.contracts import EventContract

    settings = platform.settings.contracts
    return EventContract(settings, platform.catalog, lambda: datetime.now(UTC))


def parse_as_of(text: str) -> AsOf:
    """A version number, or a moment (a naive one is UTC); nothing means now."""
    from datetime import UTC, datetime

    if not text:
        return None
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"--as-of: '{text}' is neither a version nor a moment.",
            cure="Write 12, or 2026-11-20T08:00:00+00:00.",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
