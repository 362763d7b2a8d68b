"""The ratings file into silver: what the models learn from is what the file says."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import narwhals as nw

from nextup.domain import tables as t
from nextup.domain.errors import ConfigurationError, NotFound
from nextup.domain.events import EventType, Rejected
from nextup.domain.tables import Table
from nextup.ports.engine import Cell, ReadsCsv
from nextup.ports.files import HasUrls
from nextup.recipes.rating_service.ratings_file import COLUMNS, HEADER

if TYPE_CHECKING:
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.settings import Contracts

PERSON, FILM, STARS, AT = COLUMNS
CELLS: Final = {PERSON: Cell.INTEGER, FILM: Cell.INTEGER, STARS: Cell.NUMBER, AT: Cell.SECONDS}
LENGTH: Final = "bytes"  # of the file: how far silver has come in it
RULE: Final = "bad_row"
LOOKED_AT: Final = 1_000  # of the rows that cannot be used; of more the rest is only counted
_LINE, _ROW, _GOOD = "line", "row", "good"


class Read(NamedTuple):
    """What the file held."""

    ratings: int
    broken: int
    fresh: bool  # whether there is anything new since the last time


def read_ratings(
    engine: Engine, files: Files, event_log: EventLog, contracts: Contracts, file: str
) -> Read:
    """Replace silver.interactions by the file's rows, which the engine reads where they lie. A
    file that has not grown is not read again. Rows that cannot be used go to the rejected records.

    Raises NotFound where there is no rating yet.
    """
    if not files.exists(file) or files.size(file) <= len(HEADER):
        raise NotFound(
            f"There are no ratings in '{file}' yet.",
            cure="POST /send_rating takes some; `nextup stream` writes them to the file.",
        )
    length = files.size(file)
    if engine.position(Table.INTERACTIONS, file) == {LENGTH: length}:
        return Read(0, 0, fresh=False)
    rows = _checked(engine, files, contracts, file)
    bad = rows.filter(~nw.col(_GOOD))
    (broken,) = engine.arrays(bad.select(nw.len())).values()
    if broken[0]:
        texts = engine.arrays(bad.sort(_LINE).head(LOOKED_AT).select(_ROW))[_ROW].tolist()
        event_log.reject([_rejected(file, text) for text in texts])
    good = rows.filter(nw.col(_GOOD))
    written = engine.replace(
        Table.INTERACTIONS, _interactions(good, file), source=file, position={LENGTH: length}
    )
    return Read(written, int(broken[0]), fresh=True)


def _checked(engine: Engine, files: Files, contracts: Contracts, file: str) -> nw.LazyFrame[Any]:
    if not isinstance(engine, ReadsCsv) or not isinstance(files, HasUrls):
        raise ConfigurationError(
            "This engine cannot read the ratings file.", cure="Set engine_url to local[*]."
        )
    rows = engine.read_csv([files.url_of(file)], CELLS, line=_LINE, row=_ROW)
    whole = [~nw.col(name).is_null() for name in COLUMNS]
    in_range = nw.col(STARS).is_between(contracts.rating_min, contracts.rating_max)
    return rows.with_columns(
        nw.all_horizontal(*whole, in_range, ignore_nulls=False).fill_null(value=False).alias(_GOOD)
    )


def _interactions(rows: nw.LazyFrame[Any], file: str) -> nw.LazyFrame[Any]:
    """A row's place in the file is its identity and its order."""
    none = nw.lit(None).cast(nw.String)
    place = nw.col(_LINE).cast(nw.String)
    return rows.select(
        nw.concat_str(nw.lit(f"{file}/"), place).alias(t.EVENT_ID),
        nw.lit(EventType.RATING.value).alias(t.TYPE),
        nw.col(PERSON).cast(nw.String).alias(t.USER_ID),
        nw.col(FILM).cast(nw.String).alias(t.ITEM_ID),
        nw.col(AT).alias(t.OCCURRED_AT),
        nw.col(STARS).alias(t.VALUE),
        none.alias(t.SESSION_ID),
        none.alias(t.RECOMMENDATION_ID),
        nw.lit(file).alias(t.PARTITION),
        nw.col(_LINE).alias(t.OFFSET),
    )


def _rejected(file: str, row: str) -> Rejected:
    digest = sha256(f"{file}\0{row}".encode()).hexdigest()[:32]
    wanted = HEADER.decode().strip()
    reason = f"The row is not {wanted} with whole ids, stars and seconds: {row[:200]!r}."
    return Rejected(digest, file, row.replace("\0", "\\x00"), RULE, reason, datetime.now(UTC))
