"""The catalogue, and the shelves that are the same for everybody."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from nextup.domain.errors import InvalidInput, NotFound
from nextup.entrypoints.api.access import ItemId, Kind, Limit, Services
from nextup.entrypoints.api.bodies import (
    ItemAnswer,
    ItemBody,
    ItemsAnswer,
    ItemsBody,
    ItemsPut,
    ShelfAnswer,
    ShelfItem,
    Text,
)
from nextup.entrypoints.api.problems import problems
from nextup.services.shelves import Shelf

router = APIRouter(prefix="/v1", tags=["items"])


@router.get("/items", response_model=ItemsAnswer, responses=problems(422, 503))
def search_items(
    services: Services,
    q: Annotated[Text, Query(description="A part of the title.")] = "",
    kind: Kind = None,
    limit: Limit = 20,
) -> ItemsAnswer:
    """Items whose title contains the text; titles that start with it come first."""
    found = services.ports.catalog.search_items(q, kind=kind, limit=limit)
    return ItemsAnswer(items=[ItemAnswer.of(item) for item in found])


@router.post("/items/batch", response_model=ItemsPut, responses=problems(400, 413, 422, 503))
def put_items(body: ItemsBody, services: Services) -> ItemsPut:
    """Insert or replace many items; all are kept, or none."""
    most = services.settings.server.max_batch
    if len(body.items) > most:
        raise InvalidInput(
            f"The batch has {len(body.items)} items, more than {most}.",
            cure="Send several batches.",
        )
    count = services.ports.catalog.put_items(item.item(item.item_id) for item in body.items)
    services.watcher.note_changed_items()
    return ItemsPut(items=count)


@router.get("/items/{item_id}", response_model=ItemAnswer, responses=problems(404, 422, 503))
def get_item(item_id: ItemId, services: Services) -> ItemAnswer:
    """One item."""
    item = services.ports.catalog.item(item_id)
    if item is None:
        raise _unknown(item_id)
    return ItemAnswer.of(item)


@router.put("/items/{item_id}", response_model=ItemAnswer, responses=problems(400, 413, 422, 503))
def put_item(item_id: ItemId, body: ItemBody, services: Services) -> ItemAnswer:
    """Insert or replace one item. One that is not available is not recommended from now on."""
    item = body.item(item_id)
    services.ports.catalog.put_items([item])
    services.watcher.note_changed_items()
    return ItemAnswer.of(item)


@router.delete("/items/{item_id}", status_code=204, responses=problems(404, 422, 503))
def delete_item(item_id: ItemId, services: Services) -> Response:
    """Remove one item from the catalogue; it is not recommended from now on."""
    if not services.ports.catalog.delete_item(item_id):
        raise _unknown(item_id)
    services.watcher.note_changed_items()
    return Response(status_code=204)


@router.get(
    "/items/{item_id}/similar", response_model=ShelfAnswer, responses=problems(404, 422, 503)
)
def get_similar(
    item_id: ItemId, services: Services, limit: Limit = 20, kind: Kind = None
) -> ShelfAnswer:
    """What goes together with this item."""
    return _answer(services.shelves.similar(item_id, limit=limit, kind=kind))


@router.get("/trending", response_model=ShelfAnswer, responses=problems(422))
def get_trending(
    services: Services,
    window: Annotated[
        float | None, Query(gt=0, description="Hours to look back; all that is kept if not given.")
    ] = None,
    kind: Kind = None,
    limit: Limit = 20,
) -> ShelfAnswer:
    """What many people turn to now, the latest counting most; what is popular when nobody turned
    to anything."""
    return _answer(services.shelves.trending(limit=limit, window_hours=window, kind=kind))


@router.get("/popular", response_model=ShelfAnswer, responses=problems(422))
def get_popular(services: Services, kind: Kind = None, limit: Limit = 20) -> ShelfAnswer:
    """What most people turned to."""
    return _answer(services.shelves.popular(limit=limit, kind=kind))


def _unknown(item_id: str) -> NotFound:
    return NotFound(f"There is no item '{item_id}'.", cure="GET /v1/items?q= finds items.")


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
