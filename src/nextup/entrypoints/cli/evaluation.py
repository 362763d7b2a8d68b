"""`nextup evaluate` and `nextup tune`: how good recipes are, and which one the data wants."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.entrypoints.cli.context import AsOfOption, parse_as_of, parse_day, platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from nextup.services.evaluate import Comparison
    from nextup.services.study import Trial
    from nextup.services.tune import Searched, Tuned
    from nextup.services.tune_blend import Point
    from nextup.settings import Settings

SECONDS = 600.0  # of a search that was given neither seconds nor trials


class Split(Enum):
    """How the past is told from what is asked."""

    TIME = "time"
    PEOPLE = "people"


SplitOption = Annotated[
    Split,
    typer.Option(
        "--split",
        help="Cut at one moment for everybody, or hold people out whole (strong generalisation).",
    ),
]
DayOption = Annotated[str, typer.Option("--date", help="Up to the end of this day.")]


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    for command in (evaluate, tune):
        root.command()(command)


def evaluate(
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="Say whether two recipes differ: 'configured', a TOML file, a model of "
            "`nextup model list`, or one kind of model such as item_item.",
        ),
    ] = None,
    split: SplitOption = Split.TIME,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write an HTML page with plots, and a JSON file beside it."),
    ] = None,
    day: DayOption = "",
    as_of: AsOfOption = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Measure the configured recipe on a past that it has not seen, without changing anything.

    By itself it asks what the gate asks. With --compare, --split people or --report everything
    is measured: ranking at 10, 20 and 100, the catalogue, segments of people and items, and
    whether the first recipe differs from the second (default: popularity) by more than chance.
    """
    out = Output(as_json=as_json)
    if compare is None and split is Split.TIME and report_file is None:
        _ask_the_gate(out, home, day, as_of)
        return
    from nextup.services.dataset import load_item_facts
    from nextup.services.evaluate import evaluate_recipes
    from nextup.services.evaluation_report import write_report
    from nextup.services.recipe_file import CONFIGURED, recipe_named
    from nextup.services.train import POPULARITY

    first, second = compare or (CONFIGURED, POPULARITY)
    with platform_at(home) as platform, out.progress() as report:
        found = evaluate_recipes(
            platform.engine,
            platform.settings,
            load_item_facts(platform.engine),
            _until(platform.settings, day),
            (first, recipe_named(first, platform.settings, platform.control)),
            (second, recipe_named(second, platform.settings, platform.control)),
            by=split.value,
            as_of=parse_as_of(as_of),
            report=report,
        )
    if report_file is not None:
        write_report(found.document, report_file)
    _show_comparison(out, found)
    if report_file is not None:
        out.say(f"Wrote {report_file} and {report_file.with_suffix('.json')}.")


