"""An evaluation as one HTML page that needs nothing else, and the same numbers as JSON.

Every word that comes from data (names, ids, titles) is escaped.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from nextup.domain.errors import StorageFull
from nextup.services.interval_plot import Dot, interval_plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAMES = {
    "recall": "Recall",
    "ndcg": "NDCG",
    "map": "MAP",
    "mrr": "MRR",
    "hit_rate": "Hit rate",
    "coverage": "Coverage: share of the catalogue that anybody is shown",
    "gini": "Gini: 0 all items alike, towards 1 few have all the places",
    "novelty": "Novelty: mean surprise of a place, in bits",
    "popularity_bias": "Popularity bias: 1 is faithful to people's own histories",
    "intra_list_diversity": "Diversity within a list: mean cosine distance",
}
STYLE = """
:root { color-scheme: light dark; --a: #2563a8; --b: #c2571a; --line: #8888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.says { font-size: 1.1rem; border-left: .3rem solid var(--a); padding-left: .8rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.wide { overflow-x: auto; } svg { max-width: 100%; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: currentColor; }
.a { color: var(--a); fill: var(--a); stroke: var(--a); }
.b { color: var(--b); fill: var(--b); stroke: var(--b); }
svg .axis { stroke: var(--line); } th.a, th.b { fill: none; }
"""


def write_report(document: Mapping[str, Any], file: Path) -> None:
    """Write the page, and the document beside it with the ending `.json`."""
    data = json.dumps(document, indent=2, ensure_ascii=False, default=dict)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page(document), encoding="utf-8")
        file.with_suffix(".json").write_text(data + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageFull(
            f"The report cannot be written to {file}: {error.strerror}.",
            cure="Name a file in a folder that can be written.",
        ) from error


def page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    first, second = document["models"]
    title = f"{first['name']} and {second['name']}"
    parts = [
        f"<h1>Evaluation: {escape(title)}</h1>",
        f'<p class="says">{escape(document["says"])}</p>',
        _facts(document),
        "<h2>Ranking</h2>",
        _ranking_plots(document),
        _metrics_table(document),
        f"<h2>Difference ({escape(first['name'])} less {escape(second['name'])})</h2>",
        _difference_plot(document["difference"]),
        "<h2>Segments</h2>",
        _difference_plot(document["difference_by_segment"]),
        _segments_table(document),
        "<h2>What a few people would see</h2>",
        *(_example(one, (first["name"], second["name"])) for one in document["examples"]),
        "<h2>The recipes</h2>",
        *(_recipe(one) for one in (first, second)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation: {escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _facts(document: Mapping[str, Any]) -> str:
    learned = document["learned_from"]
    return (
        f"<p>Learned from {learned['touches']:,} touches of {learned['people']:,} people and "
        f"{learned['items']:,} items; asked about {document['people']:,} people, "
        f"{escape(document['test'])}. The whole catalogue was ranked. Intervals are "
        f"{document['confidence']:.0%} bootstrap intervals over people; p is a paired "
        f"randomisation test. {escape(document['metric'])} decides; the other differences are "
        "there to look at, and some of so many would look real by chance.</p>"
    )


def _ranking_plots(document: Mapping[str, Any]) -> str:
    """One plot for each kind of metric, a row for each cutoff."""
    first, second = document["models"]
    kinds = list(dict.fromkeys(name.partition("@")[0] for name in document["difference"]))
    plots = []
    for kind in kinds:
        rows = [name for name in document["difference"] if name.partition("@")[0] == kind]
        dots = [
            (name, [_dot(model["metrics"][name], look) for model, look in _looks(first, second)])
            for name in rows
        ]
        plots.append(f"<h3>{escape(NAMES.get(kind, kind))}</h3>{interval_plot(dots)}")
    return _legend(document) + "".join(plots)


def _legend(document: Mapping[str, Any]) -> str:
    first, second = document["models"]
    return (
        f'<p><span class="a">&#9679;</span> {escape(first["name"])} &nbsp; '
        f'<span class="b">&#9679;</span> {escape(second["name"])}</p>'
    )


def _looks(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[tuple[Mapping[str, Any], str]]:
    return [(first, "a"), (second, "b")]


def _dot(interval: Sequence[float], look: str) -> Dot:
    mean, low, high = interval
    return Dot(mean, low, high, look)


def _metrics_table(document: Mapping[str, Any]) -> str:
    first, second = document["models"]
    rows = []
    for name in first["metrics"]:
        kind, _, cutoff = name.partition("@")
        label = f"{NAMES.get(kind, kind)}@{cutoff}" if cutoff else NAMES.get(kind, kind)
        figures = [_number(model["metrics"][name]) for model in (first, second)]
        rows.append([label, *figures, _difference(document["difference"].get(name))])
    for label, key in (("Seconds to train", "fit_seconds"), ("Bytes", "bytes")):
        rows.append([label, f"{first[key]:,}", f"{second[key]:,}", ""])
    return _table(["metric", first["name"], second["name"], "difference"], rows)


def _difference_plot(differences: Mapping[str, Mapping[str, Any]]) -> str:
    dots = [
        (name, [Dot(one["mean"], one["low"], one["high"], "a" if one["real"] else "axis")])
        for name, one in differences.items()
    ]
    return interval_plot(dots, around_zero=True)


def _segments_table(document: Mapping[str, Any]) -> str:
    first, second = document["models"]
    metric = document["metric"]
    rows = []
    for name, one in document["difference_by_segment"].items():
        who, _, what = name.partition(" ")
        figures = []
        for model in (first, second):
            of_people = model["by_people"].get(who, {}).get(metric)
            of_items = model["by_items"].get(f"{who} {metric}")
            figures.append(_number(of_people if what == "people" else of_items))
        rows.append([name, f"{one['people']:,}", *figures, _difference(one)])
    return _table(["segment", "people", first["name"], second["name"], "difference"], rows)


def _example(example: Mapping[str, Any], names: Sequence[str]) -> str:
    columns = ["did before, latest first", "did then", *(f"listed by {name}" for name in names)]
    lists = [example["before"], example["then"], *example["lists"]]
    depth = max(len(one) for one in lists)
    rows = [[one[place] if place < len(one) else "" for one in lists] for place in range(depth)]
    return f"<h3>{escape(example['user_id'])}</h3>" + _table(columns, rows)


def _recipe(model: Mapping[str, Any]) -> str:
    text = json.dumps(model["recipe"], indent=2, ensure_ascii=False, default=dict)
    return f"<h3>{escape(model['name'])}</h3><pre>{escape(text)}</pre>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _number(value: float | Sequence[float] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return f"{value:.4f}"
    mean, low, high = value
    return f"{mean:.4f} ({low:.4f} to {high:.4f})"


def _difference(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return ""
    real = ", real" if one["real"] else ""
    numbers = f"{one['mean']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"
    return f"{numbers}, p = {one['p_value']:.4f}{real}"
