"""Published lists in Cassandra: each list is a partition, found by generation and person.

One small partition says which generations there are and which is in service. It changes only by
conditional statements, so that a switch is one step for everybody. A reader that has asked which it
is trusts the answer for a moment, counted from its question; a switch takes that much longer, so
that when it has returned nobody trusts an older answer.
"""

from __future__ import annotations

import time
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from nextup.adapters.recommendation_store.packing import ListPacker, in_service, never_written
from nextup.domain.tables import USER_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nextup.adapters.cassandra import CassandraCluster
    from nextup.domain.recommendations import PublishedList
    from nextup.ports.trial import Trial

LISTS_AT_ONCE: Final = 2_000  # between two looks at what is in service
TRUST_SECONDS: Final = 0.25  # in what was seen in service: readers in a row seldom ask again


TABLES: Final = {  # in all statements, `names` says what stands for the braces
    "lists": (
        "CREATE TABLE IF NOT EXISTS {lists} (generation text, {user} text, items text, "
        "PRIMARY KEY ((generation, {user})))"
    ),
    "generations": (
        "CREATE TABLE IF NOT EXISTS {generations} (slot int, generation text, "
        "in_service text static, written boolean, dropped_at bigint, changed uuid, "
        "lists bigint, PRIMARY KEY (slot, generation))"
    ),
}
_PUT: Final = "INSERT INTO {lists} (generation, {user}, items) VALUES (?, ?, ?)"
_READ: Final = "SELECT items FROM {lists} WHERE generation = ? AND {user} = ?"
_REMOVE: Final = "DELETE FROM {lists} WHERE generation = ? AND {user} = ?"
_REMOVE_OLDER: Final = "DELETE FROM {lists} USING TIMESTAMP ? WHERE generation = ? AND {user} = ?"
_KEYS: Final = "SELECT DISTINCT generation, {user} FROM {lists}"
_IN_SERVICE: Final = "SELECT in_service FROM {generations} WHERE slot = 0 LIMIT 1"
_KNOWN: Final = "SELECT generation FROM {generations} WHERE slot = 0"
_COUNTED: Final = (
    "SELECT in_service, changed, lists FROM {generations} WHERE slot = 0 AND generation = ?"
)
_BEGIN: Final = (
    "UPDATE {generations} SET written = true, lists = null WHERE slot = 0 AND generation = ? "
    "IF in_service != ? AND dropped_at = null"
)
_SWITCH: Final = (
    "UPDATE {generations} SET in_service = ?, written = true WHERE slot = 0 AND generation = ? "
    "IF written = true AND dropped_at = null"
)
_BEGIN_DROP: Final = (
    "UPDATE {generations} SET dropped_at = ? WHERE slot = 0 AND generation = ? "
    "IF written = true AND in_service != ?"
)
_END_DROP: Final = "DELETE FROM {generations} WHERE slot = 0 AND generation = ? IF dropped_at = ?"
_NOTE_CHANGE: Final = (
    "UPDATE {generations} SET changed = ?, lists = null WHERE slot = 0 AND generation = ? "
    "IF written = true"
)
_NOTE_COUNT: Final = (
    "UPDATE {generations} SET lists = ? WHERE slot = 0 AND generation = ? "
    "IF written = true AND changed = ?"
)


def names(prefix: str) -> dict[str, str]:
    """What the tables are called, and the column that is called as everywhere."""
    return {"user": USER_ID, **{name: f"{prefix}recommendation_{name}" for name in TABLES}}