def tune(
    seconds: Annotated[
        float, typer.Option(min=0, help="How long to search; default: 600, or until --trials.")
    ] = 0.0,
    trials: Annotated[
        int, typer.Option(min=0, help="Search until each model has so many trials.")
    ] = 0,
    only: Annotated[
        str, typer.Option("--models", help="Which models, such as als,item_item; default: all.")
    ] = "",
    split: SplitOption = Split.TIME,
    write: Annotated[
        bool,
        typer.Option("--write", help="Put the winner into the nextup.toml, unless it is worse."),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what was found before.")] = False,
    day: DayOption = "",
    as_of: AsOfOption = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Search the models and the blend for this data; the same command again continues.

    Every finished trial is kept, also when the search is interrupted. The search asks about a
    past before the gate's test; at the end the winner is compared with the present recipe on the
    gate's test, which it has not seen.
    """
    from nextup.services.dataset import load_item_facts
    from nextup.services.recipe_file import write_recipe
    from nextup.services.trials import Budget
    from nextup.services.tune import tune as search
    from nextup.settings import FILE_NAME

    out = Output(as_json=as_json)
    budget = Budget(seconds or (0.0 if trials else SECONDS), trials)
    with platform_at(home) as platform, platform.control.lock("tune"), out.progress() as report:
        settings = platform.settings
        found = search(
            platform.engine,
            platform.files,
            settings,
            load_item_facts(platform.engine),
            _until(settings, day),
            budget,
            by=split.value,
            only=[name.strip() for name in only.split(",") if name.strip()],
            fresh=fresh,
            as_of=parse_as_of(as_of),
            report=report,
            watch=_watch(out),
        )
    written = write and not found.is_worse
    if written:
        write_recipe(found.winner, settings, settings.home / FILE_NAME)
    _show_search(out, found, written=written, wanted=write)


def _ask_the_gate(out: Output, home: str, day: str, as_of: str) -> None:
    from nextup.services.dataset import load_item_facts
    from nextup.services.judge import judge

    with platform_at(home) as platform, out.progress() as report:
        verdict = judge(
            platform.engine,
            platform.settings,
            load_item_facts(platform.engine),
            _until(platform.settings, day),
            as_of=parse_as_of(as_of),
            report=report,
        )
    models = {
        name: figures
        for name, figures in verdict.metrics.items()
        if name in {"candidate", "popularity", "in_service", "fixed_blend"}
    }
    names = list(next(iter(models.values()), {}))
    rows = [(name, *(_figure(figures[name]) for figures in models.values())) for name in names]
    learned = verdict.metrics.get("reranker")
    title = f"{verdict.reason}\norder: {learned['reason']}" if learned else verdict.reason
    out.table(title, ("metric", *models), rows, verdict)


def _show_comparison(out: Output, found: Comparison) -> None:
    document = found.document
    first, second = document["models"]
    rows = [
        (
            name,
            _mean(first["metrics"][name]),
            _mean(second["metrics"][name]),
            *_difference(document["difference"].get(name)),
        )
        for name in first["metrics"]
    ]
    columns = ("metric", first["name"], second["name"], "difference", "p")
    title = f"{document['says']}\nAsked: {document['people']:,} people, {document['test']}"
    out.table(title, columns, rows, document)
    if out.as_json:
        return
    segments = [
        (name, one["people"], *_difference(one), "yes" if one["real"] else "no")
        for name, one in document["difference_by_segment"].items()
    ]
    head = ("segment", "people", f"difference in {document['metric']}", "p", "real")
    out.table("By segment", head, segments, None)


def _show_search(out: Output, found: Tuned, *, written: bool, wanted: bool) -> None:
    from nextup.services.tune_blend import outline

    document = {
        "study": found.study,
        "metric": found.metric,
        "validation": found.validation,
        "people": found.people,
        "quality": found.quality,
        "models": [_searched(one) for one in found.searched],
        "frontier": found.points,
        "winner": {"models": found.winner.components, "blend": found.winner.blend},
        "toml": found.toml,
        "test": found.test,
        "verdict": found.verdict,
        "written": written,
        "seconds": found.seconds,
    }
    rows = [_row_of_point(point) for point in outline(found.points)]
    title = (
        f"The frontier of quality against cost, asked: {found.people:,} people, {found.validation}"
    )
    columns = (found.metric, "seconds to train", "MB", "blend")
    out.table(title, columns, rows, document)
    if out.as_json:
        return
    out.say(f"On the gate's test, {found.test['test']}: {found.verdict}")
    if written:
        out.say("The winner is in the nextup.toml; `nextup pipeline run` trains it.")
    elif wanted:
        out.say("The nextup.toml stays as it is: the winner of the search is worse in the test.")
    else:
        out.say(f"The winner; --write puts it into the nextup.toml:\n\n{found.toml}")


def _searched(one: Searched) -> dict[str, Any]:
    best = one.best
    return {
        "model": one.model,
        "trials": one.trials,
        "pruned": one.pruned,
        "failed": one.failed,
        "reason": one.reason,
        "weight": one.weight,
        "best": best
        and {
            "settings": best.settings,
            "quality": best.value,
            "fit_seconds": best.fit_seconds,
            "size": best.size,
        },
    }


def _row_of_point(point: Point) -> tuple[Any, ...]:
    blend = ", ".join(f"{name} {weight:.2f}" for name, weight in point.blend.items())
    return round(point.quality, 4), point.fit_seconds, point.size / 1e6, blend


def _watch(out: Output) -> Callable[[Trial, bool], None]:
    def watch(trial: Trial, is_best: bool) -> None:
        if trial.state == "failed":
            out.say(f"{trial.model:<13} failed: {trial.reason}")
        elif is_best:
            chosen = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
            out.say(f"{trial.model:<13} {trial.value:.4f}  best so far: {chosen}")

    return watch


def _until(settings: Settings, day: str) -> datetime:
    from nextup.services.pipeline import end_of_day, today

    return end_of_day(parse_day(day, "--date") if day else today(settings), settings)


def _figure(value: Any) -> Any:
    """A mean with its interval, or a plain number."""
    if isinstance(value, list):
        mean, low, high = value
        return f"{mean:.4f}  ({low:.4f} to {high:.4f})"
    return value


def _mean(value: Any) -> str:
    return f"{value[0] if isinstance(value, list) else value:.4f}"


def _difference(one: Mapping[str, Any] | None) -> tuple[str, str]:
    """With its interval, and how likely chance alone is; nothing for figures of no person."""
    if one is None:
        return "", ""
    interval = f"{one['mean']:+.4f}  ({one['low']:+.4f} to {one['high']:+.4f})"
    return interval, f"{one['p_value']:.4f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
