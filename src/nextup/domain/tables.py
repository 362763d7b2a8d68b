"""The names of the lake's tables and columns: here and nowhere else.

Types, keys, ranges and rules are in `schemas/lakehouse/*.yml`; a test holds both equal.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

EVENT_ID: Final = "event_id"
TYPE: Final = "type"
USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
OCCURRED_AT: Final = "occurred_at"
VALUE: Final = "value"
SESSION_ID: Final = "session_id"
RECOMMENDATION_ID: Final = "recommendation_id"
CONTEXT: Final = "context"

PARTITION: Final = "partition"  # of the event log
OFFSET: Final = "offset"
RECEIVED_AT: Final = "received_at"
RECEIVED_ON: Final = "received_on"  # the UTC day of received_at: bronze is partitioned by it

REJECTED_ID: Final = "rejected_id"
SOURCE: Final = "source"
RECORD: Final = "record"
RULE: Final = "rule"
REASON: Final = "reason"
REJECTED_AT: Final = "rejected_at"
READMITTED_AT: Final = "readmitted_at"

KIND: Final = "kind"
TITLE: Final = "title"
YEAR: Final = "year"
GENRES: Final = "genres"
MAKERS: Final = "makers"
KEYWORDS: Final = "keywords"
AVAILABLE: Final = "available"
TAG: Final = "tag"  # what a person called a film
IMDB_ID: Final = "imdb_id"
TMDB_ID: Final = "tmdb_id"

CONFIDENCE: Final = "confidence"  # how sure we are that the person wants the item, >= 0
TOUCHES: Final = "touches"  # how many events
RATING: Final = "rating"  # the last one given
DISMISSED: Final = "dismissed"
FIRST_AT: Final = "first_at"
LAST_AT: Final = "last_at"

PEOPLE: Final = "people"
MEAN_RATING: Final = "mean_rating"
RATINGS: Final = "ratings"
WINDOW: Final = "window"
SCORE: Final = "score"
RANK: Final = "rank"
MODEL_ID: Final = "model_id"
VECTOR: Final = "vector"


class Table(StrEnum):
    """Every table of the lake, as `layer.name`."""

    EVENTS = "bronze.events"
    QUARANTINE = "bronze.quarantine"
    INTERACTIONS = "silver.interactions"
    ITEMS = "silver.items"
    RATINGS = "silver.ratings"
    MOVIES = "silver.movies"
    TAGS = "silver.tags"
    USER_ITEM = "gold.user_item"
    ITEM_STATS = "gold.item_stats"
    TRENDING = "gold.trending"
    USER_VECTORS = "gold.user_vectors"
    RECOMMENDATIONS = "gold.recommendations"


COLUMNS: Final[dict[Table, tuple[str, ...]]] = {
    Table.EVENTS: (
        PARTITION,
        OFFSET,
        RECEIVED_AT,
        EVENT_ID,
        TYPE,
        USER_ID,
        ITEM_ID,
        OCCURRED_AT,
        VALUE,
        SESSION_ID,
        RECOMMENDATION_ID,
        CONTEXT,
        RECEIVED_ON,
    ),
    Table.QUARANTINE: (
        PARTITION,
        OFFSET,
        REJECTED_ID,
        SOURCE,
        RECORD,
        RULE,
        REASON,
        REJECTED_AT,
        READMITTED_AT,
    ),
    Table.INTERACTIONS: (
        EVENT_ID,
        TYPE,
        USER_ID,
        ITEM_ID,
        OCCURRED_AT,
        VALUE,
        SESSION_ID,
        RECOMMENDATION_ID,
        PARTITION,
        OFFSET,
    ),
    Table.ITEMS: (ITEM_ID, KIND, TITLE, YEAR, GENRES, MAKERS, KEYWORDS, AVAILABLE),
    Table.RATINGS: (USER_ID, ITEM_ID, RATING, OCCURRED_AT),
    Table.MOVIES: (ITEM_ID, TITLE, YEAR, GENRES, IMDB_ID, TMDB_ID),
    Table.TAGS: (USER_ID, ITEM_ID, TAG, OCCURRED_AT),
    Table.USER_ITEM: (
        USER_ID,
        ITEM_ID,
        CONFIDENCE,
        TOUCHES,
        RATING,
        DISMISSED,
        FIRST_AT,
        LAST_AT,
    ),
    Table.ITEM_STATS: (ITEM_ID, PEOPLE, TOUCHES, RATINGS, MEAN_RATING, FIRST_AT, LAST_AT),
    Table.TRENDING: (WINDOW, RANK, ITEM_ID, SCORE, PEOPLE),
    Table.USER_VECTORS: (USER_ID, MODEL_ID, VECTOR),
    Table.RECOMMENDATIONS: (USER_ID, RANK, ITEM_ID, SCORE, SOURCE, MODEL_ID),
}
