"""Re-rank a list that the caller brings: the same sources, blend, rules and reasons as for a list
of our own, over the caller's items alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextup.domain.recommendations import Recommendation
from nextup.services.recommending.rules import rule_against
from nextup.services.recommending.sources import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextup.services.recommend import Recommender
    from nextup.services.recommending.request import Page, Request
    from nextup.services.serving_model import ServingModel

CALLER = "caller"  # the source that stands for the caller's own opinion
UNKNOWN = "unknown"  # the rule for an item that the catalogue does not have


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item of the caller's list."""

    item_id: str
    score: float | None = None  # the caller's; higher is better


@dataclass(frozen=True, slots=True)
class Reranked:
    """The list in its new order, kept under a token; and what is not in it, with the rule."""

    page: Page
    left_out: Mapping[str, str]  # item id -> rule, in the caller's order


def rerank(
    recommender: Recommender,
    request: Request,
    candidates: Sequence[Candidate],
    *,
    weight: float = 0.0,
) -> Reranked:
    """Bring the caller's items into the order that fits the person best.

    `weight` is that of the caller's own opinion in the blend: their scores, or without them
    their order. Every item that no rule keeps out is in the answer.
    """
    ids = list(dict.fromkeys(one.item_id for one in candidates))
    request = replace(request, only=tuple(ids), limit=len(ids))
    model = recommender.model()
    opinion = Source(CALLER, weight, _opinion(model, candidates))
    ranked = recommender.rank(request, extra=(opinion,) if weight > 0 else ())
    left_out = _left_out(recommender, model, request, ids)
    placed = {place.item_id for place in ranked.items}
    rest = [one for one in ids if one not in placed and one not in left_out]
    places = [Recommendation(item_id, 0.0, CALLER, {}) for item_id in rest]
    page = recommender.keep(replace(ranked, items=(*ranked.items, *places)), request.limit)
    return Reranked(page, left_out)


def _opinion(model: ServingModel, candidates: Sequence[Candidate]) -> np.ndarray:
    """The caller's scores, from the least to the best as 0 to 1; or their order, likewise."""
    scores = np.zeros(len(model.items), np.float32)
    given = [one.score for one in candidates if one.score is not None]
    low, high = min(given, default=0.0), max(given, default=0.0)
    for place, one in enumerate(candidates):
        row = model.items.index.get(one.item_id)
        if row is None:
            continue
        if not given:
            scores[row] = 1.0 - place / len(candidates)
        elif one.score is not None:
            scores[row] = (one.score - low) / (high - low) if high > low else 1.0
    return scores


def _left_out(
    recommender: Recommender, model: ServingModel, request: Request, ids: Sequence[str]
) -> dict[str, str]:
    """Of each item that is not shown, the rule that keeps it out."""
    known = recommender.details.items(ids)
    past = recommender.past(request)
    fitting = recommender.filters.mask(model.items, request.filter)
    reasons = {}
    for item_id in ids:
        against = rule_against(model.items, request, past, item_id, fitting)
        rule = against if item_id in known else UNKNOWN
        if rule is not None:
            reasons[item_id] = rule
    return reasons
