"""`nextup stream`: several processes bring a log's events into lake and state, each its share.

The group says whose a partition is now; how far it has come is said by the table or the state
that it was brought to, in the transaction that brought it. So a partition may change hands in the
middle of a batch: one of the two gets in, and the other begins again from there.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from nextup.domain.errors import Conflict
from nextup.services.collect import collect_rejected, collect_share
from nextup.services.stream import BATCH_ROWS, repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nextup.domain.events import Position
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog
    from nextup.ports.online_state import OnlineState
    from nextup.ports.topics import GroupMember
    from nextup.services.stream import Applied

LAKE_GROUP: Final = "lake"
ONLINE_GROUP: Final = "online"
LOOK_SECONDS: Final = 0.1  # between signs of life
FIRST_PARTITION: Final = "0"  # whoever has it does what only one should do


class Share(Protocol):
    """One kind of work. `step` does a little of it and returns whether there may be more."""

    name: str

    def step(self) -> bool:
        """Between two steps partitions come and go."""
        ...

    def close(self) -> None:
        """Leave to others what is not done. Closing twice does nothing."""
        ...


class LakeShare:
    """Writes this member's partitions to bronze."""

    name = "lake"

    def __init__(
        self,
        member: GroupMember,
        event_log: EventLog,
        engine: Callable[[], Engine],
        *,
        batch_rows: int,
        every_seconds: float,
    ) -> None:
        self._member = member
        self._log = event_log
        self._engine = engine
        self._batch_rows = batch_rows
        self._every_seconds = every_seconds
        self._again_at = 0.0  # monotonic seconds
        self._known: Collection[str] = ()

    def step(self) -> bool:
        """One transaction, where it is time for one or partitions have just come."""
        mine = self._member.partitions()
        if not mine or (mine == self._known and monotonic() < self._again_at):
            return False
        self._known = mine
        try:
            reached = collect_share(
                mine, self._member.read, self._engine(), batch_rows=self._batch_rows
            )
        except Conflict:  # it was another's a moment ago
            return True
        if reached is not None:
            self._member.commit(reached)
            return True
        if FIRST_PARTITION in mine:
            collect_rejected(self._log, self._engine(), batch_rows=self._batch_rows)
        self._again_at = monotonic() + self._every_seconds
        return False

    def close(self) -> None:
        """Leave the group."""
        self._member.close()


class OnlineShare:
    """Applies this member's partitions to the online state."""

    name = "online"

    def __init__(
        self, member: GroupMember, state: OnlineState, *, on_applied: Applied | None = None
    ) -> None:
        self._member = member
        self._state = state
        self._on_applied = on_applied

    def step(self) -> bool:
        """One batch."""
        mine = self._member.partitions()
        if not mine:
            return False
        reached = self._state.position()
        position: Position = {partition: reached.get(partition, 0) for partition in mine}
        batch = self._member.read(position, BATCH_ROWS)
        if batch.position != position:
            self._state.apply(batch.rows, batch.position)
            if self._on_applied is not None:
                self._on_applied(batch.rows)
            self._member.commit(batch.position)
        return bool(batch.rows)

    def close(self) -> None:
        """Leave the group."""
        self._member.close()


class Follower:
    """The same of a log that one process reads alone, or that several read without a division."""

    def __init__(self, name: str, work: Callable[[], int], *, every_seconds: float) -> None:
        self.name = name
        self._work = work
        self._every_seconds = every_seconds
        self._again_at = 0.0  # monotonic seconds

    def step(self) -> bool:
        """All that is there, where it is time."""
        if monotonic() >= self._again_at:
            self._work()
            self._again_at = monotonic() + self._every_seconds
        return False

    def close(self) -> None:
        """There is no group to leave."""


def run_shares(shares: Mapping[str, Share], stop: threading.Event) -> None:
    """Each in a thread of its own until `stop` is set; a failure is logged and tried again."""
    threads = [
        threading.Thread(target=_run, args=(share, stop), name=f"nextup-{name}", daemon=True)
        for name, share in shares.items()
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join()


def run_until_idle(shares: Mapping[str, Share], seconds: float) -> None:
    """Each in turn, until none has had anything to do for so long."""
    try:
        quiet_since = monotonic()
        while monotonic() < quiet_since + seconds:
            busy = [share.step() for share in shares.values()]  # each, also after a busy one
            if any(busy):
                quiet_since = monotonic()
            else:
                threading.Event().wait(LOOK_SECONDS)
    finally:
        for share in shares.values():
            share.close()


def _run(share: Share, stop: threading.Event) -> None:
    def work() -> None:
        while share.step() and not stop.is_set():
            pass

    try:
        repeat(work, stop, LOOK_SECONDS, f"Stream ({share.name})")
    finally:
        share.close()
