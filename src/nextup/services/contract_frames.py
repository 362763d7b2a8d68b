"""The contract for millions of rows at once: the same rules, asked in columns.

The columns decide only which rows are good beyond doubt. All others are written out as records
and judged one by one by `EventContract`, whose word is final: a row can't be refused here that
would pass there, and the sentence that a person reads has one author. A property test holds that
no row is accepted here that would be refused there.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from nextup.domain.events import (
    EPOCH,
    Event,
    EventType,
    from_microseconds,
    to_microseconds,
)
from nextup.domain.tables import EVENT_ID, ITEM_ID, OCCURRED_AT, TYPE, USER_ID, VALUE
from nextup.services.contracts import INTEGER_ID, INTEGERS, Checked

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nextup.services.contracts import EventContract

VALUE_TEXT: Final = "value_text"  # as the file has it; null: the row has none
TIME_TEXT: Final = "time_text"  # as the file has it; null: the file has no times

RAW_COLUMNS: Final = (EVENT_ID, TYPE, USER_ID, ITEM_ID, VALUE_TEXT, TIME_TEXT)

_ROW = "row"
_RATING = EventType.RATING.value
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"  # as in the schemas
_LONGEST_ID = 500  # characters; as in the schemas
_EPOCH_NUMBER = r"^[+-]?[0-9]{1,18}(\.[0-9]+)?$"
_OFFSET = r"[+-][0-9]{2}:?[0-9]{2}$"
# a number of this size and above counts a smaller unit: 1e11 seconds are the year 5138
_UNITS = ((1e17, 1, 1000), (1e14, 1, 1), (1e11, 1000, 1), (0.0, 1_000_000, 1))


class FrameContract:
    """Checks the chunks of one import. Remembers which items exist, so use one per import."""

    def __init__(
        self, contract: EventContract, unknown_items: Callable[[set[str]], set[str]]
    ) -> None:
        self._contract = contract
        self._unknown_items = unknown_items
        self._known: set[str] = set()

    def check(self, frame: pl.DataFrame, sources: Callable[[int], str]) -> Checked:
        """Check a frame of RAW_COLUMNS, all text.

        `sources(n)` says where row n of the frame came from. Events and rejections keep the
        order of the rows.
        """
        now = self._contract.clock()
        typed = with_values(frame, to_microseconds(now)).with_row_index(_ROW)
        fits = typed.select(self._fits(now)).to_series()
        good = self._with_known_items(typed.filter(fits))
        events = to_events(good)
        if good.height == frame.height:
            return Checked(events, [])
        bad = typed.join(good.select(_ROW), on=_ROW, how="anti", maintain_order="left")
        wheres = [sources(row) for row in bad[_ROW]]
        late, rejected = self._contract.check_many(to_records(bad), wheres)
        if late:  # good after all; back into the order of the rows
            refused = {one.source for one in rejected}
            rows = [
                row for row, where in zip(bad[_ROW], wheres, strict=True) if where not in refused
            ]
            numbered = [*zip(good[_ROW], events, strict=True), *zip(rows, late, strict=True)]
            events = [event for _, event in sorted(numbered, key=itemgetter(0))]
        return Checked(events, rejected)

    def _fits(self, now: datetime) -> pl.Expr:
        settings = self._contract.settings
        value, moment = pl.col(VALUE), pl.col(OCCURRED_AT)
        rated = value.is_between(settings.rating_min, settings.rating_max)
        latest = to_microseconds(now + self._contract.tolerance)
        fits = (
            pl.col(TYPE).is_in([kind.value for kind in EventType])
            & _is_id(EVENT_ID)
            & _is_id(USER_ID)
            & _is_id(ITEM_ID)
            & pl.when(pl.col(TYPE) == _RATING).then(rated).otherwise(pl.col(VALUE_TEXT).is_null())
            & moment.is_between(to_microseconds(self._contract.oldest), latest)
        )
        for name in INTEGERS[settings.id_type]:
            fits &= pl.col(name).str.contains(INTEGER_ID)
        return fits.fill_null(value=False)

    def _with_known_items(self, good: pl.DataFrame) -> pl.DataFrame:
        """Only the rows whose items exist, or all after making the missing ones."""
        fresh = set(good[ITEM_ID].unique().to_list()) - self._known
        unknown = self._unknown_items(fresh) if fresh else set()
        if unknown and self._contract.settings.unknown_items == "create":
            self._contract.create_items(unknown)
            unknown = set()
        self._known |= fresh - unknown
        return good.filter(~pl.col(ITEM_ID).is_in(sorted(unknown))) if unknown else good


def with_values(frame: pl.DataFrame, now: int) -> pl.DataFrame:
    """Add the number in VALUE_TEXT and the time in TIME_TEXT; null where there is none to read.

    A row whose time is absent gets `now`, in microseconds since the epoch.
    """
    trimmed = frame.with_columns(
        pl.col(VALUE_TEXT).str.strip_chars().cast(pl.Float64, strict=False).alias(VALUE)
    )
    value = pl.col(VALUE)
    absent = pl.col(TIME_TEXT).is_null()
    return trimmed.with_columns(
        pl.when(value.is_finite()).then(value).alias(VALUE),
        pl.when(absent).then(pl.lit(now, pl.Int64)).otherwise(_times(frame)).alias(OCCURRED_AT),
    )


def to_events(frame: pl.DataFrame) -> list[Event]:
    """The events in a frame of `with_values` that was checked."""
    columns = (EVENT_ID, TYPE, USER_ID, ITEM_ID)
    moments = map(EPOCH.__add__, frame[OCCURRED_AT].cast(pl.Duration("us")).to_list())
    values = frame[VALUE].to_list()
    return list(map(Event, *(frame[name].to_list() for name in columns), moments, values))


def to_records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame of `with_values` as a client would send them.

    What could be read is there as number or time, what could not as the text that was found.
    """
    columns = (EVENT_ID, TYPE, USER_ID, ITEM_ID, VALUE, VALUE_TEXT, OCCURRED_AT, TIME_TEXT)
    return [_record(*row) for row in frame.select(columns).iter_rows()]


