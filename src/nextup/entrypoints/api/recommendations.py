"""Lists for one person: ranked, continued, replayed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote, urlencode

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Response
from fastapi import Request as HttpRequest

from nextup.domain.events import to_microseconds
from nextup.domain.items import Item
from nextup.domain.recommendations import Recommendation, Touch
from nextup.entrypoints.api.access import Ids, Kind, Limit, Measured, Services, UserId
from nextup.entrypoints.api.bodies import (
    AnonymousRequest,
    AnonymousTouch,
    Condition,
    Place,
    Reason,
    Recommendations,
    Word,
)
from nextup.entrypoints.api.encoding import encoded, shown
from nextup.entrypoints.api.keeping import response_of
from nextup.entrypoints.api.problems import problems
from nextup.services.recommending.kept_answers import Given, Made
from nextup.services.recommending.request import Page, Request
from nextup.services.serving import Serving

router = APIRouter(prefix="/v1", tags=["recommendations"])

RANKING = 8  # threads: more that compute at once get in each other's way, and in that of the loop

PageToken = Annotated[
    str | None, Query(max_length=200, description="Continue a list; its own wishes still hold.")
]
Share = Annotated[float | None, Query(ge=0, le=1)]
Genres = Annotated[tuple[Word, ...], Query(max_length=50, description="Any of these.")]


@router.get(
    "/users/{user_id}/recommendations",
    response_model=Recommendations,
    responses=problems(404, 422, 503),
    summary="What should this person see next?",
)
async def get_recommendations(
    request: HttpRequest,
    services: Services,
    metrics: Measured,
    user_id: UserId,
    limit: Limit = 20,
    page: PageToken = None,
    kind: Kind = None,
    genre: Genres = (),
    exclude: Ids = (),
    pin: Ids = (),
    filter: Annotated[Condition, Query()] = "",  # noqa: A002 (the API's word)
    diversity: Share = None,
    explain: bool = True,
) -> Response:
    """The first page ranks a whole list and keeps it; `next` continues that very list, without
    repeats and gaps, whatever happens meanwhile. `level` says who answered."""
    ranking = request.app.state.ranking
    if page is not None:
        found = await run_sync(
            lambda: services.recommender.next_page(page, limit=limit, user_id=user_id),
            limiter=ranking,
        )
        metrics.served.labels(found.served.level.value).inc()
        wanted = services.settings.recommend.attributes
        body = encoded(found, _path_of(user_id), limit, wanted)
        return Response(body, media_type="application/json")
    wish = Request(
        user_id,
        limit,
        kind,
        genre,
        exclude,
        pin,
        diversity,
        explain,
        filter=filter,
    )
    given = await run_sync(give, services, wish, request.url.query, limiter=ranking)
    metrics.served.labels(given.level).inc()
    return response_of(given)


def give(services: Serving, wish: Request, query: str) -> Given:
    """The first page for a person, as it may be kept for all servers; `query` asked for it."""
    path = _path_of(wish.user_id)

    def make() -> Made:
        made = services.recommender.recommend(wish)
        whole = bool(made.served.token) and not made.missing
        body = encoded(made, path, wish.limit, services.settings.recommend.attributes)
        return Made(body, made.served.level.value, whole)

    return services.kept.give(wish.user_id, f"GET {path}?{query}", make)


def _path_of(user_id: str) -> str:
    return f"/v1/users/{quote(user_id, safe='')}/recommendations"


@router.post(
    "/recommendations",
    response_model=Recommendations,
    responses=problems(400, 404, 413, 422, 503),
    summary="What fits this history?",
)
def post_recommendations(
    body: AnonymousRequest, services: Services, metrics: Measured
) -> Recommendations:
    """For somebody without a name: the history comes with the request and is not remembered as
    anybody's."""
    if body.page is not None:
        found = services.recommender.next_page(body.page, limit=body.limit)
    else:
        found = services.recommender.recommend(
            Request(
                "",
                body.limit,
                body.kind,
                tuple(body.genres),
                tuple(body.exclude),
                tuple(body.pin),
                body.diversity,
                body.explain,
                touches_of(body.history),
                filter=body.filter,
            )
        )
    metrics.served.labels(found.served.level.value).inc()
    wanted = services.settings.recommend.attributes
    return answer(found, "/v1/recommendations", body.limit, wanted)


@router.get(
    "/recommendations",
    response_model=Recommendations,
    responses=problems(404, 422, 503),
    summary="The next page of a list made from a history",
)
def get_next_recommendations(
    services: Services,
    metrics: Measured,
    page: Annotated[str, Query(max_length=200)],
    limit: Limit = 20,
) -> Recommendations:
    """Where the `next` of `POST /v1/recommendations` leads."""
    found = services.recommender.next_page(page, limit=limit)
    metrics.served.labels(found.served.level.value).inc()
    return answer(found, "/v1/recommendations", limit, services.settings.recommend.attributes)


@router.get(
    "/served/{token}",
    response_model=Recommendations,
    responses=problems(404, 422, 503),
    summary="What did this person see?",
)
def get_served(
    services: Services, token: Annotated[str, Path(min_length=1, max_length=200)]
) -> Recommendations:
    """All that the list's pages showed, in order, with the reasons of then."""
    return answer(services.recommender.replay(token), "", 0, services.settings.recommend.attributes)


def answer(found: Page, path: str, limit: int, attributes: Sequence[str] = ()) -> Recommendations:
    """A page as the API shows it; `next` leads on along `path`."""
    served = found.served
    link = f"{path}?{urlencode({'page': found.next, 'limit': limit})}" if found.next else None
    return Recommendations(
        user_id=served.user_id,
        level=served.level.value,
        model_id=served.model_id,
        served_at=served.served_at,
        token=served.token or None,
        items=[
            place_of(rank, place, found.details, attributes)
            for rank, place in zip(found.ranks, found.places, strict=True)
        ],
        rules=served.rules,
        missing=tuple(found.missing),
        next_page=found.next,
        next=link,
    )


def place_of(
    rank: int,
    place: Recommendation,
    details: Mapping[str, Item],
    attributes: Sequence[str] = (),
) -> Place:
    """A place of a list, with what the catalogue says about it."""
    item = details.get(place.item_id)
    return Place(
        rank=rank,
        item_id=place.item_id,
        score=place.score,
        title=item.title if item else "",
        kind=item.kind if item else "",
        year=item.year if item else None,
        genres=item.genres if item else (),
        attributes=shown(item, attributes) if item else {},
        source=place.source,
        sources=dict(place.sources),
        because=[
            Reason(
                item_id=reason.item_id,
                title=details[reason.item_id].title if reason.item_id in details else "",
                share=reason.share,
            )
            for reason in place.because
        ],
        rules=place.rules,
    )


def touches_of(history: Sequence[str | AnonymousTouch]) -> tuple[Touch, ...]:
    """A history that comes with the request; an id alone is a like of now."""
    now = datetime.now(UTC)
    touches = [AnonymousTouch(item_id=one) if isinstance(one, str) else one for one in history]
    return tuple(
        Touch(
            touch.item_id,
            touch.type.value,
            touch.value,
            to_microseconds(_in_utc(touch.occurred_at or now)),
            offset,
        )
        for offset, touch in enumerate(touches)
    )


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
