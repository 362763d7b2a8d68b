"""The recipe's pipelines: `inject-data`, `train-model`, and `backup-db`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from nextup.domain.people import stored_id
from nextup.recipes.options import options_of
from nextup.recipes.platform_api.archives import (
    archive_of,
    keep_archives,
    verify_archive,
    write_archive,
)
from nextup.recipes.platform_api.data_folder import DataFolder
from nextup.recipes.platform_api.inject import Injection, day_touches
from nextup.recipes.platform_api.options import Options
from nextup.recipes.platform_api.tables import PlatformTables
from nextup.recipes.platform_api.vectors import Folding, caught_up, fold_everybody, joined
from nextup.services.pipeline import STEPS, Pipeline, Step
from nextup.services.steps import Done

if TYPE_CHECKING:
    from nextup.services.steps import Context

INJECTED: Final = "injected"  # the asset: the day's data are in PostgreSQL
NO_VECTORS: Final = "no model with vectors is in service: train-model brings one"


def fetch_simulation_data(context: Context) -> Done:
    """`data/simulation_data` -> `data/raw`."""
    with closing(_data(context)) as data:
        new = data.fetch(context.day)
    return Done({"files": len(new)}, ", ".join(new) or "no file has come that is not known")


def build_user_vectors(context: Context) -> Done:
    """`data/raw` -> `data/processed`: the people of the day's files as the model sees them with
    what the files say on top of what is known."""
    folding = Folding.of(context)
    if not folding.can:
        return Done({"people": 0}, NO_VECTORS)
    with closing(_data(context)) as data:
        fresh = day_touches(context, data, _options(context))
        state = caught_up(context.event_log, context.online_state)
        people = [
            folding.fold(client_id, user_id, joined(state.history(stored), touches))
            for (client_id, user_id), touches in sorted(fresh.items())
            for stored in (stored_id(client_id, user_id),)
        ]
        data.put_vectors(context.day, [one for one in people if one is not None])
    return Done({"people": len(people)})


def inject_into_database(context: Context) -> Done:
    """`data/raw` and `data/processed` -> PostgreSQL, and the list of films beside."""
    with (
        closing(_data(context)) as data,
        closing(_tables(context)) as tables,
    ):
        tables.prepare()
        counts = Injection(context, data, _options(context), tables.client_ids()).run()
        counts["vectors"] = tables.put_vectors(data.vectors(context.day))
        counts["movies"] = data.put_movies(context.catalog.all_items())
    kept = counts["not_injected"]
    remark = f"{kept} rows are kept in no_injected_data/{context.day}" if kept else ""
    return Done(counts, remark if counts["files"] else "no file is there for this day")


def store_user_vectors(context: Context) -> Done:
    """Everybody's vector as the model in service has it; what is right already stays."""
    folding = Folding.of(context)
    if not folding.can:
        return Done({"people": 0, "changed": 0}, NO_VECTORS)
    with closing(_tables(context)) as tables:
        tables.prepare()
        state = caught_up(context.event_log, context.online_state)
        people = list(fold_everybody(folding, state, tables.people()))
        changed = tables.put_vectors(people)
    return Done({"people": len(people), "changed": changed})


def backup_database(context: Context) -> Done:
    """Everything -> `backup_db/nextup-<day>.tar`."""
    options = _options(context)
    archive = archive_of(context.settings, options.backup_folder, context.day)
    files = write_archive(context.settings, archive)
    return Done({"files": files, "bytes": archive.stat().st_size}, archive.name)


def verify_backup(context: Context) -> Done:
    """Restore it beside, find it the same, and only then let the oldest go."""
    options = _options(context)
    archive = archive_of(context.settings, options.backup_folder, context.day)
    verified = verify_archive(context.settings, archive)
    gone = keep_archives(archive.parent, options.backup_keep)
    counts = {"files": verified.files, "removed": gone}
    return Done(counts, f"{archive.name} was restored and is whole")


def _options(context: Context) -> Options:
    return options_of(context.settings, Options)


def _data(context: Context) -> DataFolder:
    return DataFolder.of(context.settings, _options(context).data_url)


def _tables(context: Context) -> PlatformTables:
    return PlatformTables.of(context.settings, _options(context))


PIPELINES: tuple[Pipeline, ...] = (
    Pipeline(
        name="inject-data",
        about="What came in since yesterday, into PostgreSQL.",
        steps=(
            Step("fetch_simulation_data", ("simulation_data",), ("raw",), fetch_simulation_data),
            Step("build_user_vectors", ("raw", "models"), ("processed",), build_user_vectors),
            Step(
                "inject_into_database",
                ("raw", "processed"),
                ("catalog", "event_log", "users", "external/movies.csv"),
                inject_into_database,
                makes=INJECTED,
            ),
        ),
        at="07:00",
        within_minutes=30,  # and its successor's 30: done by 08:00, or somebody is told
    ),
    Pipeline(
        name="train-model",
        about="A new model as soon as new data are there, and everybody's vector by it.",
        steps=(
            *STEPS,
            Step("store_user_vectors", ("models", "online_state"), ("users",), store_user_vectors),
        ),
        after=INJECTED,
        within_minutes=30,
    ),
    Pipeline(
        name="backup-db",
        about="A backup of everything, proven by a restore.",
        steps=(
            Step("backup_database", ("all",), ("backup_db",), backup_database),
            Step("verify_backup", ("backup_db",), ("backup_db",), verify_backup),
        ),
        at="06:00",
        catch_up=False,  # yesterday's state cannot be copied today
    ),
)
