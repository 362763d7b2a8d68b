"""The pipelines of the book platform: what people did, into what they should read next."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from nextup.domain.errors import ConfigurationError
from nextup.ports.files import SupportsLocalPath
from nextup.recipes.book_platform import maintenance
from nextup.recipes.book_platform.options import Options
from nextup.recipes.options import options_of
from nextup.services import history_by_day, registry, steps
from nextup.services.artifacts import FOLDER, load_artifact
from nextup.services.features import make_features
from nextup.services.history_training import load_history
from nextup.services.list_files import ListFiles
from nextup.services.pipeline import DATA, MODEL, Pipeline, Step
from nextup.services.publish import make_lists, put_in_service
from nextup.services.refine import refine_items
from nextup.services.steps import Context, Done
from nextup.services.tracking import follow

if TYPE_CHECKING:
    from nextup.domain.operations import ModelRecord
    from nextup.services.history_by_day import DayFolder

OURS: Final = "nextup"  # the folder of a run's model in our form, beside MLlib's


def clear_day(context: Context) -> Done:
    """Remove what an earlier run of the day has extracted and archived."""
    removed = history_by_day.clear_day(context.files, context.settings, context.day)
    return Done({"folders": len(removed)}, f"removed {', '.join(removed)}" if removed else "")


def extract_day(context: Context) -> Done:
    """The day's actions out of the database, counted by person and book."""
    history_by_day.require_database(context.settings)
    done = history_by_day.extract_day(context.engine, context.files, context.settings, context.day)
    return _done(done)


def archive_day(context: Context) -> Done:
    """The same bytes beside the raw data."""
    return _done(history_by_day.archive_day(context.files, context.settings, context.day))


def merge_history(context: Context) -> Done:
    """The archived day into the historical set, in the place of what was there of this day."""
    return _done(history_by_day.merge_day(context.files, context.settings, context.day))


def train(context: Context) -> Done:
    """Learn from the historical set up to the end of the day, and ask the gate."""
    counts = load_history(context.engine, context.files, context.settings)
    refine_items(context.engine, context.catalog)
    make_features(context.engine, context.settings, context.until)
    trained = steps.train(context)
    judged = steps.evaluate(context)
    _keep(context, steps.model_of_day(context))
    broken = counts["broken_lines"]
    left_out = f"; {broken} lines of the history do not fit and were left out" if broken else ""
    return Done(
        {**counts, **trained.counts, **{f"gate_{name}": n for name, n in judged.counts.items()}},
        f"{trained.remark}; {judged.remark}{left_out}",
    )


def recommend(context: Context) -> Done:
    """Everybody's list, by the model that is going to serve, as files of its run."""
    record, remark = steps.model_to_serve(context)
    artifact = load_artifact(context.files, record.model_id)
    made = make_lists(context.engine, artifact, context.settings)
    places = _lists(context, record).make(
        context.engine,
        parts=context.settings.history.parts,
        whole_numbers=context.settings.contracts.id_type in {"int", "int_users"},
    )
    return Done({"lists": made.lists, "places": places}, remark or record.model_id)


def publish(context: Context) -> Done:
    """From those files into the store, person by person; then the run is in service."""
    record, remark = steps.model_to_serve(context)
    lists = _lists(context, record)
    store, control = context.recommendation_store, context.control
    done = put_in_service(lists, record.model_id, store, control)
    registry.promote(control, store, record.model_id)
    lists.put_in_service()
    told = follow(context.tracker, control, context.settings.tracking)
    says = remark or f"{record.model_id} is in service"
    return Done({"lists": done.lists, "places": done.entries}, f"{says}; {told}" if told else says)


GENERATE: Final = Pipeline(
    name="generate_book_recommendations",
    about="What people did on the day that has just ended, into what they should read next.",
    at="00:00",
    steps=(
        Step("clear_day", ("files",), ("files",), clear_day),
        Step("extract_day", ("database",), ("processed/interactions",), extract_day),
        Step("archive_day", ("processed/interactions",), ("raw/interactions",), archive_day),
        Step(
            "merge_history",
            ("raw/interactions",),
            ("raw/interactions/DataSet",),
            merge_history,
            makes=DATA,
        ),
        Step("train", ("raw/interactions/DataSet", "catalog"), ("model",), train),
        Step("recommend", ("model",), ("recommendations",), recommend),
        Step("publish", ("recommendations",), ("recommendation_store",), publish, makes=MODEL),
    ),
)

MAINTAIN: Final = Pipeline(
    name="hdfs_maintenance",
    about="What HDFS need not keep, where its blocks lie, and how it is.",
    at="03:00",
    catch_up=False,
    steps=(
        Step("remove_old_days", ("files",), ("files",), maintenance.remove_old_days),
        Step("balance", ("hdfs",), ("hdfs",), maintenance.balance),
        Step("check_hdfs", ("hdfs",), (), maintenance.check),
    ),
)

PIPELINES: tuple[Pipeline, ...] = (GENERATE, MAINTAIN)


def _done(made: DayFolder) -> Done:
    counts = {"rows": made.rows, "files": made.files, "unknown_items": made.unknown_items}
    return Done(counts, made.folder)


def _lists(context: Context, record: ModelRecord) -> ListFiles:
    folder = options_of(context.settings, Options).recommendations
    return ListFiles.of(context.files, context.settings, folder, record.model_id)


def _keep(context: Context, record: ModelRecord) -> None:
    """Our form of the model beside MLlib's, for whoever looks there; what serves is the one that
    every platform has."""
    files = context.files
    target = f"{options_of(context.settings, Options).model}/{record.model_id}/{OURS}"
    if files.exists(f"{target}/model.json"):
        return
    if not isinstance(files, SupportsLocalPath):
        raise ConfigurationError("These files have no place on this machine's disk.")
    with files.replace_folder(target) as folder:
        source = files.local_path(f"{FOLDER}/{record.model_id}")
        shutil.copytree(source, folder, dirs_exist_ok=True)
