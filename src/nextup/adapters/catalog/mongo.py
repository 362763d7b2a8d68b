"""Items and people in MongoDB, a document each."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from nextup.adapters.catalog.attributes import as_json
from nextup.adapters.catalog.mongo_versions import BEFORE, SINCE, Snapshot, Versions
from nextup.adapters.whole_numbers import int_id
from nextup.domain import tables as t
from nextup.domain.filters import folded
from nextup.domain.items import Item, Person
from nextup.ports.catalog import Found, Mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nextup.adapters.mongo import Document, MongoDatabase
    from nextup.domain.filters import Filter
    from nextup.ports.trial import Trial

AT_ONCE: Final = 2_000  # documents per round trip
LONGEST_SEARCH: Final = 5_000  # characters; the server refuses patterns of six times as many bytes
_ATTRIBUTES: Final = "attributes"  # JSON text: what MongoDB would refuse or change is kept exactly
_TITLE_FOLDED: Final = "title_folded"  # what a search compares with


class MongoCatalog:
    """A Catalog in MongoDB. Takes the database over: closing this closes it.

    No transactions are needed: `mongo_versions` says how many documents change as one.
    """

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        options = database.options
        self._items = database.collection(options.items)
        self._people = database.collection(options.people)
        self._int_field = options.item_field if options.layout == "documents" else ""
        self._versions = Versions(database, self._items, options.lease_seconds)
        self._indexed = False

    def put_items(self, items: Iterable[Item]) -> int:
        """As in the port. `items` is read while other writers wait; one that pauses for longer
        than `lease_seconds` while they do loses its turn, and nothing is changed."""
        rest = map(self._document, items)
        batch = list(islice(rest, AT_ONCE))
        if not batch:
            return 0
        self._make_indexes()
        ids: set[str] = set()
        with self._versions.writing() as put:
            while batch:
                ids.update(document["_id"] for document in batch)
                put(batch)
                batch = list(islice(rest, AT_ONCE))
        return len(ids)

    def item(self, item_id: str) -> Item | None:
        """As in the port; None for an unknown id."""
        return self.items([item_id]).get(item_id)

    def items(self, item_ids: Collection[str]) -> dict[str, Item]:
        """As in the port."""
        return {document["_id"]: _item(document) for document in self._by_id(item_ids)}

    def all_items(self) -> Iterator[Item]:
        """As in the port. Reads page by page: an item that is put meanwhile is seen if its id
        is still ahead."""
        page = self._page({})
        while page:
            yield from map(_item, page)
            last = page[-1]["_id"]
            page = self._page({"_id": {"$gt": last}}) if len(page) == AT_ONCE else []

    def unknown_items(self, item_ids: Collection[str]) -> set[str]:
        """As in the port."""
        wanted = {"_id": 1, SINCE: 1, f"{BEFORE}._id": 1}
        return set(item_ids) - {found["_id"] for found in self._by_id(item_ids, wanted)}

    def search_items(self, text: str, *, kind: str | None, limit: int) -> Sequence[Item]:
        """As in the port; each of the two groups by title. Nothing is special in `text`."""
        return [found.item for found in self._search(text, kind, None, limit)]

    def browse_items(
        self, text: str, *, where: Filter | None, after: Mark | None, limit: int
    ) -> Sequence[Found]:
        """As in the port; the whole of `where` is left to the caller."""
        return self._search(text, None, after, limit)

    def count_items(self, kind: str | None = None) -> int:
        """All of them, or those of one kind."""

        def count(snapshot: Snapshot) -> int:
            now: Document = {**snapshot.finished}
            earlier: Document = {**snapshot.unfinished}
            if kind is not None:
                now[t.KIND] = earlier[f"{BEFORE}.{t.KIND}"] = kind
            return self._items.count_documents({"$or": [now, earlier]})

        return self._versions.read(count)

    def delete_item(self, item_id: str) -> bool:
        """As in the port. Waits until nobody is writing."""
        with self._database.at_the_wall():
            if self._items.find_one({"_id": item_id}, {"_id": 1}) is None:
                return False
        with self._versions.alone(), self._database.at_the_wall():
            return self._items.delete_one({"_id": item_id}).deleted_count > 0

    def put_person(self, person: Person) -> None:
        """Insert or replace."""
        document = {"_id": person.user_id, _ATTRIBUTES: as_json(person.attributes)}
        self._database.repeat(
            lambda: self._people.replace_one({"_id": person.user_id}, document, upsert=True)
        )

    def person(self, user_id: str) -> Person | None:
        """None for somebody who was never put; they may still have acted."""
        with self._database.at_the_wall():
            found = self._people.find_one({"_id": user_id})
        return None if found is None else Person(user_id, msgspec.json.decode(found[_ATTRIBUTES]))

    def delete_person(self, user_id: str) -> bool:
        """Deleting an absent person does nothing; returns whether they were there."""
        with self._database.at_the_wall():
            return self._people.delete_one({"_id": user_id}).deleted_count > 0

    def trial(self) -> Trial:
        """Write, read and delete something in a collection of its own."""
        return self._database.trial()

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _make_indexes(self) -> None:
        """Before the first write of this process; those that exist are left alone."""
        if self._indexed:
            return
        with self._database.at_the_wall():
            # Unique as `_id` is: so that mongo-java-server, too, finds a document by both.
            self._items.create_index([(SINCE, 1), ("_id", 1)], unique=True)
            self._items.create_index([(_TITLE_FOLDED, 1), ("_id", 1)])
            self._items.create_index(t.KIND)
            if self._int_field:
                self._items.create_index(self._int_field, unique=True)
        self._indexed = True

    def _by_id(
        self, item_ids: Collection[str], fields: dict[str, int] | None = None
    ) -> list[Document]:
        """The documents as they shall be seen, of the ids that exist."""
        ordered = list(item_ids)
        chunks = [ordered[at : at + AT_ONCE] for at in range(0, len(ordered), AT_ONCE)]

        def find(_: Snapshot) -> list[Document]:
            return [
                found
                for chunk in chunks
                for found in self._items.find({"_id": {"$in": chunk}}, fields)
            ]

        def settled(snapshot: Snapshot, found: list[Document]) -> bool:
            return all(map(snapshot.settles, found))

        def seen(snapshot: Snapshot) -> tuple[Snapshot, list[Document]]:
            return snapshot, find(snapshot)

        if not chunks:
            return []
        snapshot, found = self._versions.read(seen, lambda _, result: settled(*result))
        documents = map(snapshot.sees, found)
        return [document for document in documents if document is not None]

    def _page(self, condition: Document) -> list[Document]:
        def find(snapshot: Snapshot) -> list[Document]:
            either = {"$or": [snapshot.finished, snapshot.unfinished]}
            cursor = self._items.find({**condition, **either}).sort("_id", 1).limit(AT_ONCE)
            documents = map(snapshot.sees, cursor)
            return [document for document in documents if document is not None]

        return self._versions.read(find)

    def _search(
        self, text: str, kind: str | None, after: Mark | None, limit: int
    ) -> Sequence[Found]:
        """Titles that begin with the text, then others that contain it."""
        wanted = folded(text)
        if len(wanted) > LONGEST_SEARCH or "\0" in wanted or limit <= 0:  # no title is like that
            return []

        def find(snapshot: Snapshot) -> list[Found]:
            found: list[Found] = []
            for starts in (True, False):
                if after is None or starts <= after.starts:
                    mark = after if after is not None and after.starts == starts else None
                    group = _Group(wanted, starts, kind, mark)
                    found += self._group(snapshot, group, limit - len(found))
                if len(found) == limit:
                    break
            return found

        return self._versions.read(find)

    def _group(self, snapshot: Snapshot, group: _Group, limit: int) -> list[Found]:
        now = self._items.find({"$and": [snapshot.finished, *group.conditions("")]})
        earlier = self._items.find(
            {"$and": [snapshot.unfinished, *group.conditions(f"{BEFORE}.")]}, {BEFORE: 1}
        )
        documents = [
            *now.sort([(_TITLE_FOLDED, 1), ("_id", 1)]).limit(limit),
            *(
                found[BEFORE]
                for found in earlier.sort([(f"{BEFORE}.{_TITLE_FOLDED}", 1), ("_id", 1)]).limit(
                    limit
                )
            ),
        ]
        marked = ((Mark(group.starts, it[_TITLE_FOLDED], it["_id"]), it) for it in documents)
        best = sorted(marked, key=lambda pair: pair[0][1:])[:limit]
        return [Found(mark, _item(document)) for mark, document in best]

    def _document(self, item: Item) -> Document:
        document = {
            "_id": item.item_id,
            t.KIND: item.kind,
            t.TITLE: item.title,
            t.YEAR: item.year,
            t.GENRES: list(item.genres),
            t.MAKERS: list(item.makers),
            t.KEYWORDS: list(item.keywords),
            t.AVAILABLE: item.available,
            _ATTRIBUTES: as_json(item.attributes),
            _TITLE_FOLDED: folded(item.title),
        }
        if self._int_field:
            document[self._int_field] = int_id(item.item_id)
        return document


class _Group(NamedTuple):
    """What a search looks for: titles that start with a text, or else contain it."""

    wanted: str
    starts: bool
    kind: str | None
    after: Mark | None

    def conditions(self, prefix: str) -> list[Document]:
        """On a document, or on what a document was before."""
        title, pattern = f"{prefix}{_TITLE_FOLDED}", re.escape(self.wanted)
        begins = {"$regex": f"^{pattern}"}
        if self.starts:
            conditions: list[Document] = [{title: begins}]
        else:
            conditions = [{title: {"$regex": pattern}}, {title: {"$not": begins}}]
        if self.kind is not None:
            conditions.append({f"{prefix}{t.KIND}": self.kind})
        if self.after is not None:
            same = {title: self.after.title, "_id": {"$gt": self.after.item_id}}
            conditions.append({"$or": [{title: {"$gt": self.after.title}}, same]})
        return conditions


def _item(document: Document) -> Item:
    return Item(
        document["_id"],
        document[t.KIND],
        document[t.TITLE],
        document[t.YEAR],
        tuple(document[t.GENRES]),
        tuple(document[t.MAKERS]),
        tuple(document[t.KEYWORDS]),
        document[t.AVAILABLE],
        msgspec.json.decode(document[_ATTRIBUTES]),
    )
