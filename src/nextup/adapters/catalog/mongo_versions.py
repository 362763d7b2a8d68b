"""Writes of many documents that readers see as one, on a MongoDB without transactions.

Writers take turns. Each has a number, which it leaves in the documents it writes, together with
what they were before; one document says up to which number all is finished. A reader takes from
every document what was finished when it began, and begins again if that has moved on meanwhile.
So a writer's last step makes all of its documents count at once, and one that fails, is killed or
loses its turn has changed nothing: its number is noted as void, and what it left is put back by
itself or by the next.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pymongo import DeleteOne, InsertOne, ReplaceOne, ReturnDocument
from pymongo.errors import DuplicateKeyError

from nextup.domain.errors import BackendUnavailable, Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pymongo.collection import Collection

    from nextup.adapters.mongo import Document, MongoDatabase

T = TypeVar("T")

SINCE: Final = "since"  # in a document: the number of the writer that wrote it
BEFORE: Final = "before"  # what it was before, while that writer is not finished
WAIT_SECONDS: Final = 30.0  # how long a writer queues behind others before it gives up
FIRST_PAUSE_SECONDS: Final = 0.005  # between two looks whose turn it is; doubles
LONGEST_PAUSE_SECONDS: Final = 0.2
READ_TRIES: Final = 8  # then a reader queues up like a writer
KEPT_VOID: Final = 100
AT_ONCE: Final = 2_000  # documents that are put back in one round trip
_TURNS: Final = {"_id": 0}  # the only document of its collection


class Snapshot(NamedTuple):
    """What is finished."""

    number: int
    void: tuple[int, ...]  # writers up to the number that came to nothing

    @property
    def finished(self) -> dict[str, Any]:
        """The condition for documents that are as they shall be seen."""
        return {SINCE: {"$lte": self.number, "$nin": list(self.void)}}

    @property
    def unfinished(self) -> dict[str, Any]:
        """The condition for documents of which the earlier state shall be seen, if there is one."""
        open_ones = [{SINCE: {"$gt": self.number}}, {SINCE: {"$in": list(self.void)}}]
        return {"$or": open_ones, BEFORE: {"$exists": True}}

    def sees(self, document: Document) -> Document | None:
        """The document as it shall be seen."""
        if self.settles(document):
            return document
        earlier: Document | None = document.get(BEFORE)
        return earlier

    def settles(self, document: Document) -> bool:
        """Whether the document is finished."""
        number = document[SINCE]
        return number <= self.number and number not in self.void


class Turn(NamedTuple):
    """A writer's right to write."""

    number: int
    token: str


