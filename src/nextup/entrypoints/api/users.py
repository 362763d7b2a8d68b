"""What is remembered of a person."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query

from nextup.domain.events import from_microseconds
from nextup.entrypoints.api.access import Limit, Services, UserId
from nextup.entrypoints.api.bodies import Act, HistoryAnswer
from nextup.entrypoints.api.problems import problems

router = APIRouter(prefix="/v1/users", tags=["users"])


@router.get("/{user_id}/history", response_model=HistoryAnswer, responses=problems(422, 503))
def get_history(
    services: Services,
    user_id: UserId,
    limit: Limit = 20,
    before: Annotated[
        int | None, Query(ge=0, lt=2**63, description="Where the page before ended.")
    ] = None,
) -> HistoryAnswer:
    """What the person did, the latest first; empty for somebody unknown."""
    touches = services.ports.online_state.history(user_id)[::-1]
    if before is not None:
        touches = [touch for touch in touches if touch.offset < before]
    shown = touches[:limit]
    items = services.ports.catalog.items({touch.item_id for touch in shown})
    more = len(touches) > limit
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
        next=f"{path}?{urlencode({'before': shown[-1].offset, 'limit': limit})}" if more else None,
    )