class CassandraRecommendationStore:
    """Takes the cluster over: closing this closes it.

    A writer looks at what is in service before each two thousand lists; a switch by another
    process in between is noticed at the next look.
    """

    def __init__(self, cluster: CassandraCluster) -> None:
        self._cluster = cluster
        self._packer = ListPacker()
        self._seen: tuple[str | None, float] = (None, 0.0)  # in service, and trusted until when

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Add lists; see the port. Repeated lists of one person count each time.

        After an error or a kill those that were written are there, unseen by readers, and writing
        everything again replaces them. A cluster that is away for a moment is waited for.
        """
        self._refuse_in_service(generation)
        written = 0
        for batch in self._packer.batches(lists, LISTS_AT_ONCE):
            rows = [(generation, *row) for row in batch]
            if written:
                self._refuse_in_service(generation)
            else:
                self._begin_writing(generation)
            self._cluster.write(_PUT, rows)
            written += len(rows)
        return written

    def switch(self, generation: str) -> None:
        """Put the generation in service; switching to the one in service does nothing."""
        applied, _ = self._cluster.changed(_SWITCH, (generation, generation))
        if not applied:
            raise never_written(generation)
        time.sleep(TRUST_SECONDS)  # until all who read have asked again

    def current(self) -> str | None:
        """The generation in service."""
        rows = self._cluster.run(_IN_SERVICE)
        return rows[0].in_service if rows else None

    def generations(self) -> Sequence[str]:
        """All that are stored, by name; one whose deletion was interrupted is among them."""
        rows = self._cluster.run(_KNOWN)
        return sorted(row.generation for row in rows if row.generation is not None)

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list in the generation in service: as a rule one round trip."""
        trusted, until = self._seen
        if time.monotonic() < until:
            (row,) = self._cluster.firsts((_READ, (trusted, user_id)))
            if row is not None:
                return self._packer.unpack(user_id, row[0])
        while True:
            guess, _ = self._seen
            packed, now = self._ask(guess, user_id)
            if now is None:
                return None
            if now == guess:
                if packed is not None:
                    return self._packer.unpack(user_id, packed)
                if self.current() == now:  # it was not dropped meanwhile: there is no list
                    return None

    def count(self, generation: str) -> int:
        """How many lists it holds; 0 for an unknown one. Counts by reading all keys; for the
        generation in service the result is kept until somebody is erased."""
        rows = self._cluster.run(_COUNTED, (generation,))
        if not rows:
            return 0
        if rows[0].lists is not None:
            return int(rows[0].lists)
        counted = sum(1 for _ in self._people(generation))
        if rows[0].in_service == generation:
            self._cluster.changed(_NOTE_COUNT, (counted, generation, rows[0].changed))
        return counted

    def drop(self, generation: str) -> None:
        """Delete a generation. An absent one does nothing; an interrupted one is taken up."""
        moment = self._cluster.timestamp()
        applied, found = self._cluster.changed(_BEGIN_DROP, (moment, generation, generation))
        if not applied:
            if getattr(found, "in_service", None) == generation:
                raise in_service(generation)
            return
        rows = ((moment, generation, user_id) for user_id in self._people(generation))
        while batch := list(islice(rows, LISTS_AT_ONCE)):
            self._cluster.write(_REMOVE_OLDER, batch)
        self._cluster.changed(_END_DROP, (generation, moment))

    def erase(self, user_id: str) -> int:
        """Delete the person's list from every generation; returns from how many."""
        found = [
            generation
            for generation in self.generations()
            if self._cluster.run(_READ, (generation, user_id))
        ]
        for generation in found:
            self._cluster.run(_REMOVE, (generation, user_id))
            self._cluster.changed(_NOTE_CHANGE, (uuid.uuid4(), generation))
        return len(found)

    def trial(self) -> Trial:
        """Write, read and delete a list of a generation that there is not."""
        key = (f".trial-{uuid.uuid4()}", "")
        return self._cluster.trial((_PUT, (*key, "[]")), (_READ, key), (_REMOVE, key))

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._cluster.close()

    def _ask(self, guess: str | None, user_id: str) -> tuple[str | None, str | None]:
        """The list in the generation that was in service last, and which one is now."""
        until = time.monotonic() + TRUST_SECONDS
        asked = (
            [(_IN_SERVICE, ())] if guess is None else [(_IN_SERVICE, ()), (_READ, (guess, user_id))]
        )
        service, *lists = self._cluster.firsts(*asked)
        now = service[0] if service is not None else None
        self._seen = (now, until if now is not None else 0.0)
        return lists[0][0] if lists and lists[0] is not None else None, now

    def _begin_writing(self, generation: str) -> None:
        """Raise Conflict for the generation in service; finish an interrupted deletion."""
        while True:
            applied, found = self._cluster.changed(_BEGIN, (generation, generation))
            if applied:
                return
            if found.in_service == generation:
                raise in_service(generation)
            self.drop(generation)

    def _refuse_in_service(self, generation: str) -> None:
        if self._cluster.repeat(self.current) == generation:
            raise in_service(generation)

    def _people(self, generation: str) -> Iterator[Any]:
        for row in self._cluster.scan(_KEYS):
            if row[0] == generation:
                yield row[1]