class Versions:
    """The turns of those who write to one collection, and what its readers see."""

    def __init__(
        self, database: MongoDatabase, documents: Collection[Document], lease_seconds: float
    ) -> None:
        self._database = database
        self._documents = documents
        self._turns = database.collection("catalog_turns")
        self._lease_seconds = lease_seconds
        self._known: Snapshot | None = None

    def read(
        self, query: Callable[[Snapshot], T], settled: Callable[[Snapshot, T], bool] | None = None
    ) -> T:
        """What the query finds at one moment. `settled` may say that a result holds whatever was
        finished meanwhile."""
        snapshot = self._known or self._look()
        for _ in range(READ_TRIES):
            with self._database.at_the_wall():
                found = query(snapshot)
            if settled is not None and settled(snapshot, found):
                return found
            latest = self._look()
            if latest == snapshot:
                return found
            snapshot = latest
        with self.alone(), self._database.at_the_wall():
            return query(self._look())

    @contextmanager
    def writing(self) -> Iterator[Callable[[Sequence[Document]], None]]:
        """A turn in which documents can be put; all of them count when the block ends, none when
        it raises."""
        turn = self._take_turn()
        try:
            yield lambda documents: self._put(turn, documents)
            self._finish(turn)
        except BaseException:
            with suppress(BackendUnavailable):  # whoever comes next does it
                self._give_up(turn)
            raise
        with suppress(BackendUnavailable):  # what remains is seen by nobody
            self._forget_before(turn)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A turn in which single documents are removed, or read in peace."""
        turn = self._take_turn()
        try:
            yield
        finally:
            with suppress(BackendUnavailable):
                self._release(turn, {})

    def _look(self) -> Snapshot:
        with self._database.at_the_wall():
            found = self._turns.find_one(_TURNS) or {}
        self._known = Snapshot(found.get("finished", 0), tuple(found.get("void", ())))
        return self._known

    def _take_turn(self) -> Turn:
        token = uuid.uuid4().hex
        deadline = time.monotonic() + WAIT_SECONDS
        pause = FIRST_PAUSE_SECONDS
        seen: tuple[Any, ...] = ()
        unchanged_since = time.monotonic()
        while (turn := self._try_turn(token, {"holder": None})) is None:
            found = self._database.repeat(lambda: self._turns.find_one(_TURNS))
            if found is None:
                self._make_turns()
                continue
            now = (found["number"], found["beats"], found["holder"])
            if now != seen:
                seen, unchanged_since = now, time.monotonic()
            elif found["holder"] and time.monotonic() - unchanged_since > self._lease_seconds:
                turn = self._take_over(token, found)
                if turn is not None:
                    break
            if time.monotonic() > deadline:
                raise BackendUnavailable(
                    f"{self._database.url} is being written for very long.", cure="Repeat later."
                )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return turn

    def _try_turn(self, token: str, condition: dict[str, Any], **changes: Any) -> Turn | None:
        """The turn if the condition holds, or if it was got before and the answer was lost."""

        def take() -> Document | None:
            update = {"$set": {"holder": token, "beats": 0}, "$inc": {"number": 1}, **changes}
            found: Document | None = self._turns.find_one_and_update(
                {**_TURNS, **condition}, update, return_document=ReturnDocument.AFTER
            )
            return found or self._turns.find_one({**_TURNS, "holder": token})

        found = self._database.repeat(take)
        if found is None:
            return None
        turn = Turn(found["number"], token)
        if found["void"]:
            try:
                self._put_back(found["void"])
            except BaseException:
                with suppress(BackendUnavailable):
                    self._give_up(turn)
                raise
        return turn

    def _take_over(self, token: str, found: Document) -> Turn | None:
        """Void a turn whose holder has died."""
        dead = {name: found[name] for name in ("number", "beats", "holder")}
        return self._try_turn(token, dead, **_voiding(found["number"]))

    def _put(self, turn: Turn, documents: Sequence[Document]) -> None:
        self._beat(turn)
        wanted = {document["_id"]: document for document in documents}
        self._database.repeat(lambda: self._replace(turn, wanted))

    def _replace(self, turn: Turn, wanted: dict[str, Document]) -> None:
        """Only what is as it was read is replaced, so that who lost the turn changes nothing."""
        there = {found["_id"]: found for found in self._documents.find({"_id": {"$in": [*wanted]}})}
        changes: list[InsertOne[Document] | ReplaceOne[Document]] = []
        for key, document in wanted.items():
            new, old = {**document, SINCE: turn.number}, there.get(key)
            if old is None:
                changes.append(InsertOne(new))
                continue
            earlier = old.get(BEFORE) if old[SINCE] == turn.number else _without_before(old)
            if earlier is not None:
                new[BEFORE] = earlier
            changes.append(ReplaceOne({"_id": key, SINCE: old[SINCE]}, new))
        done = self._documents.bulk_write(changes, ordered=False)
        if done.inserted_count + done.matched_count != len(changes):
            raise _lost()

    def _beat(self, turn: Turn) -> None:
        """Show that the writer lives. Raises Conflict if its turn was taken."""
        held = {**_TURNS, "number": turn.number, "holder": turn.token}
        beat = {"$inc": {"beats": 1}}
        if not self._database.repeat(lambda: self._turns.update_one(held, beat).matched_count):
            raise _lost()

    def _finish(self, turn: Turn) -> None:
        done = {"$set": {"finished": turn.number}}
        if self._release(turn, done):
            return
        found = self._database.repeat(lambda: self._turns.find_one(_TURNS)) or {}
        finished, void = found.get("finished", 0), found.get("void", ())
        if finished < turn.number or turn.number in void:  # else only the answer was lost
            raise _lost()

    def _release(self, turn: Turn, changes: dict[str, dict[str, Any]]) -> bool:
        held = {**_TURNS, "number": turn.number, "holder": turn.token}
        update = {**changes, "$set": {**changes.get("$set", {}), "holder": None}}
        return self._database.repeat(lambda: self._turns.update_one(held, update).matched_count > 0)

    def _give_up(self, turn: Turn) -> None:
        held = {**_TURNS, "number": turn.number, "holder": turn.token}
        void = _voiding(turn.number)
        if self._database.repeat(lambda: self._turns.update_one(held, void).matched_count):
            self._put_back([turn.number])
            self._release(turn, {})

    def _put_back(self, numbers: Iterable[int]) -> None:
        """Undo what void writers left."""
        left = {SINCE: {"$in": list(numbers)}}
        while documents := self._database.repeat(
            lambda: list(islice(self._documents.find(left), AT_ONCE))
        ):
            changes: list[DeleteOne | ReplaceOne[Document]] = []
            for document in documents:
                same = {"_id": document["_id"], SINCE: document[SINCE]}
                earlier = document.get(BEFORE)
                changes.append(DeleteOne(same) if earlier is None else ReplaceOne(same, earlier))
            self._database.repeat(
                lambda changes=changes: self._documents.bulk_write(changes, ordered=False)  # type: ignore[misc]
            )

    def _forget_before(self, turn: Turn) -> None:
        mine = {SINCE: turn.number, BEFORE: {"$exists": True}}
        with self._database.at_the_wall():
            self._documents.update_many(mine, {"$unset": {BEFORE: ""}})

    def _make_turns(self) -> None:
        new: Document = {
            **_TURNS,
            "number": 0,
            "finished": 0,
            "holder": None,
            "beats": 0,
            "void": [],
        }
        with self._database.at_the_wall(), suppress(DuplicateKeyError):
            self._turns.insert_one(new)


def _voiding(number: int) -> dict[str, Any]:
    return {"$push": {"void": {"$each": [number], "$slice": -KEPT_VOID}}}


def _without_before(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != BEFORE}


def _lost() -> Conflict:
    return Conflict(
        "Another writer took the turn, because this one paused for too long; nothing was changed.",
        cure="Repeat; a slow source of items is better read to its end first.",
    )
