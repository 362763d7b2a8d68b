"""An answer that the online state may keep, as a response that says where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Response

if TYPE_CHECKING:
    from nextup.services.recommending.kept_answers import Given

HEADER = "x-nextup-cache"  # "hit" or "miss"; absent where no answers are kept


def response_of(given: Given) -> Response:
    """JSON that was made now or before."""
    headers = {HEADER: given.source} if given.source else None
    return Response(given.body, media_type="application/json", headers=headers)
