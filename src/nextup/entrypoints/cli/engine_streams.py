"""The parts of `nextup stream` that an engine does by itself; and what runs on its machines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nextup.bootstrap import open_platform
from nextup.domain.errors import ConfigurationError
from nextup.domain.tables import USER_ID
from nextup.ports.engine import SupportsStreams
from nextup.services.engine_shares import EngineShare, lake_streams, list_streams
from nextup.services.fresh_lists import FreshLists, require_upserts
from nextup.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from nextup.bootstrap import Platform
    from nextup.ports.engine import Block
    from nextup.services.engine_shares import Opened

LAKE, LISTS = "lake", "lists"

_held: tuple[Settings, Platform, FreshLists] | None = None  # of one of the engine's processes


def engine_shares(
    platform: Platform, wanted: Collection[str], *, once: bool
) -> dict[str, EngineShare]:
    """What of this the engine does by itself; fresh lists are made only by one that can."""
    if not {LAKE, LISTS} & set(wanted):
        return {}
    if LISTS in wanted:
        require_upserts(platform.recommendation_store)  # before the engine is started
    engine = platform.engine
    if not isinstance(engine, SupportsStreams):
        if LISTS in wanted:
            raise ConfigurationError(
                "Fresh lists are made by Spark's streams only.",
                cure="Set engine_url to a Spark master, such as local[*] or spark://host:7077.",
            )
        return {}
    settings = platform.settings
    shares = {}
    if LAKE in wanted:
        every = None if once else settings.lake.collect_seconds
        begin = partial(lake_streams, engine, platform.event_log)
        shares[LAKE] = EngineShare(LAKE, begin, every_seconds=every)
    if LISTS in wanted:
        every = None if once else settings.stream.lists_seconds
        shares[LISTS] = EngineShare(LISTS, _lists(platform, engine), every_seconds=every)
    return shares


def _lists(platform: Platform, engine: SupportsStreams) -> Opened:
    from nextup.services.stream import OnlineUpdater

    updater = OnlineUpdater(platform.event_log, platform.online_state)
    work = partial(write_lists, plain(platform.settings))
    return partial(list_streams, engine, updater, work)


def plain(settings: Settings) -> Settings:
    """The settings as what can be sent to another process: of a class that is there, too."""
    return Settings.model_construct(None, **dict(settings))


def write_lists(settings: Settings, blocks: Iterable[Block]) -> dict[str, int]:
    """Runs where the engine works: new lists for the people in these rows. Each process opens the
    platform once, and keeps it as long as it lives."""
    lists = _lists_of(settings)
    counted: dict[str, int] = {}
    for block in blocks:
        for what, number in lists.write(str(user_id) for user_id in block[USER_ID]).items():
            counted[what] = counted.get(what, 0) + number
    return counted


def _lists_of(settings: Settings) -> FreshLists:
    global _held  # noqa: PLW0603 - nothing else outlives a task there
    if _held is None or _held[0] != settings:
        if _held is not None:
            _held[1].close()
        platform = open_platform(settings)
        _held = settings, platform, FreshLists(platform)
    return _held[2]
