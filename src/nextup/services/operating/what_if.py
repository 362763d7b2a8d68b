"""What if? How a person's list comes about, step by step: now, at an earlier moment, or under
another model. Nothing is kept, and nobody is served."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextup.algorithms.lists.selection import best_items
from nextup.domain.errors import Conflict, NotFound
from nextup.services.artifacts import load_artifact
from nextup.services.operating.past import PastState, model_then
from nextup.services.recommend import Recommender, utc_now
from nextup.services.recommending.blend import blend
from nextup.services.recommending.levels import Levels
from nextup.services.recommending.rules import apply_rules
from nextup.services.serving_model import Outlined, build_serving_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from nextup.domain.items import Item
    from nextup.domain.recommendations import ServedList
    from nextup.ports.online_state import OnlineState
    from nextup.services.recommending.request import Request
    from nextup.services.serving import ServingPorts
    from nextup.services.serving_model import ServingModel

PREVIOUS = "previous"  # stands for the model that served before


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item as one source sees it."""

    item_id: str
    score: float  # the source's own
    part: float  # of the common score: the source's scale times its score
    allowed: bool  # whether the rules let it in


@dataclass(frozen=True, slots=True)
class Opinion:
    """One source, with its best candidates."""

    source: str
    weight: float
    scale: float  # multiplied with its scores in the blend
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Inspection:
    """How one list came about."""

    served: ServedList
    consumed: int  # items of the person's past that are not shown again
    wanted: Sequence[str]  # items of the past that the model takes into account, oldest first
    allowed: int  # items that the rules let in
    items: int  # in the catalogue, as far as the model knows it
    opinions: Sequence[Opinion]
    details: Mapping[str, Item]


class Inspector:
    """Looks at lists without serving them. Safe to share between threads."""

    def __init__(
        self, model: Callable[[], ServingModel], clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._model = model
        self._clock = clock
        self._loading = threading.Lock()
        self._other: ServingModel | None = None  # the last other model that was asked for

    def inspect(
        self,
        ports: ServingPorts,
        request: Request,
        *,
        model_id: str | None = None,
        as_of: datetime | None = None,
        candidates: int = 20,
    ) -> Inspection:
        """The list with its sources' best candidates. `model_id` may be `previous`; with `as_of`
        and no model it is the one that was in service then. Raises NotFound for a model that
        does not exist, Conflict where none served before."""
        if model_id is None and as_of is not None:
            then = model_then(ports.control.models(), as_of)
            model_id = then.model_id if then else None
        model = self._model_named(ports, model_id)
        state: OnlineState = ports.online_state
        clock = self._clock
        if as_of is not None:
            state, clock = PastState(state, as_of), lambda: as_of
        return _inspection(ports, model, request, state, clock, candidates)

    def _model_named(self, ports: ServingPorts, model_id: str | None) -> ServingModel:
        current = self._model()
        if model_id == PREVIOUS:
            earlier = ports.control.previous_models()
            if not earlier:
                raise Conflict(
                    "No model was in service before this one.",
                    cure="GET /v1/operations/models lists all.",
                )
            model_id = earlier[0]
        if model_id is None or model_id == current.model_id:
            return current
        with self._loading:  # loading joins a model with the whole catalogue
            if self._other is None or self._other.model_id != model_id:
                if ports.control.model(model_id) is None:
                    raise NotFound(
                        f"There is no model '{model_id}'.",
                        cure="GET /v1/operations/models lists all.",
                    )
                artifact = load_artifact(ports.files, model_id)
                self._other = build_serving_model(artifact, Outlined(ports.catalog).all_items())
            return self._other


def _inspection(
    ports: ServingPorts,
    model: ServingModel,
    request: Request,
    state: OnlineState,
    clock: Callable[[], datetime],
    candidates: int,
) -> Inspection:
    recommender = Recommender(
        state=state,
        lists=ports.recommendation_store,
        catalog=ports.catalog,
        model=lambda: model,
        settings=ports.settings,
        clock=clock,
    )
    served = recommender.rank(request)
    levels = Levels(state, ports.recommendation_store, recommender.trending, ports.settings, clock)
    now = levels.look(model, request)
    fitting = recommender.filters.mask(model.items, request.filter)
    allowed = apply_rules(model.items, request, now.taste.past, (), fitting)
    _, sources = levels.opinions(now, request, allowed.mask)
    blended = blend(sources, allowed.mask)
    opinions = []
    for source, scale in zip(sources, blended.scales, strict=True):
        best = best_items(source.scores, candidates, allowed=source.scores > 0)
        found = [
            Candidate(model.items.ids[row], score, score * scale, bool(allowed.mask[row]))
            for row, score in zip(best.items.tolist(), best.scores.tolist(), strict=True)
        ]
        opinions.append(Opinion(source.name, source.weight, scale, found))
    named = {one.item_id for opinion in opinions for one in opinion.candidates}
    named |= {place.item_id for place in served.items[:candidates]}
    named |= {reason.item_id for place in served.items for reason in place.because}
    return Inspection(
        served=served,
        consumed=len(now.taste.past.consumed),
        wanted=list(now.taste.past.items),
        allowed=int(allowed.mask.sum()),
        items=len(model.items),
        opinions=opinions,
        details=ports.catalog.items(named),
    )
