"""The history of days as silver: what models learn from where another program counts the acts.

Each unit of a count is an event at noon of its day. The history is read by the engine where it
lies, and written only where it has changed, so that the same history gives the same model.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from nextup.domain import tables as t
from nextup.domain.errors import ConfigurationError, Conflict
from nextup.domain.events import EventType
from nextup.domain.tables import COLUMNS, Table
from nextup.ports.engine import COUNTED, FOLDER, NUMBER, ReadsCounts
from nextup.ports.files import HasUrls
from nextup.services.history_by_day import merged_days
from nextup.services.pipeline import end_of_day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.ports.engine import Engine
    from nextup.ports.files import Files
    from nextup.settings import Settings

SOURCE: Final = "history"  # whose position silver remembers
_KEY: Final = "DataSet"  # of the position: the fingerprint of the whole history
_NOON: Final = timedelta(hours=12)


def load_history(engine: Engine, files: Files, settings: Settings) -> dict[str, int]:
    """Replace silver's interactions by the history; returns the days, the rows, and the lines of
    its files that do not fit and were left out.

    Raises Conflict where there is no history, and ConfigurationError for an engine or files
    that cannot do this.
    """
    if not isinstance(engine, ReadsCounts) or not isinstance(files, HasUrls):
        raise ConfigurationError(
            "This engine reads no files where they lie.",
            cure="Set engine_url to a Spark master, such as local[*] or spark://host:7077.",
        )
    history = settings.history
    days = _days(files, settings)
    if not days:
        raise Conflict(
            f"There is no history in {history.dataset} to learn from.",
            cure="Run the steps before this one for a day: they extract and merge it.",
        )
    keys = (history.user_name, history.item_name)
    place = files.url_of(history.dataset)
    counts = engine.read_counts(place, form=history.format, keys=keys, counted=history.actions)
    units = engine.held(counts.filter(nw.col(FOLDER).is_in(list(days))))
    broken = units.filter(nw.col(COUNTED).is_null())
    found = {"days": len(days), "broken_lines": _rows(engine, broken)}
    fingerprint = engine.fingerprint(units)
    if engine.position(Table.INTERACTIONS, SOURCE).get(_KEY) == fingerprint:
        return {**found, "interactions": 0}
    events = _events(engine, units.filter(~nw.col(COUNTED).is_null()), settings, days)
    written = engine.replace(
        Table.INTERACTIONS, events, source=SOURCE, position={_KEY: fingerprint}
    )
    return {**found, "interactions": written}


def _days(files: Files, settings: Settings) -> dict[str, date]:
    """The folders of the history that are days."""
    days = {}
    for name in merged_days(files, settings):
        try:
            days[name] = date.fromisoformat(name)
        except ValueError:  # something else that somebody has put there
            continue
    return days


def _events(
    engine: Engine, units: nw.LazyFrame[Any], settings: Settings, days: Mapping[str, date]
) -> nw.LazyFrame[Any]:
    history = settings.history
    types = types_of(settings)
    noons = engine.frame(
        {
            FOLDER: list(days),
            t.OCCURRED_AT: [end_of_day(day, settings) - _NOON for day in days.values()],
        }
    )
    names = engine.frame({COUNTED: list(types), t.TYPE: list(types.values())})
    user, item = nw.col(history.user_name), nw.col(history.item_name)
    number = nw.col(NUMBER).cast(nw.Int64)
    told = (FOLDER, history.user_name, history.item_name, COUNTED)
    text = nw.lit(None, nw.String)
    return (
        units.join(noons, on=FOLDER, how="inner")
        .join(names, on=COUNTED, how="inner")
        .select(
            nw.concat_str(
                *(nw.col(name) for name in told), number.cast(nw.String), separator="/"
            ).alias(t.EVENT_ID),
            nw.col(t.TYPE),
            user.alias(t.USER_ID),
            item.alias(t.ITEM_ID),
            nw.col(t.OCCURRED_AT),
            nw.lit(None, nw.Float64).alias(t.VALUE),
            text.alias(t.SESSION_ID),
            text.alias(t.RECOMMENDATION_ID),
            nw.lit(SOURCE).alias(t.PARTITION),
            number.alias(t.OFFSET),
        )
        .select(*COLUMNS[Table.INTERACTIONS])
    )


def types_of(settings: Settings) -> dict[str, str]:
    """The type of event that each counted action is. Raises ConfigurationError for one that is
    none."""
    known = {action: kind for kind, action in settings.shared_tables.events.items()}
    types = {action: known.get(action, action.lower()) for action in settings.history.actions}
    wrong = next((action for action, kind in types.items() if kind not in set(EventType)), None)
    if wrong is not None:
        raise ConfigurationError(
            f"history.actions: nothing says what kind of event '{wrong}' is.",
            cure=f'Say it: shared_tables.events = {{like = "{wrong}"}}.',
        )
    return types


def _rows(engine: Engine, frame: nw.LazyFrame[Any]) -> int:
    (column,) = engine.arrays(frame.select(nw.len())).values()
    return int(column[0])
