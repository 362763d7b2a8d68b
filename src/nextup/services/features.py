"""Silver, up to a moment, into gold. Each table is replaced as a whole, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import narwhals as nw

from nextup.domain.tables import OCCURRED_AT, USER_ID, Table
from nextup.domain.weighing import Weighing
from nextup.services.collect import SOURCE
from nextup.transforms.silver_to_gold import item_stats, trending, user_item

if TYPE_CHECKING:
    from datetime import datetime

    from nextup.ports.engine import Engine
    from nextup.settings import Settings

WINDOW_DAYS: Final = (1, 7, 14)
TOP: Final = 1000  # places of each window's list


def make_features(engine: Engine, settings: Settings, until: datetime) -> dict[str, int]:
    """Build gold from the events before `until`; returns the rows of each table.

    Every table carries silver's position. The same silver and moment give the same rows; a kill
    in between leaves some tables old, each of them whole, and the next run makes all new.
    """
    weighing = Weighing.from_weights(settings.weights, settings.contracts.rating_max)
    position = engine.position(Table.INTERACTIONS, SOURCE)
    past = nw.col(OCCURRED_AT) < until
    pairs = [
        user_item(events.filter(past), weighing, until)
        for events in engine.slices(Table.INTERACTIONS, USER_ID)
    ]
    user_items = engine.replace(Table.USER_ITEM, pairs, source=SOURCE, position=position)
    stats = engine.replace(
        Table.ITEM_STATS,
        item_stats(engine.scan(Table.USER_ITEM)),
        source=SOURCE,
        position=position,
    )
    lists = [
        trending(
            engine.scan(Table.INTERACTIONS).filter(past),
            weighing,
            as_of=until,
            days=days,
            half_life_seconds=settings.trending.half_life_hours * 3600.0,
            limit=TOP,
        )
        for days in WINDOW_DAYS
    ]
    places = engine.replace(Table.TRENDING, lists, source=SOURCE, position=position)
    return {"user_item": user_items, "item_stats": stats, "trending": places}
