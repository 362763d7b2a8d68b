"""Published lists in Redis as other programs read them: a JSON array under a key per person.

There are no generations: each person's list is replaced by itself, in one step. Who gets no new
list keeps the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from nextup.adapters.recommendation_store.redis_lists import SOURCE, RedisListStore
from nextup.adapters.whole_numbers import int_id
from nextup.domain.errors import CorruptData
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from nextup.adapters.redis import RedisServer


class RedisJsonStore(RedisListStore):
    """`[{"movieId": 1, "rating": 4.5}, ...]`, best first; ids are whole numbers, and the fields
    have the settings' names. Takes the server over: closing this closes it."""

    kind: ClassVar[str] = "string"

    def __init__(
        self,
        server: RedisServer,
        prefix: str = "",
        *,
        list_key: str,
        item_field: str,
        score_field: str,
    ) -> None:
        super().__init__(server, prefix, list_key=list_key)
        self._item = item_field
        self._score = score_field

    def _replace(self, pipeline: Any, key: str, published: PublishedList) -> None:
        int_id(published.user_id)
        items = [
            {self._item: int_id(one.item_id), self._score: one.score} for one in published.items
        ]
        pipeline.set(key, msgspec.json.encode(items))

    def _find(self, client: Any, key: str) -> tuple[Scored, ...]:
        found = client.get(key)
        if found is None:
            return ()
        try:
            return tuple(
                Scored(str(one[self._item]), float(one[self._score]), SOURCE)
                for one in msgspec.json.decode(found)
            )
        except (msgspec.DecodeError, TypeError, KeyError, ValueError) as error:
            raise CorruptData(
                f"The key {key!r} holds no list.", cure="Whoever writes it must write JSON."
            ) from error
