"""The catalogue: items one by one, in bulk, and searched."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

from nextup.domain.errors import InvalidInput, NotFound
from nextup.domain.items import Item
from nextup.entrypoints.api.access import ItemId, Kind, Limit, Services
from nextup.entrypoints.api.bodies import (
    Condition,
    ItemAnswer,
    ItemBody,
    ItemRow,
    ItemsAnswer,
    ItemsBody,
    ItemsPut,
    NamedItemBody,
    Text,
)
from nextup.entrypoints.api.cursors import Cursor, read_cursor, write_cursor
from nextup.entrypoints.api.problems import problems
from nextup.ports.catalog import Mark
from nextup.services.items import browse

router = APIRouter(prefix="/v1/items", tags=["items"])


@router.get("", responses=problems(422, 503), summary="Search items")
def search_items(
    services: Services,
    q: Annotated[Text, Query(description="A part of the title, in any case.")] = "",
    filter: Annotated[Condition, Query()] = "",  # noqa: A002 (the API's word)
    kind: Kind = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ItemsAnswer:
    """Items whose title contains the text; titles that start with it come first, each group by
    title. Pages repeat nothing and skip nothing, whatever is put or deleted meanwhile."""
    after = None if cursor is None else read_cursor(cursor, Mark)
    page = browse(services.ports.catalog, q, kind=kind, where=filter, after=after, limit=limit)
    following = None if page.next is None else write_cursor(page.next)
    again = {"q": q, "filter": filter, "kind": kind or "", "limit": limit, "cursor": following}
    link = urlencode({name: value for name, value in again.items() if value})
    return ItemsAnswer(
        items=[ItemAnswer.of(item) for item in page.items],
        next_cursor=following,
        next=following and f"/v1/items?{link}",
    )


@router.post("/batch", responses=problems(400, 413, 422, 503), summary="Put many items")
def put_items(body: ItemsBody, services: Services) -> ItemsPut:
    """Insert or replace. Each row is judged by itself: good ones are kept, at once and together,
    and of bad ones it is said what is wrong."""
    most = services.settings.server.max_batch
    if len(body.items) > most:
        raise InvalidInput(
            f"The batch has {len(body.items)} items, more than {most}.",
            cure="Send several batches.",
        )
    items: list[Item] = []
    rows = []
    for number, record in enumerate(body.items):
        judged = _judged(record)
        if isinstance(judged, Item):
            items.append(judged)
            rows.append(ItemRow(row=number, status="kept", item_id=judged.item_id, reason=None))
        else:
            rows.append(ItemRow(row=number, status="rejected", reason=judged))
    if items:
        services.ports.catalog.put_items(items)
        services.note_changed_items()
    return ItemsPut(items=len(items), rejected=len(rows) - len(items), rows=rows)


@router.get("/{item_id}", responses=problems(404, 422, 503), summary="One item")
def get_item(item_id: ItemId, services: Services) -> ItemAnswer:
    """As the catalogue holds it."""
    item = services.ports.catalog.item(item_id)
    if item is None:
        raise unknown_item(item_id)
    return ItemAnswer.of(item)


@router.put("/{item_id}", responses=problems(400, 413, 422, 503), summary="Put one item")
def put_item(item_id: ItemId, body: ItemBody, services: Services) -> ItemAnswer:
    """Insert or replace. One that is not available is not recommended from now on."""
    item = body.item(item_id)
    services.ports.catalog.put_items([item])
    services.note_changed_items()
    return ItemAnswer.of(item)


@router.delete(
    "/{item_id}", status_code=204, responses=problems(404, 422, 503), summary="Delete one item"
)
def delete_item(item_id: ItemId, services: Services) -> Response:
    """It is not recommended from now on; what people did with it stays."""
    if not services.ports.catalog.delete_item(item_id):
        raise unknown_item(item_id)
    services.note_changed_items()
    return Response(status_code=204)


def unknown_item(item_id: str) -> NotFound:
    """The error for an item that does not exist."""
    return NotFound(f"There is no item '{item_id}'.", cure="GET /v1/items?q= finds items.")


def _judged(record: object) -> Item | str:
    """The item, or what is wrong with it."""
    try:
        named = NamedItemBody.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the item"
        return f"{where}: {first['msg']}"
    return named.item(named.item_id)
