"""History by day: what people did on one day, out of another program's database, into folders.

Each step replaces a folder as a whole, so that any of them can be run again, or run after a kill:
the day is there once, as it is now in the database.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import polars as pl

from nextup.domain.errors import ConfigurationError, NotFound
from nextup.domain.tables import ITEM_ID, TYPE, USER_ID
from nextup.ports.engine import ReadsDatabases
from nextup.services.pipeline import end_of_day

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    import numpy as np

    from nextup.ports.engine import Engine
    from nextup.ports.files import Files
    from nextup.settings import Settings
    from nextup.settings_history import History

_SPLIT: Final = "split_by"  # the query's name for the column that divides the work


@dataclass(frozen=True, slots=True)
class DayFolder:
    """A day's folder, as a step has left it."""

    folder: str
    files: int
    rows: int  # one per person and item
    unknown_items: int = 0  # actions left out, since nothing says how their item is called


def extract_day(engine: Engine, files: Files, settings: Settings, day: date) -> DayFolder:
    """Read one day's actions over several connections, and count them by person and item.

    The day ends at midnight in the setting `timezone`. A day without actions has a folder, too,
    whose files hold no rows. Raises ConfigurationError for an engine that reads no databases.
    """
    history = settings.history
    if not isinstance(engine, ReadsDatabases):
        raise ConfigurationError(
            "This engine reads no databases.",
            cure="Set engine_url to a Spark master, such as local[*] or spark://host:7077.",
        )
    require_database(settings)
    actions = engine.read_query(
        history.url, day_query(settings, day), split_by=_SPLIT, parts=history.parts
    )
    folder = f"{history.processed}/{day:%Y/%m/%d}"
    rows = unknown = 0
    with files.replace_folder(folder) as target:
        parts = engine.divided(_counted(actions, history.actions), USER_ID, history.parts)
        for number, part in enumerate(parts):
            block = _named(part, history)
            known = block.filter(pl.col(history.item_name).is_not_null())
            _write(known, target, number, history.format)
            rows += known.height
            left_out = block.filter(pl.col(history.item_name).is_null())
            unknown += int(left_out.select(pl.sum_horizontal(history.actions).sum()).item() or 0)
    return DayFolder(folder, history.parts, rows, unknown)


def require_database(settings: Settings) -> None:
    """Raises ConfigurationError where no database is named."""
    if not settings.history.url:
        raise ConfigurationError(
            "history.url is empty.",
            cure="Set NEXTUP_HISTORY__URL=postgresql://user:password@host:5432/database.",
        )


def archive_day(files: Files, settings: Settings, day: date) -> DayFolder:
    """The same bytes as were extracted, beside the raw data. Raises NotFound where nothing was."""
    history = settings.history
    return _copy(files, f"{history.processed}/{day:%Y/%m/%d}", f"{history.raw}/{day:%Y/%m/%d}")


def merge_day(files: Files, settings: Settings, day: date) -> DayFolder:
    """The archived day into the history: its folder there is replaced, all others stay. Raises
    NotFound where the day was not archived."""
    history = settings.history
    return _copy(files, f"{history.raw}/{day:%Y/%m/%d}", f"{history.dataset}/{day:%Y-%m-%d}")


def clear_day(files: Files, settings: Settings, day: date) -> list[str]:
    """Remove what an earlier run of the day has extracted and archived; returns what was there.
    The history keeps its day until it is merged again."""
    history = settings.history
    folders = [f"{place}/{day:%Y/%m/%d}" for place in (history.processed, history.raw)]
    return [folder for folder in folders if files.remove(folder)]


def merged_days(files: Files, settings: Settings) -> list[str]:
    """The days in the history, as ISO dates."""
    return [name.rstrip("/") for name in files.list(settings.history.dataset)]


def day_query(settings: Settings, day: date) -> str:
    """SQL for one row per action of the day: person, item and action as text, and a number."""
    history = settings.history
    start = end_of_day(day - timedelta(days=1), settings)
    moments = (
        f"TIMESTAMPTZ '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00'"
        for moment in (start, end_of_day(day, settings))
    )
    at = f"a.{_quoted(history.at_column)}"
    action = f"a.{_quoted(history.action_column)}::text"
    item, join = f"a.{_quoted(history.item_column)}::text", ""
    if history.item_table:
        item = f"b.{_quoted(history.item_name)}::text"
        join = (
            f" LEFT JOIN {_quoted(*history.item_table.split('.'))} AS b"
            f" ON b.{_quoted(history.item_key)} = a.{_quoted(history.item_column)}"
        )
    wanted = ", ".join(_text(one) for one in history.actions)
    first, after = moments
    columns = (
        f"a.{_quoted(history.id_column)} AS {_SPLIT}",
        f"a.{_quoted(history.user_column)}::text AS {USER_ID}",
        f"{item} AS {ITEM_ID}",
        f"{action} AS {TYPE}",
    )
    conditions = (f"{at} >= {first}", f"{at} < {after}", f"{action} IN ({wanted})")
    source = f"{_quoted(*history.table.split('.'))} AS a{join}"
    return " ".join(
        ("SELECT", ", ".join(columns), "FROM", source, "WHERE", " AND ".join(conditions))
    )


def _counted(actions: nw.LazyFrame[Any], names: list[str]) -> nw.LazyFrame[Any]:
    """One row per person and item, with how often each action was done."""
    ones = [
        nw.when(nw.col(TYPE) == name).then(nw.lit(1)).otherwise(nw.lit(0)).alias(name)
        for name in names
    ]
    return (
        actions.with_columns(*ones)
        .group_by(USER_ID, ITEM_ID)
        .agg(*(nw.col(name).sum() for name in names))
    )


def _named(part: Mapping[str, np.ndarray[Any, Any]], history: History) -> pl.DataFrame:
    """In the order and with the names of the files."""
    texts = {USER_ID: history.user_name, ITEM_ID: history.item_name}
    columns = [pl.Series(name, part[key].tolist(), pl.String) for key, name in texts.items()]
    counts = [pl.Series(name, part[name].tolist(), pl.Int64) for name in history.actions]
    return pl.DataFrame([*columns, *counts]).sort(*texts.values())


def _write(rows: pl.DataFrame, target: Path, number: int, kind: str) -> None:
    path = target / f"part-{number:05}.{kind}"
    if kind == "csv":
        rows.write_csv(path)
    else:
        rows.write_parquet(path)


def _copy(files: Files, source: str, target: str) -> DayFolder:
    names = [name for name in files.list(source) if not name.endswith("/")]
    if not names:
        raise NotFound(f"There is no {source}.", cure="`nextup history extract` makes the day.")
    rows = 0
    with files.replace_folder(target) as folder:
        for name in names:
            with files.open(f"{source}/{name}") as stream, (folder / name).open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            rows += _rows_of(folder / name)
    return DayFolder(target, len(names), rows)


def _rows_of(path: Path) -> int:
    scan = pl.scan_csv if path.suffix == ".csv" else pl.scan_parquet
    return int(scan(path).select(pl.len()).collect().item())


def _quoted(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
