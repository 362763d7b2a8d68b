"""The recipe's pipeline: from the ratings file on HDFS to MongoDB and the topic."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextup.bootstrap import StoreOpener, open_adapter
from nextup.domain import tables as t
from nextup.domain.errors import BackendUnavailable, ConfigurationError
from nextup.domain.tables import Table
from nextup.ports.topics import SupportsTopics
from nextup.recipes.options import options_of
from nextup.recipes.rating_service import lists_topic, needs, reading
from nextup.recipes.rating_service.options import Options
from nextup.recipes.rating_service.star_lists import make_star_lists
from nextup.services.lists import lists_of_rows
from nextup.services.pipeline import PIPELINES as EVERY_PLATFORMS
from nextup.services.pipeline import STEPS, Pipeline, Step
from nextup.services.refine import refine_items
from nextup.services.steps import Done, release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.services.steps import Context


def check(context: Context) -> Done:
    """Whether all servers and topics are there that the next steps need; says all that is
    missing, and what to do."""
    missing = needs.missing(context)
    if missing:
        named = " ".join(f"{one.port} ({one.url}): {one.says} {one.cure}" for one in missing)
        raise BackendUnavailable(f"{len(missing)} of what is needed is missing. {named}")
    return Done({"servers": len(needs.SERVERS)})


def read_ratings(context: Context) -> Done:
    """The file and the catalogue into silver."""
    file = options_of(context.settings, Options).ratings_file
    items = refine_items(context.engine, context.catalog)
    read = reading.read_ratings(
        context.engine, context.files, context.event_log, context.settings.contracts, file
    )
    counts = {"items": items, "ratings": read.ratings, "broken": read.broken}
    if not read.fresh:
        return Done(counts, f"{file} has not changed")
    return Done(counts, f"{read.broken} rows cannot be used" if read.broken else "")


def publish(context: Context) -> Done:
    """The model in service, and everybody's list with predicted stars in MongoDB."""
    with _published(context) as there:
        return release(there, make_star_lists)


def send_lists(context: Context) -> Done:
    """The same lists to the topic, from where consumers bring them to Redis."""
    options = options_of(context.settings, Options)
    log = context.event_log
    if not isinstance(log, SupportsTopics):
        raise ConfigurationError(
            "This event log has no topics.", cure="Set event_log_url to kafka://host:9092/events."
        )
    columns = (t.USER_ID, t.RANK, t.ITEM_ID, t.SCORE, t.SOURCE)
    frame = context.engine.scan(Table.RECOMMENDATIONS).sort(t.USER_ID, t.RANK)
    rows = context.engine.arrays(frame.select(*columns))
    with _published(context) as there:
        generation = there.recommendation_store.current() or ""
    sent = lists_topic.send(log, options.lists_topic, lists_of_rows(rows), generation)
    return Done({"messages": sent})


@contextmanager
def _published(context: Context) -> Iterator[Context]:
    """The same, with the store that other programs read in the place of the one that serves."""
    url = options_of(context.settings, Options).published_url
    settings = context.settings.model_copy(update={"recommendation_store_url": url})
    store: Any = open_adapter("recommendation_store", settings)
    with closing(store):
        opener = StoreOpener.of(settings)
        yield replace(context, recommendation_store=store, reopen_store=opener)


_FEATURES, _TRAIN, _EVALUATE = (
    step for step in STEPS if step.name in {"features", "train", "evaluate"}
)

PIPELINES: tuple[Pipeline, ...] = (
    Pipeline(
        name="rating_service_daily",
        about="From the ratings file to everybody's list in MongoDB, Kafka and Redis.",
        steps=(
            Step("check", (), (), check),
            Step(
                "read_ratings",
                ("ratings.csv", "catalog"),
                ("silver.interactions", "silver.items"),
                read_ratings,
            ),
            _FEATURES,
            _TRAIN,
            _EVALUATE,
            Step(
                "publish",
                ("models", "gold.user_item"),
                ("gold.recommendations", "movies_db.recommendations"),
                publish,
            ),
            Step("send_lists", ("gold.recommendations",), ("recommendations",), send_lists),
        ),
        at="02:00",
    ),
    *EVERY_PLATFORMS[1:],
)
