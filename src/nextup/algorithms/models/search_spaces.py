"""What may be searched of each model: ranges that hold for any data, beside no data's answer.

A space says where the good settings of a model can lie, whoever the people are. `first_look`
makes a trial cheap before it is made in full, for the models that cost most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR, DAY = 3_600.0, 86_400.0  # seconds
FIRST_EPOCHS = 3  # of a first look
PLACE_DECAYS = (1.0, 0.98, 0.95, 0.9, 0.8)  # 1: whoever touches in no order that matters
EXACT_ITEMS = 12_000  # a closed form over all pairs of more items takes too much memory


class Whole(NamedTuple):
    """A whole number between two others, both included."""

    low: int
    high: int
    log: bool = False  # as likely to be between 8 and 16 as between 64 and 128


class Real(NamedTuple):
    """A number between two others."""

    low: float
    high: float
    log: bool = False


class OneOf(NamedTuple):
    """One of a few values."""

    options: tuple[str | bool | int | float, ...]


Dimension = Whole | Real | OneOf

SPACES: dict[str, dict[str, Dimension]] = {  # cheap ones first
    "popularity": {"weighted": OneOf((True, False))},
    "item_item": {
        "weighting": OneOf(("bm25", "cosine")),
        "neighbours": Whole(20, 500, log=True),
        "saturation": Real(0.1, 100.0, log=True),
        "length_share": Real(0.0, 1.0),
    },
    "content": {
        "genres": Real(0.0, 2.0),
        "makers": Real(0.0, 2.0),
        "keywords": Real(0.0, 2.0),
        "title": Real(0.0, 1.0),
        "weighted": OneOf((True, False)),
    },
    "next_item": {
        "half_life_seconds": Real(5 * DAY, 3_000 * DAY, log=True),
        "lag_decay": Real(0.4, 1.0),
        "place_decay": Real(0.4, 1.0),
        "popularity_penalty": Real(0.0, 1.0),
        "shrinkage": Real(0.1, 100.0, log=True),
    },
    "covisitation": {
        "session_gap_seconds": Real(HOUR, 60 * DAY, log=True),
        "half_life_seconds": Real(5 * DAY, 3_000 * DAY, log=True),
        "history_half_life_seconds": Real(DAY, 1_000 * DAY, log=True),
        "popularity_penalty": Real(0.0, 1.0),
        "neighbours": Whole(50, 500, log=True),
    },
    "als": {
        "factors": OneOf((16, 32, 64, 128, 256, 512, 1_024)),
        "regularization": Real(1e-4, 0.3, log=True),
        "unobserved_weight": Real(0.01, 1.0, log=True),
        "frequency_exponent": Real(0.0, 1.0),
        "iterations": Whole(4, 24),
    },
    "sparse_ease": {
        "regularization": Real(5.0, 2_000.0, log=True),
        "neighbours": Whole(30, 300, log=True),
        "weighted": OneOf((False, True)),
        "place_decay": OneOf(PLACE_DECAYS),
    },
    "spectral": {
        "factors": Whole(16, 1_024, log=True),
        "low_pass": Real(0.0, 2.0),
        "sharpening": Real(0.0, 3.0),
        "people_exponent": Real(0.2, 0.8),
        "item_exponent": Real(0.0, 1.0),
        "weighted": OneOf((False, True)),
    },
    "ease": {
        "regularization": Real(5.0, 5_000.0, log=True),
        "weighted": OneOf((False, True)),
        "place_decay": OneOf(PLACE_DECAYS),
    },
}


def searchable(n_items: int) -> tuple[str, ...]:
    """The models worth a search in a catalogue of so many items, cheap ones first."""
    left_out = "sparse_ease" if n_items <= EXACT_ITEMS else "ease"
    return tuple(name for name in SPACES if name != left_out)


def first_look(name: str, settings: Mapping[str, object]) -> dict[str, object] | None:
    """Settings that show at a tenth of the cost what a trial is worth; None: it is cheap enough."""
    factors = settings.get("factors")
    if name not in {"als", "spectral"} or not isinstance(factors, int) or factors < 64:
        return None
    cheap: dict[str, object] = {**settings, "factors": factors // 4}
    if name == "als":
        cheap["iterations"] = FIRST_EPOCHS
    return cheap


def inside(dimension: Dimension, value: object) -> object | None:
    """The nearest value of the dimension, or None for one that has no nearest."""
    if isinstance(dimension, OneOf):
        known = [option for option in dimension.options if option == value]
        return known[0] if known else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    bounded = min(max(value, dimension.low), dimension.high)
    return int(bounded) if isinstance(dimension, Whole) else float(bounded)
