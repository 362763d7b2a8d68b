"""Writes `dashboards/*.json` from `api.yml`, `pipeline.yml` and `model.yml`: a panel is a title,
what it means, a unit, and either one query for what is `now` or several, by their legends, for the
`course` of things; `good` is until where it is green and from where it is red.

`python deploy/grafana/dashboards.py` after a change; a test holds both equal, and asks a real
Prometheus every query.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent
NAMES = ("api", "pipeline", "model")
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24  # of a row, in Grafana's units
NOW, COURSE = 4, 8  # heights of panels


def read(name: str) -> dict[str, Any]:
    """What a dashboard shows."""
    shown: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yml").read_text(encoding="utf-8"))
    return shown


def queries(name: str) -> Iterator[tuple[str, str, str]]:
    """Of a dashboard: the panel's title, the legend, the query."""
    for row in read(name)["rows"]:
        for panel in row["panels"]:
            for legend, query in _queries(panel).items():
                yield panel["title"], legend, query


def document(name: str) -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    shown = read(name)
    return {
        "uid": shown["uid"],
        "title": shown["title"],
        "tags": ["nextup"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source()]},
        "links": [{"title": "Nextup", "type": "dashboards", "tags": ["nextup"]}],
        "annotations": {"list": []},
        "panels": [panel | {"id": n} for n, panel in enumerate(_panels(shown["rows"]), start=1)],
    }


def text(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(document(name), indent=1, ensure_ascii=False) + "\n"


def _panels(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    y = 0
    for row in rows:
        heading = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        yield {"type": "row", "title": row["heading"], "gridPos": heading, "panels": []}
        y += 1
        figures = [panel for panel in row["panels"] if "now" in panel]
        courses = [panel for panel in row["panels"] if "course" in panel]
        for place, panel in enumerate(figures):
            width = WIDTH // len(figures)
            yield _panel(panel, {"x": place * width, "y": y, "w": width, "h": NOW})
        y += NOW if figures else 0
        for place, panel in enumerate(courses):
            down, right = divmod(place, 2)
            half = WIDTH // 2
            yield _panel(panel, {"x": right * half, "y": y + down * COURSE, "w": half, "h": COURSE})
        y += COURSE * -(-len(courses) // 2)


def _panel(panel: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    now = "now" in panel
    defaults: dict[str, Any] = {"unit": panel["unit"]}
    if "good" in panel:
        levels = zip(("green", "yellow", "red"), (None, *panel["good"]), strict=True)
        steps = [{"color": color, "value": value} for color, value in levels]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if not now:
        defaults |= {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
    return {
        "type": "stat" if now else "timeseries",
        "title": panel["title"],
        "description": panel["means"],
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if now else {},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
                "instant": now,
                "range": not now,
            }
            for number, (legend, query) in enumerate(_queries(panel).items())
        ],
    }


def _queries(panel: Mapping[str, Any]) -> dict[str, str]:
    courses: dict[str, str] = panel.get("course") or {"__auto": panel["now"]}
    return courses


def _source() -> dict[str, Any]:
    return {
        "name": "source",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def main() -> None:
    """Write them all."""
    for name in NAMES:
        file = HERE / "dashboards" / f"nextup-{name}.json"
        file.write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