def _record(
    event_id: str | None,
    event_type: str | None,
    user_id: str | None,
    item_id: str | None,
    value: float | None,
    value_text: str | None,
    moment: int | None,
    time_text: str | None,
) -> dict[str, Any]:
    record: dict[str, Any] = {
        EVENT_ID: event_id,
        TYPE: event_type,
        USER_ID: user_id,
        ITEM_ID: item_id,
        VALUE: value_text if value is None else value,
        OCCURRED_AT: None if time_text is None else _iso(moment) or time_text,
    }
    return {name: content for name, content in record.items() if content is not None}


def _iso(moment: int | None) -> str | None:
    try:
        return None if moment is None else from_microseconds(moment).isoformat()
    except OverflowError:  # beyond the years that a calendar here holds
        return None


def _is_id(name: str) -> pl.Expr:
    text = pl.col(name)
    # most ids are short: the length in bytes, known without reading, bounds the one in characters
    short = (text.str.len_bytes() <= _LONGEST_ID) | (text.str.len_chars() <= _LONGEST_ID)
    return (text != "") & short & ~text.str.contains(_CONTROL)


def _times(frame: pl.DataFrame) -> pl.Expr:
    """Microseconds since the epoch from a text column; null for what is no time.

    Numbers count seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart
    by their size. Text is an ISO date, or date and time; without an offset it means UTC.
    """
    text = pl.col(TIME_TEXT).str.strip_chars()
    is_number = text.str.contains(_EPOCH_NUMBER)
    numeric = frame.select(is_number.fill_null(value=True).all()).item()
    numbers = _from_numbers(text)
    if numeric:
        return pl.when(is_number).then(numbers)
    return pl.when(is_number).then(numbers).otherwise(_from_text(text))


def _from_numbers(text: pl.Expr) -> pl.Expr:
    whole = text.str.strip_prefix("+").cast(pl.Int64, strict=False)
    broken = text.cast(pl.Float64, strict=False)
    size = broken.abs()
    moment = pl.lit(None, pl.Int64)
    for at_least, times, divided in reversed(_UNITS):
        exact = whole * times // divided
        near = (broken * times / divided).round().cast(pl.Int64, strict=False)
        moment = pl.when(size >= at_least).then(pl.coalesce(exact, near)).otherwise(moment)
    return moment


def _from_text(text: pl.Expr) -> pl.Expr:
    plain = text.str.replace(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]", "${1} ")
    plain = plain.str.replace(r"[Zz]$", "+00:00")
    shifted = plain.str.contains(_OFFSET) & plain.str.contains(":")
    naive = pl.coalesce(
        plain.str.to_datetime(form, strict=False, time_unit="us")
        for form in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")
    )
    day = plain.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    zoned = plain.str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f%:z", strict=False, time_unit="us", time_zone="UTC"
    ).dt.replace_time_zone(None)
    return pl.when(shifted).then(zoned).otherwise(pl.coalesce(naive, day)).cast(pl.Int64)
