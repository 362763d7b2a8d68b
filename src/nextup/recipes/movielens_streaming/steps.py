"""The recipe's pipeline: files out of `/input`, and from there to everybody's list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nextup.recipes.movielens_streaming.options import Options
from nextup.recipes.options import options_of
from nextup.services.importers.loading import Destination
from nextup.services.input_folder import Folders, take_files
from nextup.services.pipeline import STEPS, Pipeline, Step
from nextup.services.steps import Done

if TYPE_CHECKING:
    from nextup.services.steps import Context


def take_input(context: Context) -> Done:
    """`/input` -> the log; used files -> `/processed/<run>/`, unreadable ones -> `/errors/`."""
    options = options_of(context.settings, Options)
    into = Destination(
        context.event_log,
        context.catalog,
        context.files,
        context.settings.contracts,
        lambda: datetime.now(UTC),
    )
    report = context.report
    taken = take_files(
        into,
        Folders(options.input, options.processed, options.errors),
        context.run_id,
        again=not any(context.event_log.head().values()),
        progress=lambda done, total: report("ratings", done, total) if report else None,
    )
    remarks = [f"{name} cannot be read: see {options.errors}/" for name in taken.unreadable]
    if taken.left:
        remarks.append(f"left in {options.input}/, as nothing reads it: {', '.join(taken.left)}")
    return Done(taken.counts(), "; ".join(remarks))


PIPELINES: tuple[Pipeline, ...] = (
    Pipeline(
        name="als_train",
        about="What is new in /input, a model of all ratings, and everybody's list.",
        steps=(
            Step(
                "take_input",
                ("input", "processed"),
                ("event_log", "catalog", "processed", "errors"),
                take_input,
            ),
            *STEPS,
        ),
        catch_up=False,  # it trains on all that there is, whatever the day
    ),
)
