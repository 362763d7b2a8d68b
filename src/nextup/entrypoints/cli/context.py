"""What commands share: settings, an open platform, and a run's context."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nextup.domain.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from nextup.bootstrap import Platform
    from nextup.services.steps import Context


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
    with open_platform(load_settings(folder)) as platform:
        yield platform


def context_of(
    platform: Platform, day: date, report: Callable[[str, int, int], None] | None = None
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
        report=report,
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
