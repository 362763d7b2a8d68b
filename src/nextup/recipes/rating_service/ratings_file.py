"""The log's ratings as one CSV file, which grows at its end: what the training reads.

    ratings/ratings.csv             userId,movieId,rating,timestamp
    ratings/ratings.csv.position    how long the file is, and how far the log is in it

The second is written after the first. A writer that was killed in between has left a longer file:
the next one cuts it back and writes the same rows again, so that each is there once.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

import msgspec

from nextup.domain.errors import Conflict, CorruptData, InvalidInput
from nextup.domain.events import START, EventType
from nextup.domain.foreign_messages import FIELDS
from nextup.services.stream import distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nextup.domain.events import LogRow
    from nextup.ports.control import Control
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files

COLUMNS: Final = tuple(FIELDS)  # userId, movieId, rating, timestamp
HEADER: Final = f"{','.join(COLUMNS)}\n".encode()
LOCK: Final = "ratings.csv"
TURN_SECONDS: Final = 20.0  # that an erasure waits for writers
WHOLE: Final = -1  # as a length: the file is whole as it is
_SECOND: Final = 1_000_000  # microseconds
_PART_BYTES: Final = 1 << 20


class Place(msgspec.Struct):
    """What lies beside the file."""

    length: int  # bytes
    position: dict[str, int]  # of the log


class RatingsFile:
    """A share of `nextup stream`. Several may run: one at a time writes."""

    name = "ratings-csv"

    def __init__(
        self,
        event_log: EventLog,
        files: Files,
        control: Control,
        *,
        file: str,
        rows: int,
        every_seconds: float,
    ) -> None:
        """`rows` of the log are read at once; every so many seconds the file grows."""
        self._log = event_log
        self._files = files
        self._control = control
        self._file = file
        self._note_file = f"{file}.position"
        self._rows = rows
        self._every_seconds = every_seconds
        self._again_at = 0.0  # monotonic seconds

    def step(self) -> bool:
        """One append, where it is time for one and there is something new."""
        if monotonic() < self._again_at:
            return False
        place = self._noted()
        if place is not None and not distance(place.position, self._log.head()):
            self._again_at = monotonic() + self._every_seconds
            return False
        try:
            with self._control.lock(LOCK):
                return self._grow()
        except Conflict:  # another is at it
            self._again_at = monotonic() + self._every_seconds
            return False

    def erase(self, user_id: str) -> int:
        """Write the file without the person's rows; returns how many those were. Waits for a
        writer; raises Conflict where that takes too long."""
        with self._turn():
            place = self._noted()
            if place is None:
                return 0
            self._append(b"", place.length)
            self._note(Place(WHOLE, place.position))
            removed = self._write_without(f"{user_id},".encode())
            self._note(Place(self._files.size(self._file), place.position))
        return removed

    def close(self) -> None:
        """Nothing is held between two steps."""

    # ---- inside

    def _grow(self) -> bool:
        """Nobody else writes. What was reached is read anew: another may have come further."""
        place = self._noted() or self._begun()
        batch = self._log.read(place.position, self._rows)
        if batch.position == place.position:
            return False
        length = self._append(lines(batch.rows), place.length)
        self._note(Place(length, dict(batch.position)))
        return True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        deadline = monotonic() + TURN_SECONDS
        with ExitStack() as holding:
            while True:
                try:
                    holding.enter_context(self._control.lock(LOCK))
                    break
                except Conflict:
                    if monotonic() > deadline:
                        raise
                    sleep(TURN_SECONDS / 100)
            yield

    def _noted(self) -> Place | None:
        """None where there is no note, or no file: all of the log belongs into a new one."""
        if not self._files.exists(self._note_file) or self._size() == 0:
            return None
        with self._files.open(self._note_file) as stream:
            text = stream.read()
        try:
            place = msgspec.json.decode(text, type=Place)
        except msgspec.DecodeError as error:
            raise CorruptData(
                f"'{self._note_file}' cannot be read: {error}.",
                cure=f"Remove it and '{self._file}': the file is made again from the log.",
            ) from error
        return Place(self._size(), place.position) if place.length == WHOLE else place

    def _begun(self) -> Place:
        """A file with its header, or somebody else's with its rows, which stay; noted."""
        size = self._size()
        if size:
            self._require_header()
            length = size if self._ends_a_line(size) else self._append(b"\n", size)
        else:
            length = self._append(HEADER, 0)
        place = Place(length, dict(START))
        self._note(place)
        return place

    def _append(self, data: bytes, length: int) -> int:
        return self._files.append(self._file, data, committed=length)

    def _note(self, place: Place) -> None:
        with self._files.create(self._note_file) as stream:
            stream.write(msgspec.json.encode(place))

    def _size(self) -> int:
        return self._files.size(self._file) if self._files.exists(self._file) else 0

    def _require_header(self) -> None:
        with self._files.open(self._file) as stream:
            first = stream.readline(1_000).strip()
        if first != HEADER.strip():
            raise InvalidInput(
                f"'{self._file}' does not begin with {HEADER.decode().strip()}.",
                cure="Give it this header, or move it away.",
            )

    def _ends_a_line(self, size: int) -> bool:
        with self._files.open(self._file) as stream:
            stream.seek(size - 1)
            return stream.read(1) == b"\n"

    def _write_without(self, beginning: bytes) -> int:
        removed = 0
        with self._files.open(self._file) as old, self._files.create(self._file) as new:
            while kept := old.readlines(_PART_BYTES):
                others = [line for line in kept if not line.startswith(beginning)]
                removed += len(kept) - len(others)
                new.writelines(others)
        return removed


def lines(rows: Iterable[LogRow]) -> bytes:
    """The ratings among the rows, as lines of the file."""
    return "".join(
        f"{row.user_id},{row.item_id},{row.value},{row.occurred_at // _SECOND}\n"
        for row in rows
        if row.type == EventType.RATING
    ).encode()
