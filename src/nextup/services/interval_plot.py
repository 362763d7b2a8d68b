"""A small plot as inline SVG: means with their intervals, one row below another."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Across = Callable[[float], float]
    """From a value to its pixel."""

WIDTH, LABELS, EDGE = 720, 150, 60  # pixels: all, names on the left, values on the right
ROW, LANE = 30, 9  # pixels: between rows, between two dots of a row
TICKS = 5


class Dot(NamedTuple):
    """A mean, its interval, and the class that gives it its colour."""

    mean: float
    low: float
    high: float
    look: str


def interval_plot(rows: Sequence[tuple[str, Sequence[Dot]]], *, around_zero: bool = False) -> str:
    """The rows from above, each with its dots; nothing to plot gives an empty text.

    The scale begins at 0, or with `around_zero` holds 0 inside and marks it.
    """
    every = [value for _, dots in rows for dot in dots for value in dot[:3]]
    if not every or not all(map(math.isfinite, every)):
        return ""
    low, high = min(0.0, *every), max(0.0, *every)
    if around_zero:
        reach = max(-low, high) or 1.0
        low, high = -reach, reach
    span = (high - low) or 1.0

    def across(value: float) -> float:
        return LABELS + (value - low) / span * (WIDTH - LABELS - EDGE)

    height = ROW * len(rows) + 28
    marks = [_tick(low + span * n / (TICKS - 1), across, height) for n in range(TICKS)]
    drawn = [_row(name, dots, ROW * place + 18, across) for place, (name, dots) in enumerate(rows)]
    names = ", ".join(name for name, _ in rows)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(names)}">{"".join(marks)}{"".join(drawn)}</svg>'
    )


def _tick(value: float, across: Across, height: int) -> str:
    x = f"{across(value):.1f}"
    return (
        f'<line class="axis" x1="{x}" x2="{x}" y1="4" y2="{height - 22}"/>'
        f'<text x="{x}" y="{height - 6}" text-anchor="middle">{value:.4g}</text>'
    )


def _row(name: str, dots: Sequence[Dot], y: float, across: Across) -> str:
    drawn = [f'<text x="0" y="{y + 4:.1f}">{escape(name)}</text>']
    for place, dot in enumerate(dots):
        lane = y + (place - (len(dots) - 1) / 2) * LANE
        drawn.append(
            f'<g class="{escape(dot.look)}"><title>{dot.mean:.4f} ({dot.low:.4f} to '
            f'{dot.high:.4f})</title><line x1="{across(dot.low):.1f}" '
            f'x2="{across(dot.high):.1f}" y1="{lane:.1f}" y2="{lane:.1f}" stroke-width="2"/>'
            f'<circle cx="{across(dot.mean):.1f}" cy="{lane:.1f}" r="4"/></g>'
        )
    return "".join(drawn)
