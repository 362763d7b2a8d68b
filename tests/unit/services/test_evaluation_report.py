from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.domain.errors import StorageFull
from nextup.services.evaluation_report import page, write_report
from nextup.services.interval_plot import Dot, interval_plot
from nextup.services.tune_blend import Point, frontier, outline

NASTY = "<script>alert('\"&')</script>"
finite = st.floats(-1e6, 1e6)


def document(text=NASTY):
    judged = {"mean": 0.1, "low": -0.1, "high": 0.3, "p_value": 0.2, "people": 5, "real": False}
    model = {
        "name": text,
        "recipe": {"models": {text: {}}, "blend": {text: 1.0}},
        "fit_seconds": 1.5,
        "bytes": 100,
        "metrics": {"ndcg@10": [0.2, 0.1, 0.3], "coverage": 0.5},
        "by_people": {"light": {"people": 5, "ndcg@10": [0.2, 0.1, 0.3]}},
        "by_items": {"old ndcg@10": [0.2, 0.1, 0.3]},
    }
    return {
        "says": text,
        "test": text,
        "people": 5,
        "learned_from": {"people": 5, "items": 7, "touches": 9},
        "confidence": 0.95,
        "metric": "ndcg@10",
        "models": [model, {**model, "name": "other"}],
        "difference": {"ndcg@10": judged},
        "difference_by_segment": {"light people": judged, "old items": judged},
        "examples": [
            {"user_id": text, "before": [text], "then": [text, text], "lists": [[text], []]}
        ],
    }


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in {"meta", "line", "circle"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_names_titles_and_ids_are_escaped():
    """Whatever is in the data, the page has no element of it, and shows it as it is."""
    text = page(document())
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("table") == page(document("plain")).count("<table")


def test_the_page_and_the_document_are_written(tmp_path):
    """Both files are there, in a folder that is made for them; a bad place is one clear error."""
    file = tmp_path / "new" / "report.html"
    write_report(document(), file)
    assert file.read_text(encoding="utf-8") == page(document())
    assert json.loads(file.with_suffix(".json").read_text(encoding="utf-8")) == document()
    with pytest.raises(StorageFull, match="cannot be written"):
        write_report(document(), file / "below-a-file.html")


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"])),
            st.lists(st.tuples(finite, finite, finite), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    around_zero=st.booleans(),
)
def test_a_plot_is_well_formed_and_inside_its_frame(rows, around_zero):
    """Any names and numbers give valid SVG whose marks lie in the frame."""
    named = [(name, [Dot(*sorted_dot(dot), "a") for dot in dots]) for name, dots in rows]
    svg = interval_plot(named, around_zero=around_zero)
    root = ElementTree.fromstring(svg)
    width = float(root.get("width"))
    for place in re.findall(r'(?:x1|x2|cx)="([-\d.]+)"', svg):
        assert 0 <= float(place) <= width
    assert len(root.findall(".//circle")) == sum(len(dots) for _, dots in rows)


def sorted_dot(dot):
    low, mean, high = sorted(dot)
    return mean, low, high


def test_nothing_to_plot_is_no_plot():
    """No rows, and numbers without an end, give an empty text."""
    assert interval_plot([]) == ""
    assert interval_plot([("a", [Dot(1.0, 0.0, float("inf"), "a")])]) == ""


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Point, st.just({}), st.floats(0, 1), st.integers(0, 5).map(float), st.integers(0, 5)
        )
    )
)
def test_the_frontier_is_what_nothing_beats(points):
    """No point of the frontier is beaten by any point; every point left out is matched by one."""

    def is_as_good(one, other):
        return (
            one.quality >= other.quality
            and one.fit_seconds <= other.fit_seconds
            and one.size <= other.size
        )

    kept = frontier(points)
    for one in kept:
        assert not any(is_as_good(other, one) and not is_as_good(one, other) for other in points)
    for one in points:
        assert any(is_as_good(other, one) for other in kept)


@given(st.lists(st.floats(0, 1), max_size=30))
@settings(deadline=None)
def test_the_outline_climbs_to_the_best(qualities):
    """Shown points get better from one to the next, and the best is among them."""
    points = [Point({}, quality, float(place), 0) for place, quality in enumerate(qualities)]
    shown = [point.quality for point in outline(points)]
    assert shown == sorted(set(shown))
    assert shown[-1:] == [max(qualities)] if any(qualities) else shown == []
