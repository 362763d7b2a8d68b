"""From single events to what models learn from. Narwhals expressions: one text, two engines.

Sums of fractions are made in whole units (see `domain.weighing.UNIT`): an engine may add rows in
any order, and the result must not show it. For the same reason fading is made of sums and products,
which all engines round alike: of `exp` each has its own, and what is divided by a constant may be
multiplied by its inverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from nextup.domain.events import EventType, to_microseconds
from nextup.domain.tables import (
    COLUMNS,
    CONFIDENCE,
    DISMISSED,
    FIRST_AT,
    ITEM_ID,
    LAST_AT,
    MEAN_RATING,
    OCCURRED_AT,
    OFFSET,
    PEOPLE,
    RANK,
    RATING,
    RATINGS,
    SCORE,
    TOUCHES,
    TYPE,
    USER_ID,
    VALUE,
    WINDOW,
    Table,
)
from nextup.domain.weighing import UNIT, VERDICTS

if TYPE_CHECKING:
    from datetime import datetime

    from nextup.domain.weighing import Weighing

    Frame = nw.LazyFrame[Any]

PAIR: Final = (USER_ID, ITEM_ID)
_FADING: Final = "fading"
_HALVED: Final = "halved"
_UNITS: Final = "units"
_VERDICT: Final = "verdict"
_RETRACTED: Final = "retracted_at"


def user_item(events: Frame, weighing: Weighing, as_of: datetime) -> Frame:
    """One row per person and item touched, weighed as of a moment as `domain.weighing` defines.

    Pairs with impressions only have no row. Events after `as_of` count as of then.
    """
    acts = _standing(events).filter(nw.col(TYPE) != EventType.IMPRESSION.value)
    faded = _fading(acts, weighing.half_life_seconds, as_of)
    pairs = faded.group_by(*PAIR).agg(
        nw.len().alias(TOUCHES),
        nw.col(OCCURRED_AT).min().alias(FIRST_AT),
        nw.col(OCCURRED_AT).max().alias(LAST_AT),
        *(_units_of(kind).alias(kind) for kind in weighing.counted),
    )
    ratings = _last(faded.filter(nw.col(TYPE) == EventType.RATING.value)).select(
        *PAIR,
        nw.col(VALUE).alias(RATING),
        (_liking(VALUE, weighing) * weighing.rating * nw.col(_FADING)).alias(_UNITS),
    )
    verdicts = _last(faded.filter(nw.col(TYPE).is_in([str(kind) for kind in VERDICTS]))).select(
        *PAIR, (nw.col(TYPE) == EventType.DISMISS.value).alias(_VERDICT)
    )
    joined = pairs.join(ratings, on=list(PAIR), how="left").join(
        verdicts, on=list(PAIR), how="left"
    )
    counted = nw.sum_horizontal(
        *((1.0 + nw.col(kind) * UNIT).log(2) * weight for kind, weight in weighing.counted.items())
    )
    dismissed = nw.col(_VERDICT).fill_null(value=False)
    confidence = counted + nw.col(_UNITS).fill_null(0.0)
    return joined.with_columns(
        nw.when(dismissed).then(nw.lit(0.0)).otherwise(confidence).alias(CONFIDENCE),
        dismissed.alias(DISMISSED),
    ).select(*COLUMNS[Table.USER_ITEM])


def item_stats(pairs: Frame) -> Frame:
    """One row per item that somebody touched and did not dismiss, from `user_item`'s rows."""
    kept = pairs.filter(~nw.col(DISMISSED))
    rating_units = _whole_units(nw.col(RATING))
    sums = (
        kept.with_columns(rating_units.alias(_UNITS))
        .group_by(ITEM_ID)
        .agg(
            nw.len().alias(PEOPLE),
            nw.col(TOUCHES).cast(nw.Int64).sum().alias(TOUCHES),
            nw.col(RATING).count().alias(RATINGS),
            nw.col(_UNITS).sum().alias(_UNITS),
            nw.col(FIRST_AT).min().alias(FIRST_AT),
            nw.col(LAST_AT).max().alias(LAST_AT),
        )
    )
    mean = nw.col(_UNITS) * UNIT / nw.col(RATINGS)
    rated = nw.when(nw.col(RATINGS) > 0).then(mean)
    return sums.with_columns(rated.alias(MEAN_RATING)).select(*COLUMNS[Table.ITEM_STATS])


