"""What each step of the pipeline does: a few lines that join services on the ports."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import narwhals as nw
import numpy as np

from nextup import __version__
from nextup.domain.errors import Conflict, CorruptData, NotFound
from nextup.domain.operations import ModelRecord
from nextup.domain.tables import OCCURRED_AT, Table
from nextup.domain.weighing import Weighing
from nextup.ports.engine import Kept
from nextup.ports.files import HasUrls
from nextup.services import registry
from nextup.services.artifacts import Artifact, load_artifact, save_artifact
from nextup.services.collect import SOURCE
from nextup.services.collect import collect as collect_log
from nextup.services.dataset import load_dataset, load_item_facts
from nextup.services.factorize import trainer
from nextup.services.features import make_features
from nextup.services.histories import load_histories
from nextup.services.judge import judge
from nextup.services.lake_upkeep import maintain_lake
from nextup.services.learn_order import RERANKER, can_learn, fit_ranker
from nextup.services.publish import make_lists
from nextup.services.publish import publish as publish_lists
from nextup.services.refine import refine as refine_bronze
from nextup.services.tracking import follow, track
from nextup.services.train import POPULARITY, Recipe, fit_all, lineage
from nextup.transforms.silver_to_gold import user_item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.lake import AsOf, Lake
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.ports.tracker import Tracker
    from nextup.services.lists_in_blocks import Reopen
    from nextup.services.publish import Published
    from nextup.services.train import Report
    from nextup.settings import Settings

    MakesLists = Callable[[Engine, Artifact, Settings], Published]
    """Ranks everybody into `gold.recommendations`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One run: the day it describes and the ports it works on."""

    settings: Settings
    day: date
    until: datetime  # the first moment after the day
    event_log: EventLog
    catalog: Catalog
    engine: Engine
    lake: Lake
    files: Files
    recommendation_store: RecommendationStore
    online_state: OnlineState
    control: Control
    tracker: Tracker
    run_id: str = ""  # of the run that a step is part of
    as_of: AsOf = None  # train and evaluate on silver as it was
    report: Report | None = None
    reopen_store: Reopen | None = None  # in other processes, where it can be reached from there


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did."""

    counts: Mapping[str, int] = field(default_factory=dict)
    remark: str = ""


def collect(context: Context) -> Done:
    """Drain the log into bronze."""
    counts = collect_log(
        context.event_log,
        context.engine,
        batch_rows=context.settings.lake.batch_rows,
        report=context.report,
    )
    return Done(counts)


def refine(context: Context) -> Done:
    """Bring bronze's new events, and the catalogue, into silver."""
    counts = refine_bronze(
        context.engine,
        context.catalog,
        batch_rows=context.settings.lake.batch_rows,
        report=context.report,
    )
    return Done(counts)


def features(context: Context) -> Done:
    """Condense silver, up to the end of the day, into gold."""
    return Done(make_features(context.engine, context.settings, context.until))


def train(context: Context) -> Done:
    """Fit the recipe on everything up to the end of the day; the same input gives the same id."""
    recipe = Recipe.from_settings(context.settings)
    model_id = _model_id(context, recipe)
    if _is_trained(context, model_id):
        return Done({"trained": 0}, f"{model_id} is up to date")
    items = load_item_facts(context.engine)
    people = load_dataset(context.engine, _user_item(context), items.item_ids)
    components = fit_all(
        recipe,
        people.interactions,
        items,
        seed=context.settings.seed,
        threads=context.settings.threads,
        engine=context.engine,
        report=context.report,
        kept=_kept(context, model_id, people.user_ids),
    )
    order = fit_ranker(
        context.engine,
        context.settings,
        recipe,
        _events(context),
        people.interactions,
        items,
        report=context.report,
    )
    made = lineage(
        context.settings,
        recipe,
        until=context.until.isoformat(),
        log_position=context.lake.position(Table.INTERACTIONS, SOURCE),
        tables={table.value: context.lake.version(table) for table in Table},
        touches=len(people.interactions),
        people=len(people.user_ids),
        engine=context.engine.name,
    )
    metrics = {RERANKER: order.figures}
    artifact = Artifact(
        model_id,
        datetime.now(UTC),
        items.item_ids,
        components,
        metrics,
        made,
        recipe.blend,
        order.ranker,
    )
    save_artifact(context.files, artifact)
    record = ModelRecord(model_id, artifact.created_at, "+".join(components), metrics, made)
    context.control.save_model(record)
    counts = {"people": len(people.user_ids), "items": len(items.item_ids)}
    counts = {"touches": len(people.interactions), **counts, "trained": 1}
    told = track(context.tracker, context.files, record)
    return Done(counts, _joined(model_id, order.says, told))


def evaluate(context: Context) -> Done:
    """Ask the gate; its verdict is kept with the model."""
    recipe = Recipe.from_settings(context.settings)
    record = _registered(context, _model_id(context, recipe))
    if record.verdict:
        return Done({"people": 0}, f"{record.verdict} (as before)")
    verdict = judge(
        context.engine,
        context.settings,
        load_item_facts(context.engine),
        context.until,
        incumbent=_recipe_in_service(context),
        as_of=context.as_of,
        report=context.report,
    )
    metrics = {**verdict.metrics, RERANKER: record.metrics.get(RERANKER, {})}
    if RERANKER in verdict.metrics:
        metrics[f"{RERANKER}_in_the_test"] = verdict.metrics[RERANKER]
    judged = replace(record, metrics=metrics, verdict=verdict.reason, passed=verdict.passed)
    context.control.save_model(judged)
    told = track(context.tracker, context.files, judged)
    people = verdict.metrics.get("people", 0)
    counts = {"people": people, "passed": int(verdict.passed)}
    return Done(counts, _joined(verdict.reason, told))


