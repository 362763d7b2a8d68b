"""From single events to what models learn from. Narwhals expressions: one text, two engines.

Sums of fractions are made in whole units (see `domain.weighing.UNIT`): an engine may add rows in
any order, and the result must not show it.
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
_UNITS: Final = "units"
_VERDICT: Final = "verdict"
_RETRACTED: Final = "retracted_at"


def user_item(events: Frame, weighing: Weighing, as_of: datetime) -> Frame:
    """One row per person and item touched, weighed as of a moment as `domain.weighing` defines.

    Pairs with impressions only have no row. Events after `as_of` count as of then.
    """
    acts = _standing(events).filter(nw.col(TYPE) != EventType.IMPRESSION.value)
    faded = acts.with_columns(_fading(acts, weighing.half_life_seconds, as_of).alias(_FADING))
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
    faded = recent.with_columns(_fading(recent, half_life_seconds, as_of).alias(_FADING))
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
    return (amount / UNIT).round(0).cast(nw.Int64)


def _liking(column: str, weighing: Weighing) -> nw.Expr:
    """0 for a neutral rating or a lower one, 1 for the highest; 0 where there is no value."""
    share = (nw.col(column) - weighing.neutral_rating) / weighing.rating_span
    return share.fill_null(0.0).clip(0.0, 1.0)


def _is_touch() -> nw.Expr:
    aside = [EventType.IMPRESSION.value, EventType.DISMISS.value]  # a retract does not stand
    return ~nw.col(TYPE).is_in(aside)


def _weight(weighing: Weighing) -> nw.Expr:
    weight = _liking(VALUE, weighing) * weighing.rating
    for kind, counts in weighing.counted.items():
        weight = nw.when(nw.col(TYPE) == str(kind)).then(nw.lit(float(counts))).otherwise(weight)
    return weight


def _fading(events: Frame, half_life_seconds: float, as_of: datetime) -> nw.Expr:
    """What each event still counts, 1 when new."""
    if half_life_seconds <= 0:
        return nw.lit(1.0)
    age = _age_seconds(events, as_of).clip(0.0, None)
    return (age * (-_LN2 / half_life_seconds)).exp()


def _age_seconds(events: Frame, as_of: datetime) -> nw.Expr:
    now = to_microseconds(as_of) / 1e6
    if events.implementation.is_spark_like():
        return now - nw.col(OCCURRED_AT).cast(nw.Float64)  # Spark casts times to seconds
    return now - nw.col(OCCURRED_AT).dt.timestamp("us") / 1e6


_LN2: Final = 0.6931471805599453
