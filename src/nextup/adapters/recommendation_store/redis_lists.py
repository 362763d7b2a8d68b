"""Published lists in Redis as other programs read them: `LIST user:<user_id>`, best first.

There are no generations: each person's list is replaced by itself, in one step, so that nobody sees
half of one. Who gets no new list keeps the old one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

from nextup.adapters.recommendation_store.packing import ListPacker, in_service
from nextup.domain.errors import ConfigurationError
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextup.adapters.redis import RedisServer
    from nextup.ports.trial import Trial

LISTS_PER_TRIP: Final = 1_000
PLACE: Final = "{user_id}"  # of the id in a key
SOURCE: Final = "published"  # these layouts have no room for which source it was

_REPLACE: Final = """
redis.call('DEL', KEYS[1])
for place = 1, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[place]) end
"""


class RedisListStore:
    """Takes the server over: closing this closes it.

    `list_key` is a key with `{user_id}` in it. `write` counts at once; a generation is only the
    name of what was published last. A LIST keeps the order and no scores: those that are read fall
    from place to place and say no more. An empty list is as none.
    """

    kind: ClassVar[str] = "list"  # of value, as Redis calls it

    def __init__(self, server: RedisServer, prefix: str = "", *, list_key: str) -> None:
        if PLACE not in list_key:
            raise ConfigurationError(
                f"redis.list_key: '{list_key}' is the same for everybody.",
                cure=f"Write {PLACE} where the person's id belongs.",
            )
        self._server = server
        self._key = f"{prefix}{list_key}"
        self._current_key = f"{prefix}nextup:lists:published"
        self._packer = ListPacker()

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Replace these persons' lists, each by itself."""
        return self.put(lists)

    def put(self, lists: Iterable[PublishedList]) -> int:
        """As in the port."""
        written = 0
        rest = iter(lists)
        while batch := list(islice(rest, LISTS_PER_TRIP)):
            for each in batch:
                self._packer.pack(each)  # refuses what no list may hold
            with self._server.client() as client, client.pipeline(transaction=False) as pipeline:
                for each in batch:
                    self._replace(pipeline, self._key_of(each.user_id), each)
                pipeline.execute()
            written += len(batch)
        return written

    def switch(self, generation: str) -> None:
        """Note the name of what was published."""
        with self._server.client() as client:
            client.set(self._current_key, generation)

    def current(self) -> str | None:
        """The name of what was published last."""
        with self._server.client() as client:
            name = client.get(self._current_key)
        return None if name is None else name.decode()

    def generations(self) -> Sequence[str]:
        """The one whose name is noted."""
        current = self.current()
        return [] if current is None else [current]

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list."""
        with self._server.client() as client:
            items = self._find(client, self._key_of(user_id))
        return PublishedList(user_id, items) if items else None

    def count(self, generation: str) -> int:
        """How many people have a list, whichever publication it is from, for the noted name."""
        if generation != self.current():
            return 0
        with self._server.client() as client:
            pattern = "*".join(_literally(part) for part in self._key.split(PLACE))
            return sum(1 for _ in client.scan_iter(match=pattern, count=1_000, _type=self.kind))

    def drop(self, generation: str) -> None:
        """There is nothing to drop. Raises Conflict for the noted name."""
        if generation == self.current():
            raise in_service(generation)

    def erase(self, user_id: str) -> int:
        """Delete the person's list."""
        with self._server.client() as client:
            removed: int = client.delete(self._key_of(user_id))
        return removed

    def trial(self) -> Trial:
        """See `ports.trial`."""
        return self._server.trial(f"{self._current_key}:doctor:")

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._server.close()

    def _replace(self, pipeline: Any, key: str, published: PublishedList) -> None:
        """In one step, when the pipeline is executed."""
        items = [item.item_id for item in published.items]
        self._server.script(pipeline, _REPLACE, [key], *items)

    def _find(self, client: Any, key: str) -> tuple[Scored, ...]:
        """What is under the key; nothing where there is none."""
        found = client.lrange(key, 0, -1)
        return tuple(Scored(one.decode(), 1 / place, SOURCE) for place, one in enumerate(found, 1))

    def _key_of(self, user_id: str) -> str:
        return self._key.replace(PLACE, user_id)


def _literally(text: str) -> str:
    """For a pattern, in which some characters stand for others."""
    return "".join(f"\\{one}" if one in "*?[]\\^" else one for one in text)