def publish(context: Context) -> Done:
    """Put the model in service if the gate let it, with lists for everybody, and bring the
    online state's histories up to date."""
    done = release(context)
    people = load_histories(
        context.engine,
        context.lake,
        context.online_state,
        window_days=context.settings.trending.window_days,
        report=context.report,
    )
    return Done({**done.counts, "histories": people}, done.remark)


def release(context: Context, make: MakesLists = make_lists) -> Done:
    """Put the model in service if the gate let it, with the lists that `make` makes of it."""
    record, remark = model_to_serve(context)
    artifact = load_artifact(context.files, record.model_id)
    made = make(context.engine, artifact, context.settings)
    published = publish_lists(
        context.engine,
        context.recommendation_store,
        context.control,
        reopen=context.reopen_store,
        report=context.report,
    )
    registry.promote(context.control, context.recommendation_store, record.model_id)
    told = track(context.tracker, context.files, record)
    told = told or follow(context.tracker, context.control, context.settings.tracking)
    counts = {"lists": published.lists, "entries": made.entries}
    return Done(counts, _joined(remark or f"{record.model_id} is in service", told))


def maintain(context: Context) -> Done:
    """Merge the lake's small files, and remove versions that nobody may read any more."""
    upkeep = maintain_lake(context.lake, keep_days=context.settings.lake.keep_days)
    return Done({"files_fewer": upkeep.files_merged})


def model_of_day(context: Context) -> ModelRecord:
    """The model that `train` made of this day and data. Raises Conflict where it did not."""
    return _registered(context, _model_id(context, Recipe.from_settings(context.settings)))


def model_to_serve(context: Context) -> tuple[ModelRecord, str]:
    """The day's model where the gate let it pass, else what stays in service, and why."""
    record = model_of_day(context)
    if record.passed:
        return record, ""
    instead = _fallback(context, record)
    why = record.verdict or "not evaluated"
    return instead, f"{why}; {instead.model_id} stays in service"


def _joined(*remarks: str) -> str:
    """Those that say something."""
    return "; ".join(remark for remark in remarks if remark)


def _user_item(context: Context) -> nw.LazyFrame[Any]:
    """The day's pairs: gold's, or made anew from silver as it was."""
    if context.as_of is None:
        return context.engine.scan(Table.USER_ITEM)
    settings = context.settings
    weighing = Weighing.from_weights(settings.weights, settings.contracts.rating_max)
    return user_item(_events(context), weighing, context.until)


def _events(context: Context) -> nw.LazyFrame[Any]:
    """The events up to the end of the day."""
    events = context.engine.scan(Table.INTERACTIONS, context.as_of)
    return events.filter(nw.col(OCCURRED_AT) < context.until)


def _model_id(context: Context, recipe: Recipe) -> str:
    """The day and a hash of all that goes into the model, so that equal input is recognised."""
    settings = context.settings
    inputs = [
        __version__,
        context.until.isoformat(),
        context.lake.version(Table.INTERACTIONS) if context.as_of is None else str(context.as_of),
        context.lake.content_hash(Table.ITEMS),
        recipe.fingerprint,
        settings.weights.model_dump(),
        settings.gate.model_dump(),
        settings.seed,
        can_learn(),  # installing what the reranker needs makes another model
        *trainer(context.engine),
    ]
    digest = hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest()[:8]
    return f"{context.day.isoformat()}-{digest}"


def _kept(context: Context, model_id: str, user_ids: Sequence[str]) -> Kept | None:
    """Where the engine keeps the model in its own form; None where nobody asked for it. People
    whose ids are numbers keep them there."""
    folder = context.settings.spark.model_folder
    if not folder or not isinstance(context.files, HasUrls):
        return None
    place = context.files.url_of(folder.replace("{model_id}", model_id))
    try:
        return Kept(place, np.array([int(user_id) for user_id in user_ids], np.int32))
    except (ValueError, OverflowError):
        return Kept(place)


def _is_trained(context: Context, model_id: str) -> bool:
    if context.control.model(model_id) is None:
        return False
    try:
        load_artifact(context.files, model_id)
    except (NotFound, CorruptData):
        return False
    return True


def _registered(context: Context, model_id: str) -> ModelRecord:
    record = context.control.model(model_id)
    if record is None:
        raise Conflict(
            f"Model '{model_id}' of this day and data was never trained.",
            cure="Run the pipeline from the step 'train'.",
        )
    return record


def _recipe_in_service(context: Context) -> Recipe | None:
    current = context.control.current_model()
    record = context.control.model(current) if current else None
    if record is None:
        return None
    return Recipe.from_lineage(record.lineage["recipe"])


def _fallback(context: Context, failed: ModelRecord) -> ModelRecord:
    """The model in service; where there is none, popularity alone, cut out of the failed one."""
    current = context.control.current_model()
    if current:
        return _registered(context, current)
    artifact = load_artifact(context.files, failed.model_id)
    popular = replace(
        artifact,
        model_id=f"{failed.model_id}-popular",
        components={POPULARITY: artifact.components[POPULARITY]},
        blend={POPULARITY: 1.0},
        ranker=None,
        lineage={
            **artifact.lineage,
            "recipe": {"components": {POPULARITY: {}}, "blend": {POPULARITY: 1.0}},
        },
    )
    save_artifact(context.files, popular)
    record = ModelRecord(
        popular.model_id,
        popular.created_at,
        POPULARITY,
        lineage=popular.lineage,
        verdict="in service because nothing else passed the gate",
        passed=True,
    )
    context.control.save_model(record)
    return record