def trending(
    events: Frame,
    weighing: Weighing,
    *,
    as_of: datetime,
    days: int,
    half_life_seconds: float,
    limit: int,
) -> Frame:
    """The `limit` items touched most in the last days, each touch fading with its age.

    Impressions and dismisses do not count, nor does anything after `as_of`.
    """
    events = _standing(events)
    age = _age_seconds(events, as_of)
    recent = events.filter(age >= 0, age < days * 86_400.0, _is_touch())
    faded = _fading(recent, half_life_seconds, as_of)
    scored = faded.with_columns(_whole_units(_weight(weighing) * nw.col(_FADING)).alias(_UNITS))
    people = scored.group_by(*PAIR).agg(nw.col(_UNITS).sum())
    items = people.group_by(ITEM_ID).agg(
        nw.col(_UNITS).sum(), nw.len().cast(nw.Int64).alias(PEOPLE)
    )
    wanted = items.filter(nw.col(_UNITS) > 0).with_columns((-nw.col(_UNITS)).alias(_FADING))
    ranked = wanted.with_row_index(RANK, order_by=[_FADING, ITEM_ID])
    return ranked.filter(nw.col(RANK) < limit).select(
        nw.lit(f"{days}d").alias(WINDOW),
        (nw.col(RANK).cast(nw.Int64) + 1).alias(RANK),
        nw.col(ITEM_ID),
        (nw.col(_UNITS) * UNIT).alias(SCORE),
        nw.col(PEOPLE),
    )


def _standing(events: Frame) -> Frame:
    """The events that were not taken back later by the same person."""
    retracts = (
        events.filter(nw.col(TYPE) == EventType.RETRACT.value)
        .group_by(*PAIR)
        .agg(nw.col(OCCURRED_AT).max().alias(_RETRACTED))
    )
    joined = events.join(retracts, on=list(PAIR), how="left")
    stands = nw.col(_RETRACTED).is_null() | (nw.col(OCCURRED_AT) > nw.col(_RETRACTED))
    return joined.filter(stands).drop(_RETRACTED)


def _last(events: Frame) -> Frame:
    """Of each pair the last event: by time, then in log order."""
    return events.unique(subset=list(PAIR), keep="last", order_by=[OCCURRED_AT, OFFSET])


def _units_of(kind: str) -> nw.Expr:
    of_kind = nw.when(nw.col(TYPE) == str(kind)).then(nw.col(_FADING)).otherwise(nw.lit(0.0))
    return _whole_units(of_kind).sum()


def _whole_units(amount: nw.Expr) -> nw.Expr:
    return (amount * _UNITS_IN_1 + 0.5).floor().cast(nw.Int64)  # a half goes up in each engine


def _liking(column: str, weighing: Weighing) -> nw.Expr:
    """0 for a neutral rating or a lower one, 1 for the highest; 0 where there is no value."""
    share = (nw.col(column) - weighing.neutral_rating) * (1.0 / weighing.rating_span)
    return share.fill_null(0.0).clip(0.0, 1.0)


def _is_touch() -> nw.Expr:
    aside = [EventType.IMPRESSION.value, EventType.DISMISS.value]  # a retract does not stand
    return ~nw.col(TYPE).is_in(aside)


def _weight(weighing: Weighing) -> nw.Expr:
    weight = _liking(VALUE, weighing) * weighing.rating
    for kind, counts in weighing.counted.items():
        weight = nw.when(nw.col(TYPE) == str(kind)).then(nw.lit(float(counts))).otherwise(weight)
    return weight


def _fading(events: Frame, half_life_seconds: float, as_of: datetime) -> Frame:
    """The events with what each still counts, 1 when new."""
    if half_life_seconds <= 0:
        return events.with_columns(nw.lit(1.0).alias(_FADING))
    age = _age_seconds(events, as_of) * (1.0 / half_life_seconds)
    aged = events.with_columns(age.clip(0.0, _FADED).alias(_FADING))  # in half-lives
    halved = aged.with_columns(nw.col(_FADING).floor().cast(nw.Float64).alias(_HALVED))
    rest = halved.with_columns(((nw.col(_FADING) - nw.col(_HALVED)) * _LN2).alias(_FADING))
    fading = _exp_of_minus(_FADING) * nw.lit(0.5) ** nw.col(_HALVED)  # a power of 2 is exact
    return rest.with_columns(fading.alias(_FADING)).drop(_HALVED)


def _exp_of_minus(column: str) -> nw.Expr:
    """exp(-x) for 0 <= x < 0.7, by Taylor to the last digit of a float."""
    power = nw.lit(1.0)
    for n in range(_TERMS, 0, -1):
        power = 1.0 - nw.col(column) * (1.0 / n) * power
    return power


def _age_seconds(events: Frame, as_of: datetime) -> nw.Expr:
    """Of whole microseconds, so that it is the same everywhere."""
    if events.implementation.is_spark_like():  # it casts times to seconds
        at = (nw.col(OCCURRED_AT).cast(nw.Float64) * 1e6 + 0.5).floor().cast(nw.Int64)
    else:
        at = nw.col(OCCURRED_AT).dt.timestamp("us")
    return (to_microseconds(as_of) - at).cast(nw.Float64) * 1e-6


_UNITS_IN_1: Final = 1e9
_LN2: Final = 0.6931471805599453
_TERMS: Final = 17
_FADED: Final = 100.0  # half-lives; half of them leave far less than a unit
