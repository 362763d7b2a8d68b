"""Why an item is where it is: sources, the person's own items behind it, rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.components import Explains
from nextup.domain.recommendations import Because, Recommendation
from nextup.services.recommending import rules

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.interactions import History
    from nextup.services.recommending.blend import Blend
    from nextup.services.serving_model import Rows, ServingModel

ORDER = "reranker"  # what the learned order added to a score, or took from it
REASONS = 3  # own items named per place
LEAST = 0.02  # a smaller part explains nothing


def explain(
    model: ServingModel,
    blended: Blend,
    chosen: Rows,
    *,
    history: History | None,
    pinned: Rows,
) -> list[Recommendation]:
    """The chosen items as places of a list; without a history they name no own items."""
    parts = blended.parts(chosen)  # (sources, places)
    names = [source.name for source in blended.sources]
    strongest = parts.argmax(axis=0) if parts.size else parts
    strongest = np.where(parts.any(axis=0), strongest, len(names) - 1).tolist()  # the floor is last
    reasons = because(model, blended, chosen, history)
    acted = rules_by_place(blended.total[chosen], chosen, pinned)
    columns = parts.T.tolist()
    moves = [0.0] * len(chosen) if blended.moved is None else blended.moved[chosen].tolist()
    told = []
    for place, row in enumerate(chosen.tolist()):
        column = columns[place]
        given = {name: part for name, part in zip(names, column, strict=True) if part > 0}
        score = sum(column) + moves[place]
        if moves[place]:
            given[ORDER] = moves[place]
        source = names[strongest[place]]
        told.append(
            Recommendation(model.items.ids[row], score, source, given, reasons[place], acted[place])
        )
    return told


def rules_by_place(
    scores: NDArray[np.float32], chosen: Rows, pinned: Rows
) -> list[tuple[str, ...]]:
    """Which rule put a place where it is: a pin, or a lift over places with a higher score."""
    best_below = np.maximum.accumulate(scores[::-1])[::-1]  # of this place and all after it
    is_pinned = np.isin(chosen, pinned).tolist()
    lifted = (scores < best_below).tolist()
    return [
        (rules.PINNED,) if pinned_here else (rules.DIVERSIFIED,) if lifted_here else ()
        for pinned_here, lifted_here in zip(is_pinned, lifted, strict=True)
    ]


def because(
    model: ServingModel, blended: Blend, chosen: Rows, history: History | None
) -> list[tuple[Because, ...]]:
    """The own items that gave most of each place's score, the strongest first."""
    if history is None or not len(history) or not len(chosen):
        return [()] * len(chosen)
    given = contributions(model, blended, chosen, history)  # (h, places)
    shape = (len(chosen), min(REASONS, len(history)))
    order, best = np.empty(shape, np.int32), np.empty(shape, np.float32)
    native.kernels.main_reasons(given, order, best)
    own = history.items[order].tolist()
    ids = model.items.ids
    reasons = []
    for rows, parts in zip(own, best.tolist(), strict=True):
        named = zip(rows, parts, strict=True)
        reasons.append(tuple([Because(ids[row], share) for row, share in named if share >= LEAST]))
    return reasons


def contributions(
    model: ServingModel, blended: Blend, chosen: Rows, history: History
) -> NDArray[np.float32]:
    """What each touch gave to each place's common score, (h, places), as far as the sources
    can tell."""
    given = np.zeros((len(history), len(chosen)), np.float32)
    known = chosen < model.n_known
    rows = chosen[known]
    told = given if len(rows) == len(chosen) else given[:, known]
    for source, scale in zip(blended.sources, blended.scales, strict=True):
        if scale > 0 and isinstance(source.component, Explains):
            part = source.component.contributions(history, rows)
            counts = source.scores[rows] > 0  # a score below zero is no part of the blend
            told += part * np.where(counts, np.float32(scale), np.float32(0.0))
    if told is not given:
        given[:, known] = told
    return given
