"""Published lists in Cassandra as other programs read them: a partition per person, a row per item.

There are no generations: each person's list is replaced by itself, in one batch that puts the new
rows and deletes those that left, so that nobody sees half of one. Who gets no new list keeps the
old one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from cassandra.query import BatchStatement, BatchType

from nextup.adapters.recommendation_store.packing import ListPacker, in_service
from nextup.adapters.whole_numbers import LARGEST, int_id, is_int
from nextup.domain.items import Item
from nextup.domain.recommendations import PublishedList, Scored
from nextup.domain.tables import GENRES, SCORE, TITLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from nextup.adapters.cassandra import CassandraCluster
    from nextup.ports.trial import Trial
    from nextup.settings_servers import Cassandra

LISTS_AT_ONCE: Final = 500  # whose old rows are looked up together
NOBODY: Final = -LARGEST - 1  # a number, and no id
SOURCE: Final = "published"  # the table has no column that says which source it was

TABLES: Final = {  # in all statements, `names` says what stands for the braces
    "rows": (
        "CREATE TABLE IF NOT EXISTS {rows} ({user} int, {item} int, {score} float, {title} text, "
        "{genres} text, PRIMARY KEY ({user}, {item}))"
    ),
    "service": ("CREATE TABLE IF NOT EXISTS {service} (slot int PRIMARY KEY, generation text)"),
}
_PUT: Final = (
    "INSERT INTO {rows} ({user}, {item}, {score}, {title}, {genres}) VALUES (?, ?, ?, ?, ?)"
)
_READ: Final = "SELECT {item}, {score} FROM {rows} WHERE {user} = ?"
_OLD: Final = "SELECT {item} FROM {rows} WHERE {user} = ?"
_REMOVE: Final = "DELETE FROM {rows} WHERE {user} = ? AND {item} = ?"
_ERASE: Final = "DELETE FROM {rows} WHERE {user} = ?"
_KEYS: Final = "SELECT DISTINCT {user} FROM {rows}"
_CURRENT: Final = "SELECT generation FROM {service} WHERE slot = 0"
_SWITCH: Final = "INSERT INTO {service} (slot, generation) VALUES (0, ?)"


def names(prefix: str, options: Cassandra) -> dict[str, str]:
    """What the tables and columns are called."""
    return {
        "rows": f"{prefix}{options.table}",
        "service": f"{prefix}{options.table}_generation",
        "user": options.user_column,
        "item": options.item_column,
        "score": SCORE,
        "title": TITLE,
        "genres": GENRES,
    }


class CassandraRowStore:
    """Takes the cluster over: closing this closes it.

    `describe` gives the items of some ids, whose titles and genres stand in the rows. `write`
    counts at once; a generation is only the name of what was published last.
    """

    def __init__(
        self,
        cluster: CassandraCluster,
        describe: Callable[[Collection[str]], Mapping[str, Item]],
    ) -> None:
        self._cluster = cluster
        self._describe = describe
        self._packer = ListPacker()
        self._described: dict[str, Item] = {}

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Replace these persons' lists, each by itself. Raises InvalidInput for an id that is no
        whole number."""
        return self.put(lists)

    def put(self, lists: Iterable[PublishedList]) -> int:
        """As in the port."""
        written = 0
        rest = iter(lists)
        self._described.clear()
        while batch := list(islice(rest, LISTS_AT_ONCE)):
            last = {each.user_id: each for each in batch}
            self._learn({item.item_id for each in last.values() for item in each.items})
            self._replace(list(last.values()))
            written += len(batch)
        return written

    def switch(self, generation: str) -> None:
        """Note the name of what was published."""
        self._cluster.run(_SWITCH, (generation,))

    def current(self) -> str | None:
        """The name of what was published last."""
        rows = self._cluster.run(_CURRENT)
        return rows[0][0] if rows else None

    def generations(self) -> Sequence[str]:
        """The one whose name is noted."""
        current = self.current()
        return [] if current is None else [current]

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list, best first; equal scores by item. An empty list is as none."""
        rows = self._cluster.run(_READ, (int_id(user_id),)) if is_int(user_id) else []
        items = sorted((-score, item) for item, score in rows)
        if not items:
            return None
        return PublishedList(
            user_id, tuple(Scored(str(item), -score, SOURCE) for score, item in items)
        )

    def count(self, generation: str) -> int:
        """How many people have a list, whichever publication it is from, for the noted name."""
        if generation != self.current():
            return 0
        return sum(1 for _ in self._cluster.scan(_KEYS))

    def drop(self, generation: str) -> None:
        """There is nothing to drop. Raises Conflict for the noted name."""
        if generation == self.current():
            raise in_service(generation)

    def erase(self, user_id: str) -> int:
        """Delete the person's list."""
        if self.read(user_id) is None:
            return 0
        self._cluster.run(_ERASE, (int_id(user_id),))
        return 1

    def trial(self) -> Trial:
        """Write, read and delete a row of somebody whose number is no id."""
        key = (NOBODY,)
        return self._cluster.trial((_PUT, (*key, 0, 0.0, "", "")), (_READ, key), (_ERASE, key))

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._cluster.close()

    def _learn(self, item_ids: set[str]) -> None:
        unknown = item_ids - self._described.keys()
        if unknown:
            known = self._describe(unknown)
            self._described |= {item_id: known.get(item_id, Item(item_id)) for item_id in unknown}

    def _replace(self, lists: Sequence[PublishedList]) -> None:
        people = [int_id(each.user_id) for each in lists]
        for each in lists:
            self._packer.pack(each)  # refuses what no list may hold
        with self._cluster.at_the_wall():
            asked = [self._cluster.start(_OLD, (person,)) for person in people]
            there = [{row[0] for row in future.result()} for future in asked]
        self._cluster.write_all(self._batches(lists, people, there))

    def _batches(
        self, lists: Sequence[PublishedList], people: Sequence[int], there: Sequence[set[int]]
    ) -> Iterator[BatchStatement]:
        for each, person, old in zip(lists, people, there, strict=True):
            batch = BatchStatement(BatchType.UNLOGGED)  # of one partition: one step all the same
            batch.is_idempotent = True
            for scored in each.items:
                item = int_id(scored.item_id)
                old.discard(item)
                known = self._described[scored.item_id]
                genres = "|".join(known.genres)
                batch.add(
                    self._cluster.bind(_PUT, (person, item, scored.score, known.title, genres))
                )
            for item in old:
                batch.add(self._cluster.bind(_REMOVE, (person, item)))
            if len(batch):
                yield batch
