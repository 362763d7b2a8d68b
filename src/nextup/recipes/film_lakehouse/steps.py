"""The pipeline of the film lakehouse: the data set's own files, then every platform's steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from nextup.services.contracts import EventContract
from nextup.services.film_tables import make_film_tables
from nextup.services.importers.loading import Destination
from nextup.services.pipeline import STEPS, UPKEEP, Pipeline, Step
from nextup.services.raw_files import bring_in, ingest_raw, place_of, raw_source
from nextup.services.steps import Context, Done

if TYPE_CHECKING:
    from collections.abc import Callable


def bronze(context: Context) -> Done:
    """The data set's files, fetched where they are not there yet."""
    given = context.settings.bronze
    brought = bring_in(
        context.files,
        given.dataset,
        place_of(given.source, context.settings.home),
        downloads=context.settings.home / "downloads",
        clock=_now,
        download_progress=_told(context, "download"),
    )
    counts = {"files": len(brought.manifest.files), "written": brought.written}
    return Done(counts, brought.folder)


def silver_films(context: Context) -> Done:
    """Ratings, films and tags as tables."""
    source, manifest = raw_source(context.files, context.settings.bronze.dataset)
    contract = EventContract(context.settings.contracts, context.catalog, _now)
    counts = make_film_tables(
        source,
        manifest,
        files=context.files,
        lake=context.lake,
        event_log=context.event_log,
        contract=contract,
    )
    return Done(counts, "" if counts["made"] else "up to date")


def ingest(context: Context) -> Done:
    """Films into the catalogue and ratings into the log, once."""
    into = Destination(
        context.event_log, context.catalog, context.files, context.settings.contracts, _now
    )
    dataset = context.settings.bronze.dataset
    report = ingest_raw(into, dataset, progress=_told(context, "ratings"))
    if report is None:
        return Done({"accepted": 0}, f"{dataset} is in the log already")
    quarantined = report.quarantined.total() + report.items_quarantined.total()
    counts = {"accepted": report.accepted, "duplicates": report.duplicates}
    return Done({**counts, "items": report.items, "quarantined": quarantined})


def _told(context: Context, what: str) -> Callable[[int, int], None]:
    report = context.report
    return lambda done, total: report(what, done, total) if report is not None else None


def _now() -> datetime:
    return datetime.now(UTC)


DAILY: Final = Pipeline(
    name="film_lakehouse_daily",
    about="The data set and the day's events, through bronze, silver and gold, into lists.",
    at="02:00",
    steps=(
        Step("bronze", ("publisher",), ("bronze.movielens",), bronze),
        Step(
            "silver_films",
            ("bronze.movielens",),
            ("silver.ratings", "silver.movies", "silver.tags", "bronze.quarantine"),
            silver_films,
        ),
        Step("ingest", ("bronze.movielens",), ("catalog", "event_log"), ingest),
        *STEPS,
        UPKEEP,
    ),
)

PIPELINES: tuple[Pipeline, ...] = (DAILY,)
