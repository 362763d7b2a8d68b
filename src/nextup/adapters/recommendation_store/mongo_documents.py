"""Published lists in MongoDB as other programs read them: one document per person.

There are no generations: each person's document is replaced by itself. Who gets no new list keeps
the old one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from pymongo import ReplaceOne

from nextup.adapters.recommendation_store.packing import ListPacker, in_service
from nextup.adapters.whole_numbers import int_id, is_int
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextup.adapters.mongo import Document, MongoDatabase
    from nextup.ports.trial import Trial

LISTS_AT_ONCE: Final = 1_000
SOURCE: Final = "published"  # the document does not say which source an item came from
_SERVICE: Final = {"_id": 0}  # the only document of its collection


class MongoDocumentStore:
    """Takes the database over: closing this closes it.

    `write` counts at once; a generation is only the name of what was published last.
    """

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._packer = ListPacker()
        options = database.options
        self._user, self._item, self._score = (
            options.user_field,
            options.item_field,
            options.score_field,
        )
        self._lists_field = options.lists
        self._lists = database.collection(options.lists)
        self._service = database.collection(f"{options.lists}_generation")

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Replace these persons' lists, each by itself. Raises InvalidInput for an id that is no
        whole number."""
        return self.put(lists)

    def put(self, lists: Iterable[PublishedList]) -> int:
        """As in the port."""
        with self._database.at_the_wall():
            self._lists.create_index(self._user, unique=True)
        written = 0
        rest = iter(lists)
        while batch := list(islice(rest, LISTS_AT_ONCE)):
            documents = {each.user_id: self._document(each) for each in batch}
            changes = [
                ReplaceOne({self._user: document[self._user]}, document, upsert=True)
                for document in documents.values()
            ]
            self._database.repeat(
                lambda changes=changes: self._lists.bulk_write(changes, ordered=False)  # type: ignore[misc]
            )
            written += len(batch)
        return written

    def switch(self, generation: str) -> None:
        """Note the name of what was published."""
        self._database.repeat(
            lambda: self._service.replace_one(
                _SERVICE, {**_SERVICE, "generation": generation}, upsert=True
            )
        )

    def current(self) -> str | None:
        """The name of what was published last."""
        with self._database.at_the_wall():
            found = self._service.find_one(_SERVICE)
        return None if found is None else str(found["generation"])

    def generations(self) -> Sequence[str]:
        """The one whose name is noted."""
        current = self.current()
        return [] if current is None else [current]

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list."""
        if not is_int(user_id):
            return None
        with self._database.at_the_wall():
            found = self._lists.find_one({self._user: int_id(user_id)})
        if found is None:
            return None
        items = (
            Scored(str(each[self._item]), each[self._score], SOURCE)
            for each in found[self._lists_field]
        )
        return PublishedList(user_id, tuple(items))

    def count(self, generation: str) -> int:
        """How many people have a list, whichever publication it is from, for the noted name."""
        if generation != self.current():
            return 0
        with self._database.at_the_wall():
            return self._lists.count_documents({})

    def drop(self, generation: str) -> None:
        """There is nothing to drop. Raises Conflict for the noted name."""
        if generation == self.current():
            raise in_service(generation)

    def erase(self, user_id: str) -> int:
        """Delete the person's list."""
        if not is_int(user_id):
            return 0
        with self._database.at_the_wall():
            return self._lists.delete_one({self._user: int_id(user_id)}).deleted_count

    def trial(self) -> Trial:
        """Write, read and delete something in a collection of its own."""
        return self._database.trial()

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _document(self, published: PublishedList) -> Document:
        self._packer.pack(published)  # refuses what no list may hold
        items = [
            {self._item: int_id(each.item_id), self._score: each.score} for each in published.items
        ]
        return {self._user: int_id(published.user_id), self._lists_field: items}
