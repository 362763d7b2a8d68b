"""Re-rank a list that the caller brings."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from nextup.entrypoints.api.access import Measured, Services
from nextup.entrypoints.api.bodies import (
    AnonymousTouch,
    Body,
    Condition,
    Id,
    Recommendations,
    Word,
)
from nextup.entrypoints.api.keeping import response_of
from nextup.entrypoints.api.problems import problems
from nextup.entrypoints.api.recommendations import answer, touches_of
from nextup.services.recommending.kept_answers import Given, Made
from nextup.services.recommending.request import Request
from nextup.services.rerank import Candidate, rerank
from nextup.services.serving import Serving

router = APIRouter(prefix="/v1", tags=["recommendations"])


class ScoredItem(Body):
    """An item of the caller's list with the caller's own score."""

    item_id: Id
    score: FiniteFloat | None = Field(None, description="Higher is better.")


class RerankRequest(Body):
    """The list, and whom it is for: a person, or a history without a name."""

    items: list[Id | ScoredItem] = Field(
        min_length=1, max_length=1_000, description="In the caller's order, the best first."
    )
    user_id: Id | None = None
    history: list[Id | AnonymousTouch] | None = Field(None, max_length=1_000)
    weight: float = Field(
        0.0, ge=0, le=100, description="Of the caller's own opinion; our sources have about 1."
    )
    drop_seen: bool = Field(False, description="Leave out what the person has consumed already.")
    limit: int | None = Field(None, ge=1, le=1_000, description="Default: all.")
    kind: Word | None = None
    genres: list[Word] = Field([], max_length=50)
    filter: Condition = ""
    exclude: list[Id] = Field([], max_length=10_000)
    pin: list[Id] = Field([], max_length=50)
    diversity: float | None = Field(None, ge=0, le=1)
    explain: bool = True

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "u-1", "items": ["film-1", "film-2", "film-3"]},
                {
                    "history": ["film-9"],
                    "items": [{"item_id": "film-1", "score": 0.9}, {"item_id": "film-2"}],
                    "weight": 0.5,
                },
            ]
        }
    )


class LeftOut(BaseModel):
    """An item that is not in the answer, and the rule that keeps it out."""

    item_id: str
    rule: str = Field(
        description="unknown, unavailable, filter, kind, genres, seen, dismissed or excluded."
    )


class RerankAnswer(Recommendations):
    """The caller's items in their new order."""

    left_out: list[LeftOut]


@router.post(
    "/rerank",
    response_model=RerankAnswer,
    responses=problems(400, 413, 422, 503),
    summary="In which order would this person like these?",
)
def post_rerank(body: RerankRequest, services: Services, metrics: Measured) -> Response:
    """The caller's items, ranked by the same sources, rules and reasons as our own lists. All
    that no rule keeps out come back; what our sources know nothing about comes last, in the
    caller's order. The list has a token: clicks on it are counted, and it can be replayed."""

    def make() -> Made:
        made = _ranked(body, services)
        whole = bool(made.token) and not made.missing
        return Made(made.model_dump_json().encode(), made.level, whole)

    if body.user_id and body.history is None:
        question = f"POST /v1/rerank {body.model_dump_json()}"
        given = services.kept.give(body.user_id, question, make)
    else:  # a history without a name: no event of anybody's would change the answer
        given = Given(*make()[:2], "")
    metrics.served.labels(given.level).inc()
    return response_of(given)


def _ranked(body: RerankRequest, services: Serving) -> RerankAnswer:
    request = Request(
        body.user_id or "",
        kind=body.kind,
        genres=tuple(body.genres),
        exclude=tuple(body.exclude),
        pinned=tuple(body.pin),
        diversity=body.diversity,
        explain=body.explain,
        touches=None if body.history is None else touches_of(body.history),
        filter=body.filter,
        seen=not body.drop_seen,
    )
    candidates = [
        Candidate(one) if isinstance(one, str) else Candidate(one.item_id, one.score)
        for one in body.items
    ]
    found = rerank(services.recommender, request, candidates, weight=body.weight)
    told = answer(found.page, "", 0)
    shown = told.items if body.limit is None else told.items[: body.limit]
    return RerankAnswer(
        **told.model_dump(exclude={"items", "next", "next_page"}),
        items=shown,
        next=None,
        next_page=None,
        left_out=[LeftOut(item_id=one, rule=rule) for one, rule in found.left_out.items()],
    )
