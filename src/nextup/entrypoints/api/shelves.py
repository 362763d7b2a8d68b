"""Shelves: lists that are the same for everybody."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from nextup.entrypoints.api.access import ItemId, Kind, Limit, Services
from nextup.entrypoints.api.bodies import Condition, ShelfAnswer, ShelfItem, Word
from nextup.entrypoints.api.keeping import response_of
from nextup.entrypoints.api.problems import problems
from nextup.ports.online_state import EVERYBODY
from nextup.services.recommending.kept_answers import Made
from nextup.services.shelves import Shelf

router = APIRouter(prefix="/v1", tags=["shelves"])

Genres = Annotated[tuple[Word, ...], Query(max_length=50, description="Any of these.")]
Where = Annotated[Condition, Query()]


@router.get("/items/{item_id}/similar", responses=problems(404, 422, 503), summary="Similar items")
def get_similar(
    item_id: ItemId,
    services: Services,
    limit: Limit = 20,
    kind: Kind = None,
    genre: Genres = (),
    filter: Where = "",  # noqa: A002 (the API's word)
) -> ShelfAnswer:
    """What goes together with this item: by what people do, by content, and where neither is
    known by genre."""
    shelf = services.shelves.similar(item_id, limit=limit, kind=kind, genres=genre, where=filter)
    return _answer(shelf)


@router.get(
    "/trending",
    response_model=ShelfAnswer,
    responses=problems(422, 503),
    summary="What trends now",
)
def get_trending(
    request: Request,
    services: Services,
    window: Annotated[
        float | None,
        Query(gt=0, allow_inf_nan=False, description="Hours to look back; default: all kept."),
    ] = None,
    kind: Kind = None,
    genre: Genres = (),
    filter: Where = "",  # noqa: A002 (the API's word)
    limit: Limit = 20,
) -> Response:
    """What many people turn to now, the latest counting most; what is popular when nobody turned
    to anything."""

    def make() -> Made:
        stamp = services.recommender.trending.stamp(window)  # the counters may be read again
        shelf = services.shelves.trending(
            limit=limit, window_hours=window, kind=kind, genres=genre, where=filter
        )
        body = _answer(shelf).model_dump_json().encode()
        return Made(body, whole=not shelf.missing, stamp=stamp)

    given = services.kept.give(EVERYBODY, f"GET /v1/trending?{request.url.query}", make)
    return response_of(given)


@router.get("/popular", responses=problems(422, 503), summary="What is popular")
def get_popular(
    services: Services,
    kind: Kind = None,
    genre: Genres = (),
    filter: Where = "",  # noqa: A002 (the API's word)
    limit: Limit = 20,
) -> ShelfAnswer:
    """What most people turned to."""
    return _answer(services.shelves.popular(limit=limit, kind=kind, genres=genre, where=filter))


def _answer(shelf: Shelf) -> ShelfAnswer:
    items = []
    for rank, (item_id, score) in enumerate(shelf.places, start=1):
        item = shelf.details.get(item_id)
        place = ShelfItem(rank=rank, item_id=item_id, score=score)
        if item is not None:
            place.title, place.kind = item.title, item.kind
            place.year, place.genres = item.year, item.genres
        items.append(place)
    return ShelfAnswer(source=shelf.source, items=items, missing=tuple(shelf.missing))
