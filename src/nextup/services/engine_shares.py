"""`nextup stream` where the engine follows the log's topics by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.domain.tables import Table
from nextup.services.collect import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextup.ports.engine import Block, Stream, SupportsStreams
    from nextup.ports.event_log import EventLog
    from nextup.services.stream import OnlineUpdater

    Opened = Callable[[float | None], Iterator[Stream]]

LISTS_STREAM = "lists"  # under which the engine remembers how far it is


class EngineShare:
    """Streams that the engine keeps going; what has failed is begun again from its checkpoint."""

    def __init__(self, name: str, begin: Opened, *, every_seconds: float | None) -> None:
        """`begin` starts one after the other. With None for `every_seconds` each step does all
        that there is; otherwise a step only looks after them."""
        self.name = name
        self._begin = begin
        self._every_seconds = every_seconds
        self._streams: list[Stream] = []

    def step(self) -> bool:
        """Raises what has ended one of them; the next step begins anew."""
        if self._every_seconds is None:
            return self._round() > 0
        try:
            if not self._streams:
                self._streams.extend(self._begin(self._every_seconds))
            ended = not all(stream.check() for stream in self._streams)
        except BaseException:
            self.close()
            raise
        if ended:
            self.close()
        return False

    def close(self) -> None:
        """End them between two batches."""
        while self._streams:
            self._streams.pop().close()

    def _round(self) -> int:
        """One after the other, for the first may leave something for the next."""
        rows = 0
        for stream in self._begin(None):
            try:
                rows += stream.wait()
            finally:
                stream.close()
        return rows


def lake_streams(
    engine: SupportsStreams, log: EventLog, every_seconds: float | None
) -> Iterator[Stream]:
    """The log's events and its rejected records, into bronze."""
    for table in (Table.EVENTS, Table.QUARANTINE):
        yield engine.stream_to_lake(
            table, source=SOURCE, reject=log.reject, every_seconds=every_seconds
        )


def list_streams(
    engine: SupportsStreams,
    updater: OnlineUpdater,
    work: Callable[[Iterator[Block]], dict[str, int]],
    every_seconds: float | None,
) -> Iterator[Stream]:
    """Fresh lists for whoever did something: their histories first, then the lists by `work`."""
    yield engine.stream_people(
        LISTS_STREAM, work, before=updater.apply_all, every_seconds=every_seconds
    )
