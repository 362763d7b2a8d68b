"""Published lists in MongoDB: a collection per generation, a document per person.

One document says which generations there are and which is in service, so that each change of it
is one step for everybody. Dropping a generation drops its collection.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any, Final

from pymongo import InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from nextup.adapters.mongo import DUPLICATE, Document
from nextup.adapters.recommendation_store.packing import ListPacker, in_service, never_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pymongo.collection import Collection

    from nextup.adapters.mongo import MongoDatabase
    from nextup.domain.recommendations import PublishedList
    from nextup.ports.trial import Trial

LISTS_AT_ONCE: Final = 2_000  # per round trip, and between two looks at what is in service
_REGISTRY: Final = {"_id": 0}  # the only document of its collection


class MongoRecommendationStore:
    """Takes the database over: closing this closes it.

    A writer looks at what is in service before each two thousand lists; a switch by another
    process in between is noticed at the next look.
    """

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._packer = ListPacker()
        self._registry = database.collection("recommendation_generations")

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Add lists; see the port. Repeated lists of one person count each time.

        After an error or a kill those that were written are there, unseen by readers, and writing
        everything again replaces them. A server that is away for a moment is waited for.
        """
        self._refuse_in_service(generation)
        written = 0
        for batch in self._packer.batches(lists, LISTS_AT_ONCE):
            packed = dict(batch)
            into = self._writable(generation)
            self._database.repeat(lambda into=into, packed=packed: _put(into, packed))  # type: ignore[misc]
            written += len(batch)
        return written

    def switch(self, generation: str) -> None:
        """Put the generation in service; switching to the one in service does nothing."""
        key = _key(generation)
        found = self._change(
            {f"generations.{key}": {"$exists": True}, f"generations.{key}.dropping": False},
            {"$set": {"in_service": key}},
        )
        if not found:
            raise never_written(generation)

    def current(self) -> str | None:
        """The generation in service."""
        registry = self._look()
        key = registry.get("in_service")
        return None if key is None else str(registry["generations"][key]["name"])

    def generations(self) -> Sequence[str]:
        """All that are stored, by name; one whose deletion was interrupted is among them."""
        return sorted(each["name"] for each in self._look().get("generations", {}).values())

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list in the generation in service."""
        place = self._place_in_service()
        while place is not None:
            with self._database.at_the_wall():
                found = self._database.collection(place).find_one({"_id": user_id})
            if found is not None:
                return self._packer.unpack(user_id, found["items"])
            before, place = place, self._place_in_service()
            if place == before:  # it was not dropped meanwhile: there is no list
                return None
        return None

    def count(self, generation: str) -> int:
        """How many lists it holds; 0 for an unknown one."""
        known = self._look().get("generations", {}).get(_key(generation))
        if known is None:
            return 0
        with self._database.at_the_wall():
            return self._database.collection(known["place"]).count_documents({})

    def drop(self, generation: str) -> None:
        """Delete a generation. An absent one does nothing; an interrupted one is taken up."""
        key = _key(generation)
        marked = self._change(
            {f"generations.{key}": {"$exists": True}, "in_service": {"$ne": key}},
            {"$set": {f"generations.{key}.dropping": True}},
        )
        registry = self._look_patiently()
        if not marked:
            if registry.get("in_service") == key:
                raise in_service(generation)
            return
        place = registry.get("generations", {}).get(key, {}).get("place")
        if place is None:  # somebody else has dropped it
            return
        self._database.repeat(lambda: self._database.drop(self._database.collection(place)))
        self._change({f"generations.{key}.place": place}, {"$unset": {f"generations.{key}": ""}})

    def erase(self, user_id: str) -> int:
        """Delete the person's list from every generation; returns from how many."""
        removed = 0
        for known in self._look().get("generations", {}).values():
            with self._database.at_the_wall():
                lists = self._database.collection(known["place"])
                removed += lists.delete_one({"_id": user_id}).deleted_count
        return removed

    def trial(self) -> Trial:
        """Write, read and delete something in a collection of its own."""
        return self._database.trial()

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _look(self) -> Document:
        with self._database.at_the_wall():
            return self._registry.find_one(_REGISTRY) or {}

    def _look_patiently(self) -> Document:
        """As writers do: a server that is away for a moment is waited for."""
        return self._database.repeat(lambda: self._registry.find_one(_REGISTRY) or {})

    def _change(self, condition: dict[str, Any], change: dict[str, Any]) -> bool:
        """Change the registry if it is so; returns whether it was."""
        return self._database.repeat(
            lambda: self._registry.update_one({**_REGISTRY, **condition}, change).matched_count > 0
        )

    def _place_in_service(self) -> str | None:
        registry = self._look()
        key = registry.get("in_service")
        return None if key is None else str(registry["generations"][key]["place"])

    def _refuse_in_service(self, generation: str) -> None:
        if self._look_patiently().get("in_service") == _key(generation):
            raise in_service(generation)

    def _writable(self, generation: str) -> Collection[Document]:
        """Where the generation's lists lie; notes it with its first. Raises Conflict for the one
        in service; finishes an interrupted deletion."""
        key = _key(generation)
        while True:
            registry = self._look_patiently()
            known = registry.get("generations", {}).get(key)
            if registry.get("in_service") == key:
                raise in_service(generation)
            if known is not None and not known["dropping"]:
                return self._database.collection(known["place"])
            if known is not None:
                self.drop(generation)
            elif registry:
                place = f"recommendation_lists_{uuid.uuid4().hex[:12]}"
                new = {"name": generation, "place": place, "dropping": False}
                absent = {f"generations.{key}": {"$exists": False}}
                self._change(absent, {"$set": {f"generations.{key}": new}})
            else:
                self._make_registry()

    def _make_registry(self) -> None:
        with self._database.at_the_wall():
            try:
                self._registry.insert_one({**_REGISTRY, "in_service": None, "generations": {}})
            except DuplicateKeyError:  # another process was quicker
                return


def _put(lists: Collection[Document], packed: dict[str, str]) -> None:
    """Insert, which is twice as fast as to replace, and replace those that were there."""
    documents = [{"_id": user_id, "items": items} for user_id, items in packed.items()]
    try:
        lists.bulk_write([InsertOne(each) for each in documents], ordered=False)
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        if any(each["code"] != DUPLICATE for each in failed):
            raise
        there = [documents[each["index"]] for each in failed]
        replacing = [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in there]
        lists.bulk_write(replacing, ordered=False)


def _key(generation: str) -> str:
    """A field's name for a generation, whatever that is called."""
    return hashlib.blake2b(generation.encode(errors="surrogatepass"), digest_size=16).hexdigest()
