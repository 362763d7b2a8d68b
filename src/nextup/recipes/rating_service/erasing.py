"""Where people are, in this recipe, besides the places that every platform has."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from nextup.bootstrap import open_adapter
from nextup.recipes.options import options_of
from nextup.recipes.rating_service.options import Options
from nextup.recipes.rating_service.ratings_file import RatingsFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.recipes.parts import Needing


def erase(needing: Needing, user_id: str) -> Mapping[str, int]:
    """The person's rows of the ratings file and list in MongoDB; how many, by place. Raises
    Conflict while `nextup stream` writes the file."""
    options = options_of(needing.settings, Options)
    file = RatingsFile(
        needing.event_log,
        needing.files,
        needing.control,
        file=options.ratings_file,
        rows=options.ratings_rows,
        every_seconds=0,
    )
    removed = {options.ratings_file: file.erase(user_id)}
    moved = {"recommendation_store_url": options.published_url}
    store: Any = open_adapter("recommendation_store", needing.settings.model_copy(update=moved))
    with closing(store):
        removed["published"] = store.erase(user_id)
    return removed
