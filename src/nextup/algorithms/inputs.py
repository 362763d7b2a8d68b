"""What every model refuses, and in which words, so that all of them refuse alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.interactions import History, Interactions


def require_touches(interactions: Interactions) -> None:
    """Refuse to learn from nothing; one touch of one item by one person is enough."""
    if interactions.n_items == 0 or len(interactions) == 0:
        raise InvalidInput(
            "There is nothing to learn from: no person has touched any item.",
            cure="Ingest events first, or widen the window that is trained on.",
        )


def check_history(history: History, n_items: int) -> None:
    """Refuse items the model has never heard of, and weights that are not positive numbers."""
    items, weights = history.items, history.weights
    if not len(items) == len(weights) == len(history.times):
        raise InvalidInput("A history's items, weights and times differ in length.")
    if len(items) == 0:
        return
    if items.min() < 0 or items.max() >= n_items:
        raise InvalidInput(f"The history holds an item outside the model's 0..{n_items - 1}.")
    if not (np.isfinite(weights).all() and weights.min() > 0):
        raise InvalidInput("The history's weights must be positive, finite numbers.")


def check_people(interactions: Interactions, n_items: int) -> None:
    """Refuse people whose items are numbered by another catalogue than the model's."""
    if interactions.n_items != n_items:
        raise InvalidInput(
            f"The model knows {n_items} items, the interactions {interactions.n_items}.",
            cure="Number the items as they were when the model was trained.",
        )


def check_items(items: NDArray[np.integer], n_items: int) -> None:
    """Refuse item indices outside the catalogue."""
    if len(items) and not (items.min() >= 0 and items.max() < n_items):
        raise InvalidInput(f"An item index lies outside 0..{n_items - 1}.")


def check_item(item: int, n_items: int) -> None:
    """Refuse an item index outside the catalogue."""
    if not 0 <= item < n_items:
        raise InvalidInput(f"There is no item {item}; the model knows 0..{n_items - 1}.")


def check_limit(limit: int) -> None:
    """Refuse a list of no length; one longer than the catalogue is fine and comes out shorter."""
    if limit < 1:
        raise InvalidInput(f"A list needs room for at least one item, not {limit}.")


def check_positive(**settings: float) -> None:
    """Refuse settings that are not positive, finite numbers."""
    _check(settings, lowest=0.0, open_below=True, what="a positive, finite number")


def check_not_negative(**settings: float) -> None:
    """Refuse settings that are negative, infinite or not a number."""
    _check(settings, lowest=0.0, open_below=False, what="a finite number, not negative")


def check_below(limit: float, **settings: float) -> None:
    """Refuse settings that reach the limit."""
    for name, value in settings.items():
        if value >= limit:
            raise InvalidInput(f"{name} must be smaller than {limit:g}, not {value}.")


def check_share(**settings: float) -> None:
    """Refuse settings outside 0..1, both ends allowed."""
    for name, value in settings.items():
        if not 0.0 <= value <= 1.0:
            raise InvalidInput(f"{name} must lie between 0 and 1, not {value}.")


def _check(settings: Mapping[str, float], *, lowest: float, open_below: bool, what: str) -> None:
    for name, value in settings.items():
        if not math.isfinite(value) or value < lowest or (open_below and value == lowest):
            raise InvalidInput(f"{name} must be {what}, not {value}.")
