"""People: what you keep about them, what they did, and how they are forgotten."""

from datetime import timedelta
from functools import partial
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Response

from nextup.domain.errors import NotFound
from nextup.domain.events import EventType, from_microseconds
from nextup.domain.items import Person
from nextup.entrypoints.api.access import Limit, Services, UserId
from nextup.entrypoints.api.cursors import Cursor, read_cursor, write_cursor
from nextup.entrypoints.api.problems import problems
from nextup.entrypoints.api.users_bodies import (
    Act,
    HistoryAnswer,
    PersonAnswer,
    PersonBody,
    ReceiptAnswer,
)
from nextup.recipes.beside import erase_beside
from nextup.services.erase import erase
from nextup.services.serving import Serving

router = APIRouter(prefix="/v1/users", tags=["users"])


@router.get("/{user_id}", responses=problems(404, 422, 503), summary="One person")
def get_person(user_id: UserId, services: Services) -> PersonAnswer:
    """Their attributes, and how much is remembered of them. People need not be registered: an
    event makes them known."""
    found = _person(user_id, services)
    if found is None:
        raise NotFound(
            f"Nothing is known about '{user_id}'.", cure="An event or a PUT makes a person known."
        )
    return found


@router.put("/{user_id}", responses=problems(400, 413, 422, 503), summary="Keep attributes")
def put_person(user_id: UserId, body: PersonBody, services: Services) -> PersonAnswer:
    """In the place of those that were kept."""
    services.ports.catalog.put_person(Person(user_id, body.attributes))
    found = _person(user_id, services)
    assert found is not None
    return found


@router.delete(
    "/{user_id}", responses=problems(409, 422, 503, 507), summary="Forget a person everywhere"
)
def delete_person(user_id: UserId, services: Services) -> ReceiptAnswer:
    """Events, history, lists, served lists and attributes, in every store; the answer is a
    receipt, which is kept. Erasing somebody unknown gives zeros. 409 while the pipeline runs."""
    ports = services.ports
    services.forget(user_id)
    receipt = erase(
        user_id,
        event_log=ports.event_log,
        online_state=ports.online_state,
        recommendation_store=ports.recommendation_store,
        lake=ports.lake,
        catalog=ports.catalog,
        control=ports.control,
        files=ports.files,
        keep=timedelta(days=services.settings.lake.keep_days),
        beside=partial(erase_beside, ports),
    )
    services.forget(user_id)  # once more: lists may have been made meanwhile
    return ReceiptAnswer(
        receipt_id=receipt.receipt_id,
        user_sha256=receipt.user_sha256,
        erased_at=receipt.erased_at,
        removed=dict(receipt.removed),
        old_versions_until=receipt.old_versions_until,
    )


@router.delete(
    "/{user_id}/attributes",
    status_code=204,
    responses=problems(404, 422, 503),
    summary="Remove a person's attributes",
)
def delete_attributes(user_id: UserId, services: Services) -> Response:
    """What the person did stays."""
    if not services.ports.catalog.delete_person(user_id):
        raise NotFound(f"No attributes of '{user_id}' are kept.")
    return Response(status_code=204)


@router.get("/{user_id}/history", responses=problems(422, 503), summary="What a person did")
def get_history(
    services: Services,
    user_id: UserId,
    limit: Limit = 20,
    cursor: Cursor = None,
    type: Annotated[  # noqa: A002 (the word of the events)
        EventType | None, Query(description="Only this kind of doing.")
    ] = None,
) -> HistoryAnswer:
    """The latest first; empty for somebody unknown. What they do meanwhile moves no page."""
    touches = services.ports.online_state.history(user_id)[::-1]
    if cursor is not None:
        before = read_cursor(cursor, int)
        touches = [touch for touch in touches if touch.offset < before]
    if type is not None:
        touches = [touch for touch in touches if touch.type == type]
    shown = touches[:limit]
    items = services.ports.catalog.items({touch.item_id for touch in shown})
    following = write_cursor(shown[-1].offset) if len(touches) > limit else None
    path = f"/v1/users/{quote(user_id, safe='')}/history"
    return HistoryAnswer(
        user_id=user_id,
        history=[
            Act(
                item_id=touch.item_id,
                title=items[touch.item_id].title if touch.item_id in items else "",
                type=touch.type,
                value=touch.value,
                occurred_at=from_microseconds(touch.occurred_at),
            )
            for touch in shown
        ],
        next_cursor=following,
        next=following and f"{path}?{urlencode(_asked_again(following, limit, type))}",
    )


def _asked_again(cursor: str, limit: int, only: EventType | None) -> dict[str, str | int]:
    asked: dict[str, str | int] = {"cursor": cursor, "limit": limit}
    return asked if only is None else asked | {"type": only.value}


def _person(user_id: str, services: Serving) -> PersonAnswer | None:
    kept = services.ports.catalog.person(user_id)
    touches = services.ports.online_state.history(user_id)
    if kept is None and not touches:
        return None
    times = [touch.occurred_at for touch in touches]
    return PersonAnswer(
        user_id=user_id,
        attributes=dict(kept.attributes) if kept else {},
        touches=len(touches),
        first_at=from_microseconds(min(times)) if times else None,
        last_at=from_microseconds(max(times)) if times else None,
    )
