"""How a list comes about: taken apart for an operator, now, earlier, or under another model."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import APIRouter

from nextup.domain.errors import InvalidInput
from nextup.domain.items import Item
from nextup.entrypoints.api.access import Services
from nextup.entrypoints.api.operations_bodies import (
    CandidateAnswer,
    ListAnatomy,
    OpinionAnswer,
    WhatIfAnswer,
    WhatIfRequest,
)
from nextup.entrypoints.api.problems import problems
from nextup.entrypoints.api.recommendations import place_of
from nextup.services.operating.what_if import Inspection
from nextup.services.recommending.request import Request
from nextup.services.serving import Serving

router = APIRouter(prefix="/v1/operations", tags=["operations"])

CANDIDATES = 20  # of each source


@router.post(
    "/what-if", responses=problems(400, 404, 409, 413, 422, 503), summary="Take a list apart"
)
def what_if(body: WhatIfRequest, services: Services) -> WhatIfAnswer:
    """Each source's candidates and scores, the rules, and the list that comes of them. `as_of`
    asks for the person's past of then, and the model of then unless another is named; `compare`
    adds the same under another model. Nobody is served, nothing is kept."""
    as_of = body.as_of
    if as_of is not None and as_of.tzinfo is None:
        as_of = as_of.replace(tzinfo=UTC)
    _check_moment(as_of)
    return WhatIfAnswer(
        user_id=body.user_id,
        as_of=as_of,
        list=_anatomy(body, services, body.model_id, as_of),
        compared=None if body.compare is None else _anatomy(body, services, body.compare, as_of),
    )


def _check_moment(as_of: datetime | None) -> None:
    if as_of is not None and not 1970 <= as_of.year <= datetime.now(UTC).year:
        raise InvalidInput(
            "as_of is not a moment of the past.", cure="Write it as 2026-11-20T08:00:00Z."
        )


def _anatomy(
    body: WhatIfRequest, services: Serving, model_id: str | None, as_of: datetime | None
) -> ListAnatomy:
    request = Request(
        body.user_id,
        body.limit,
        body.kind,
        tuple(body.genres),
        tuple(body.exclude),
        tuple(body.pin),
        body.diversity,
        filter=body.filter or "",
    )
    found = services.operating.inspector.inspect(
        services.ports, request, model_id=model_id, as_of=as_of, candidates=CANDIDATES
    )
    return _told(found, body.limit)


def _told(found: Inspection, limit: int) -> ListAnatomy:
    served = found.served
    return ListAnatomy(
        model_id=served.model_id,
        level=served.level.value,
        items=[
            place_of(rank, place, found.details)
            for rank, place in enumerate(served.items[:limit], start=1)
        ],
        rules=list(served.rules),
        missing=list(served.missing),
        history=list(found.wanted),
        consumed=found.consumed,
        allowed=found.allowed,
        catalogue=found.items,
        sources=[
            OpinionAnswer(
                source=opinion.source,
                weight=opinion.weight,
                scale=opinion.scale,
                candidates=[
                    CandidateAnswer(
                        item_id=one.item_id,
                        title=_title(one.item_id, found.details),
                        score=one.score,
                        part=one.part,
                        allowed=one.allowed,
                    )
                    for one in opinion.candidates
                ],
            )
            for opinion in found.opinions
        ],
    )


def _title(item_id: str, details: Mapping[str, Item]) -> str:
    return details[item_id].title if item_id in details else ""
