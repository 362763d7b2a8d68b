"""The online state in Redis.

Histories, counters and position of a tenant lie in one slot of a cluster (see `redis_scripts.py`);
served lists, which are most of the memory, lie wherever their tokens lead.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from nextup.adapters.online_state.packing import StatePacker
from nextup.adapters.online_state.redis_scripts import (
    APPLY,
    KEEP,
    LOAD,
    MOVE,
    RECOUNT,
    STAMP,
    TRENDING,
)
from nextup.adapters.online_state.touches import (
    HOURS_PER_DAY,
    MICROSECONDS_PER_HOUR,
    Cell,
    by_person,
    hours_between,
    is_ahead,
    told,
    weighed,
)
from nextup.domain.events import to_microseconds
from nextup.domain.recommendations import Touch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nextup.adapters.redis import RedisServer
    from nextup.domain.events import LogRow, Position
    from nextup.domain.recommendations import ServedList, Tally
    from nextup.ports.trial import Trial

PEOPLE_PER_SCRIPT: Final = 500  # of a bulk load: Redis does nothing else meanwhile
CELLS_PER_TRIP: Final = 5_000  # counters written at once
UNFINISHED_SECONDS: Final = 3_600  # counters of a load that was killed go after so long
ARRAY_32: Final = b"\xdd"  # MessagePack: an array, its length in four bytes


class RedisOnlineState:
    """A batch is applied by one script, so that what is applied and how far are always one.

    `weights` says how much each type of event adds to a counter; a type that it lacks adds
    nothing. Counters of hours more than `window_days` old are forgotten.
    """

    def __init__(
        self,
        server: RedisServer,
        prefix: str = "",
        *,
        weights: Mapping[str, float],
        window_days: float,
    ) -> None:
        self._server = server
        self._weights = dict(weights)
        self._counted = [kind for kind, weight in weights.items() if weight > 0]
        self._kept_hours = int(window_days * HOURS_PER_DAY)
        self._packer = StatePacker()
        self._key = f"{{{prefix}nextup:state}}:"
        self._served_key = f"{prefix}nextup:served:"
        self._index_key = f"{prefix}nextup:served-of:"

    def position(self) -> Position:
        """How far the log has been applied."""
        with self._server.client() as client:
            found = client.hgetall(f"{self._key}position")
        return {partition.decode(): int(offset) for partition, offset in found.items()}

    def apply(self, rows: Sequence[LogRow], position: Position) -> None:
        """Add events and move to `position`; a replay changes nothing and moves nothing back."""
        acts = [row for theirs in by_person(rows).values() for row in theirs]
        self._run(APPLY, position, (part for act in acts for part in self._act(act)))

    def history(self, user_id: str) -> list[Touch]:
        """Everything the person did, in log order; empty for an unknown one."""
        with self._server.client() as client:
            packed = client.lrange(self._person(user_id), 1, -1)
        whole = ARRAY_32 + len(packed).to_bytes(4) + b"".join(packed)
        return self._packer.unpack_touches(user_id, whole)

    def load_histories(
        self,
        histories: Iterable[tuple[str, Sequence[Touch]]],
        position: Position,
        tallies: Iterable[Tally] = (),
    ) -> int:
        """Put in what the log holds up to `position`; see the port.

        Some hundred people become durable at a time; the counters and the position come last, so
        that after a kill a second load makes everything right.
        """
        news = is_ahead(position, self.position())
        people = 0
        rest = iter(histories)
        while batch := list(islice(rest, PEOPLE_PER_SCRIPT)):
            self._run(LOAD, position, (part for each in batch for part in self._base(*each)))
            people += len(batch)
        if news:
            self._run(RECOUNT, position, [self._count_anew(tallies), *self._counted])
        else:
            self._run(MOVE, position, ())
        return people

    def trending(
        self, since: datetime, until: datetime
    ) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """Per item the hours that share a moment with [since, until), and the weight in each."""
        with self._server.client() as client:
            first, last = hours_between(since, until)
            found = self._server.script(client, TRENDING, [self._key], self._key, first, last)
        cells = []
        for hour, counters in found:
            for field, times in zip(counters[::2], counters[1::2], strict=True):
                kind, _, item_id = field.decode().partition("\0")
                cells.append((Cell(int(hour), item_id, kind), int(times)))
        return weighed(cells, self._weights)

    def save_served(self, served: ServedList, expires_at: datetime) -> None:
        """Keep a served list; the same token replaces. Redis removes it when its time has come."""
        self.save_many_served([(served, expires_at)])

    def save_many_served(self, lists: Sequence[tuple[ServedList, datetime]]) -> None:
        """Keep many at the price of one round trip; of equal tokens the last counts.

        The index of a person's tokens is written before the lists, so that `erase` finds every
        list there is.
        """
        now = _milliseconds(datetime.now(UTC))
        with self._server.client() as client:
            with client.pipeline(transaction=False) as pipeline:
                for served, expires_at in lists:
                    index = f"{self._index_key}{served.user_id}"
                    pipeline.zremrangebyscore(index, "-inf", now)
                    pipeline.zadd(index, {served.token: _milliseconds(expires_at)}, gt=True)
                    pipeline.pexpireat(index, _milliseconds(expires_at), nx=True)
                    pipeline.pexpireat(index, _milliseconds(expires_at), gt=True)
                pipeline.execute()
            with client.pipeline(transaction=False) as pipeline:
                for served, expires_at in lists:
                    packed = self._packer.pack_served(served)
                    key = f"{self._served_key}{served.token}"
                    pipeline.set(key, packed, pxat=max(1, _milliseconds(expires_at)))
                pipeline.execute()

    def served(self, token: str) -> ServedList | None:
        """The list, unless it is unknown or has expired."""
        with self._server.client() as client:
            packed = client.get(f"{self._served_key}{token}")
        return None if packed is None else self._packer.unpack_served(token, packed)

    def erase(self, user_id: str) -> int:
        """Forget the person. Returns how many: one for the history, and each served list."""
        with self._server.client() as client:
            with client.pipeline(transaction=False) as pipeline:
                pipeline.zrem(f"{self._key}people", user_id)
                pipeline.unlink(self._person(user_id))
                pipeline.unlink(self._answers(user_id))
                pipeline.zrange(f"{self._index_key}{user_id}", 0, -1)
                known, _, _, tokens = pipeline.execute()
            theirs = [token for token in tokens if self._is_of(client, token, user_id)]
            with client.pipeline(transaction=False) as pipeline:
                for token in theirs:
                    pipeline.unlink(self._served_key.encode() + token)
                pipeline.unlink(f"{self._index_key}{user_id}")
                *removed, _ = pipeline.execute()
        gone: int = int(known) + sum(removed)
        return gone

    def answer_stamp(self, about: str) -> str:
        """What has been applied that concerns the person, or everybody."""
        with self._server.client() as client:
            found = self._server.script(client, STAMP, [self._key], self._key, about)
        stamp: str = found.decode()
        return stamp

    def keep_answer(
        self, about: str, name: str, answer: bytes, *, stamp: str, seconds: float
    ) -> bool:
        """Keep it, unless the stamp has changed. Redis removes a person's answers when the last
        has had its time."""
        lasts = max(1, int(1000 * seconds))
        until = _milliseconds(datetime.now(UTC)) + lasts
        given = (self._key, about, name, answer, stamp, until, lasts)
        with self._server.client() as client:
            return bool(self._server.script(client, KEEP, [self._key], *given))

    def kept_answer(self, about: str, name: str) -> bytes | None:
        """The answer, unless it was let go or has had its time."""
        with self._server.client() as client, client.pipeline(transaction=False) as pipeline:
            pipeline.hget(self._answers(about), name)
            pipeline.get(f"{self._key}epoch")
            found, epoch = pipeline.execute()
        if found is None:
            return None
        made_in, until, answer = found.split(b" ", 2)
        stands = made_in == (epoch or b"0") and int(until) > _milliseconds(datetime.now(UTC))
        return bytes(answer) if stands else None

    def forget_answers(self) -> None:
        """Let go of all, by beginning another epoch."""
        with self._server.client() as client:
            client.incr(f"{self._key}epoch")

    def trial(self) -> Trial:
        """See `ports.trial`."""
        return self._server.trial(f"{self._served_key}:doctor:")

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._server.close()

    def _run(self, script: str, position: Position, arguments: Iterable[Any]) -> None:
        this_hour = to_microseconds(datetime.now(UTC)) // MICROSECONDS_PER_HOUR
        given = [self._key, this_hour, self._kept_hours, len(position)]
        for pair in position.items():
            given += pair
        with self._server.client() as client:
            self._server.script(client, script, [self._key], *given, *arguments)

    def _person(self, user_id: str) -> str:
        return f"{self._key}person:{user_id}"

    def _answers(self, about: str) -> str:
        return f"{self._key}answers:{about}" if about else f"{self._key}everybody"

    def _act(self, row: LogRow) -> Iterator[Any]:
        """A row as the script wants it."""
        touch = Touch(row.item_id, row.type, row.value, row.occurred_at, row.offset)
        yield from (row.user_id, row.partition, row.offset)
        yield row.occurred_at // MICROSECONDS_PER_HOUR if row.type in self._counted else ""
        yield f"{row.type}\0{row.item_id}"
        yield self._packer.pack_touch(touch)

    def _base(self, user_id: str, touches: Sequence[Touch]) -> Iterator[Any]:
        """A person of a load as the script wants them."""
        yield from (user_id, len(touches))
        for touch in sorted(touches, key=lambda touch: touch.offset):
            yield touch.offset
            yield self._packer.pack_touch(touch)

    def _count_anew(self, tallies: Iterable[Tally]) -> str:
        """Write counters that nobody sees yet; returns where their keys begin."""
        new = f"{self._key}new:{secrets.token_hex(8)}:"
        cells = iter(told(tallies, self._weights).items())
        while batch := list(islice(cells, CELLS_PER_TRIP)):
            with self._server.client() as client, client.pipeline(transaction=False) as pipeline:
                for cell, times in batch:
                    counters = f"{new}hour:{cell.hour}"
                    pipeline.hset(counters, f"{cell.type}\0{cell.item_id}", times)
                    pipeline.expire(counters, UNFINISHED_SECONDS)
                    pipeline.zadd(f"{new}hours", {str(cell.hour): cell.hour})
                pipeline.expire(f"{new}hours", UNFINISHED_SECONDS)
                pipeline.execute()
        return new

    def _is_of(self, client: Any, token: bytes, user_id: str) -> bool:
        """Whether the list under the token is the person's: another's may have replaced it."""
        packed = client.get(self._served_key.encode() + token)
        if packed is None:
            return False
        return self._packer.unpack_served(token.decode(), packed).user_id == user_id


def _milliseconds(moment: datetime) -> int:
    return to_microseconds(moment) // 1000
