"""A rating file as a stream of messages, line by line, as if it happened now."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from nextup.domain.errors import InvalidInput
from nextup.domain.foreign_messages import FIELDS
from nextup.ports.topics import TopicMessage
from nextup.services.importers.delimited import one_column, read_delimited
from nextup.services.importers.movielens import RATINGS, rating_dialect
from nextup.services.importers.sources import Source

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nextup.ports.files import Files
    from nextup.ports.topics import SupportsTopics

FOLDER: Final = "replays"
MESSAGES_AT_ONCE: Final = 1000
STEPS_PER_SECOND: Final = 10  # of a replay with a rate
_INTEGER: Final = re.compile(r"^-?(0|[1-9][0-9]{0,17})$")
_DECIMAL: Final = re.compile(r"^-?[0-9]{1,15}\.[0-9]{1,15}$")


class Replayed(NamedTuple):
    """What a call has sent, and where the next one goes on."""

    topic: str
    sent: int
    round: int  # of the file, from 1
    row: int  # the last one sent, from 1; 0 before the first
    finished: bool  # the file was sent to its end


class _Mark(msgspec.Struct):
    """Where a replay stands; kept in the platform's files."""

    round: int = 1
    row: int = 0


_Numbered = tuple[_Mark, TopicMessage]  # where a replay stands once it is sent


class Replay:
    """Sends a file's rows to a topic, keyed by person. What was acknowledged is noted, so that a
    replay that was killed goes on where it was; a row that is sent twice has the same id."""

    def __init__(self, topics: SupportsTopics, files: Files, path: Path, topic: str) -> None:
        """Raises NotFound or InvalidInput for what is no rating file."""
        self._topics = topics
        self._files = files
        self._source = Source(path)
        names = self._source.names()
        self._file = names[0] if len(names) == 1 else self._source.need(*RATINGS)
        self._dialect = rating_dialect(self._file)
        self._topic = topic
        self._digest = self._source.survey(self._file).digest
        self._mark_name = f"{FOLDER}/{topic}-{self._digest}.json"

    def forget(self) -> None:
        """Begin again with the first row."""
        self._files.remove(self._mark_name)

    def run(
        self,
        stop: threading.Event,
        *,
        rate: float = 0.0,
        limit: int = 0,
        loop: bool = False,
        report: Callable[[str, int, int], None] | None = None,
    ) -> Replayed:
        """Send until the file's end, `limit` messages, or `stop`; with `loop` from the beginning
        again and again. `rate` is messages a second; 0: as fast as they are acknowledged."""
        mark, sent, began = self._read_mark(), 0, monotonic()
        for rows in self._rows(mark, loop=loop):
            for part in _parts(rows, rate, limit - sent if limit else 0):
                self._topics.produce(self._topic, [message for _, message in part])
                sent, mark = sent + len(part), part[-1][0]
                self._write_mark(mark)
                if report is not None:
                    report(self._topic, sent, limit)
                pause = began + sent / rate - monotonic() if rate else 0.0
                if (limit and sent >= limit) or stop.wait(max(0.0, pause)):
                    return Replayed(self._topic, sent, mark.round, mark.row, finished=False)
        return Replayed(self._topic, sent, mark.round, mark.row, finished=True)

    def _rows(self, mark: _Mark, *, loop: bool) -> Iterator[list[_Numbered]]:
        """Pieces of what comes after the mark; with `loop` without an end."""
        round_, after = mark.round, mark.row
        while True:
            empty = True
            for rows in self._rows_of_round(round_, after):
                empty = False
                yield rows
            if not loop:
                return
            if empty and not after:
                raise InvalidInput(f"{self._file} has no rows.")
            round_, after = round_ + 1, 0

    def _rows_of_round(self, round_: int, after: int) -> Iterator[list[_Numbered]]:
        with self._source.open(self._file) as stream:
            for rows in read_delimited(stream, self._dialect, self._file):
                columns = [one_column(rows.columns, name).to_list() for name in FIELDS]
                numbered = [
                    (_Mark(round_, number), self._message(values, number, round_))
                    for number, *values in zip(rows.numbers, *columns, strict=True)
                    if number > after
                ]
                if numbered:
                    yield numbered

    def _message(self, values: Sequence[str], number: int, round_: int) -> TopicMessage:
        """The row as it is in the file: what is wrong with it is for the contract to say."""
        record = dict(zip(FIELDS, map(_number, values), strict=True))
        content = msgspec.json.encode(record)
        name = f"{self._digest}:{number}" + (f":{round_}" if round_ > 1 else "")
        return TopicMessage(str(values[0]), content, name)

    def _read_mark(self) -> _Mark:
        if not self._files.exists(self._mark_name):
            return _Mark()
        with self._files.open(self._mark_name) as stream:
            return msgspec.json.decode(stream.read(), type=_Mark)

    def _write_mark(self, mark: _Mark) -> None:
        with self._files.create(self._mark_name) as stream:
            stream.write(msgspec.json.encode(mark))


def _parts(rows: list[_Numbered], rate: float, limit: int) -> Iterator[list[_Numbered]]:
    """As many as are sent at once: fewer where they are to come slowly."""
    most = MESSAGES_AT_ONCE
    if rate:
        most = min(most, max(1, int(rate / STEPS_PER_SECOND)))
    wanted = rows[:limit] if limit else rows
    for start in range(0, len(wanted), most):
        yield wanted[start : start + most]


def _number(text: str) -> int | float | str:
    """A number where it is one, as other producers write it."""
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _DECIMAL.match(text) else text
