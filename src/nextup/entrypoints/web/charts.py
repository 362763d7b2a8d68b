"""The console's charts, drawn here and handed out as SVG without style or script: the pages bring
their own, so that a chart follows the theme and the pages' policy holds."""

import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from nextup.entrypoints.api.access import Services
from nextup.entrypoints.api.pulse import Pulse, Second
from nextup.services.operating.experiments import RIVALS, Experiment, experiments
from nextup.services.operating.freshness import Interval, model_intervals

router = APIRouter(prefix="/console/charts", include_in_schema=False)

OWN_LOOK = re.compile(
    r"<(style|script|title)\b.*?</\1>|<!--.*?-->|\sstyle=\"[^\"]*\"", re.DOTALL
)  # the policy of the pages refuses styles in attributes too
WIDTH, HEIGHT = 860, 260
SHOWN_MODELS = 30
SHOWN_RUNS = 30
FEWEST_BARS = 8
POINTS = 60  # of the traffic; more cannot be told apart


@router.get("/traffic")
def traffic(request: Request, seconds: Annotated[float, Query(gt=0, le=900)] = 300) -> Response:
    """Events and answers per second."""
    pulse = request.app.state.pulse
    assert isinstance(pulse, Pulse)
    series = _condensed(pulse.window(seconds).series)
    chart = _line("per second")
    chart.x_labels = [f"{second.at:%H:%M:%S}" for second, _ in series]
    for name in ("requests", "events", "errors"):
        chart.add(name, [_point(getattr(at, name) / seconds, name) for at, seconds in series])
    return _svg(chart)


@router.get("/quality")
def quality(services: Services, metric: Annotated[str, Query(max_length=40)] = "") -> Response:
    """How good the models were on their tests, the oldest first, with what they had to beat."""
    models = list(services.ports.control.models())[:SHOWN_MODELS][::-1]
    figures = [model_intervals(model) for model in models]
    wanted = metric or next((name for one in figures for who in one.values() for name in who), "")
    chart = _line(wanted or "quality")
    chart.x_labels = [f"{model.created_at:%d %b %H:%M}" for model in models]
    for who in sorted({who for one in figures for who in one}):
        shown = [one.get(who, {}).get(wanted) for one in figures]
        chart.add(_words(who), [_interval(found, who) for found in shown])
    ends = [end for one in figures for who in one.values() if wanted in who for end in who[wanted]]
    if ends:
        chart.range = _around(ends)
    return _svg(chart)


@router.get("/experiments")
def differences(services: Services) -> Response:
    """How much better each model was than what it was tried against, the oldest first."""
    models = list(services.ports.control.models())[:SHOWN_MODELS][::-1]
    tried = [{one.against: one for one in experiments(model)} for model in models]
    shown = [(model, found) for model, found in zip(models, tried, strict=True) if found]
    chart = _line("difference", stroke=False)
    chart.x_labels = [f"{model.created_at:%d %b %H:%M}" for model, _ in shown]
    ends = [end for found in tried for one in found.values() for end in (one.low, one.high)]
    chart.range = _around([*ends, 0.0])  # at which there is no difference
    for rival in RIVALS:
        points = [found.get(rival) for _, found in shown]
        if any(points):
            chart.add(f"over {_words(rival)}", [_difference(one) for one in points])
    return _svg(chart)


@router.get("/runs")
def runs(services: Services) -> Response:
    """How long each run's steps took."""
    shown = list(services.ports.control.runs(SHOWN_RUNS))[::-1]
    chart = _pygal().StackedBar(**_look("seconds"))
    room = [None] * (FEWEST_BARS - len(shown))  # a single run is a bar, not a wall
    chart.x_labels = [f"{run.started_at:%d %b %H:%M}" for run in shown] + [""] * len(room)
    names = list(dict.fromkeys(step.step for run in shown for step in run.steps))
    for name in names:
        took = [{step.step: step.seconds for step in run.steps}.get(name) for run in shown]
        chart.add(name, [_point(seconds, name) for seconds in took] + room)
    return _svg(chart)


def _point(value: float | None, told: str) -> dict[str, object] | None:
    return None if value is None else {"value": value, "label": told}


def _difference(found: Experiment | None) -> dict[str, object] | None:
    if found is None:
        return None
    return _interval(Interval(found.mean, found.low, found.high), f"over {found.against}")


def _interval(found: Interval | None, who: str) -> dict[str, object] | None:
    if found is None:
        return None
    name = _words(who)
    if found.low == found.high:
        return _point(found.value, name)
    told = f"{name}, {found.low:.4f} to {found.high:.4f}"
    return {"value": found.value, "label": told, "ci": {"low": found.low, "high": found.high}}


def _condensed(series: Sequence[Second]) -> list[tuple[Second, int]]:
    """Neighbouring seconds added up until there are few enough; each with how many it is."""
    step = max(1, -(-len(series) // POINTS))
    groups = [series[start : start + step] for start in range(0, len(series), step)]
    return [
        (
            group[0]._replace(
                events=sum(one.events for one in group),
                requests=sum(one.requests for one in group),
                errors=sum(one.errors for one in group),
            ),
            len(group),
        )
        for group in groups
    ]


def _around(ends: Sequence[float]) -> tuple[float, float]:
    """The range of a chart that shows all of them, with some room."""
    room = (max(ends) - min(ends)) / 20 or abs(max(ends)) / 10 or 1
    return min(ends) - room, max(ends) + room


def _words(name: str) -> str:
    return name.replace("_", " ")


def _pygal() -> Any:
    """The library, which the first chart loads: most servers draw none."""
    import pygal  # noqa: PLC0415

    # its hook for plugins speaks a protocol that Python has dropped, and warns at each import
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]
    return pygal


def _line(of: str, stroke: bool = True) -> Any:
    return _pygal().Line(**_look(of), dots_size=3, stroke=stroke)


def _look(of: str) -> dict[str, object]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "y_title": of,
        "js": [],
        "css": [],
        "disable_xml_declaration": True,
        "show_legend": True,
        "legend_at_bottom": True,
        "legend_at_bottom_columns": 6,
        "margin_right": 48,  # the last label is centred on the last point
        "truncate_label": -1,
        "truncate_legend": -1,
        "x_labels_major_count": 6,
        "show_minor_x_labels": False,
        "no_data_text": "Nothing yet",
        "value_formatter": lambda value: f"{value:,.4g}",
    }


def _svg(chart: Any) -> Response:
    drawn = OWN_LOOK.sub("", chart.render(is_unicode=True))
    return Response(drawn, media_type="image/svg+xml", headers={"Cache-Control": "no-store"})
