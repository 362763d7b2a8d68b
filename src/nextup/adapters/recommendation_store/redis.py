"""Published lists in Redis.

A generation is cut into hashes by person, each with a hash tag of its own, so that a cluster
spreads them over its nodes and everything that must happen together happens in one slot:

    {nextup:lists}current        "<buckets> <generation>": what is in service
    {nextup:lists}generations    hash: generation -> "<buckets> <when it expires, 0: never>"
    {nextup:lists:7}:g1          hash: person -> list, of one bucket of generation g1
    {nextup:lists:7}sealed       "<which switch> <generation>": its lists here take no more changes

A reader asks for the name in service and for its list in one round trip: it guesses the generation
that it saw last, and asks again only where the answer says that it guessed wrong.
"""

from __future__ import annotations

import secrets
from time import time
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from nextup.adapters.recommendation_store.packing import ListPacker, in_service, never_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextup.adapters.redis import RedisServer
    from nextup.adapters.redis_conversation import Command, Conversation
    from nextup.domain.recommendations import PublishedList
    from nextup.ports.trial import Trial

BUCKETS: Final = 256  # of a generation made now; a stored one remembers how many it has
LISTS_PER_BATCH: Final = 1_000  # some 2 to 10 MB; larger ones were slower
UNANSWERED: Final = 2  # batches on their way: while one is made the server has another
SPARE_SECONDS: Final = 3_600  # a generation is forgotten by name before its lists expire

# Whether the generation may be changed, and that it exists until a moment.
_REGISTER: Final = """
local service = redis.call('GET', KEYS[1])
if service and string.match(service, '^%d+ (.*)$') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""
# A bucket's lists, unless it is sealed for this generation. ARGV[3...] are the hash's pairs.
_PUT: Final = """
local sealed = redis.call('GET', KEYS[2])
if sealed and string.match(sealed, '^%S+ (.*)$') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
_SEAL: Final = """
redis.call('SET', KEYS[2], ARGV[1])
redis.call('PERSIST', KEYS[1])
"""
# Open a bucket again, unless another switch has sealed it since.
_UNSEAL: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
# Put in service, if since the sealing began nothing else was, and nobody has registered to write to
# it. ARGV: the generation, its value as current, the expected one ('' for none), its note. 0:
# unknown; 1: done; 2: somebody was faster.
_SWITCH: Final = """
local note = redis.call('HGET', KEYS[2], ARGV[1])
if not note then return 0 end
local service = redis.call('GET', KEYS[1]) or ''
if service == ARGV[2] then return 1 end
if service ~= ARGV[3] or note ~= ARGV[4] then return 2 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
# The note of a generation that is still there.
_NOTE: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
"""
_FORGET: Final = """
local service = redis.call('GET', KEYS[1])
if service and string.match(service, '^%d+ (.*)$') == ARGV[1] then return {0, false} end
local kept = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return {1, kept}
"""


class RedisRecommendationStore:
    """Writers of one generation may work at once. What is not in service expires after
    `keep_seconds` without a write, a rollback's goal included."""

    def __init__(self, server: RedisServer, prefix: str = "", *, keep_seconds: float) -> None:
        self._server = server
        self._tag = f"{prefix}nextup:lists"
        self._keep_seconds = max(1, round(keep_seconds))
        self._packer = ListPacker()
        self._guess: tuple[int, str] | None = None  # what was in service at the last look
        self._current_key = f"{{{self._tag}}}current"
        self._generations_key = f"{{{self._tag}}}generations"

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Add lists; see the port. Repeated lists of one person count each time.

        Some thousand are sent at a time; after an error or a kill those that were are there,
        unseen by readers, and writing everything again replaces them.
        """
        if generation == self.current():
            raise in_service(generation)
        self._open_again(generation)
        written = unanswered = 0
        with self._server.conversation() as conversation:
            for batch in self._packer.batches(lists, LISTS_PER_BATCH):
                puts = self._puts(generation, batch)
                if unanswered == UNANSWERED:
                    _require_taken(generation, conversation.answers())
                    unanswered -= 1
                conversation.ask(puts)
                unanswered += 1
                written += len(batch)
            for _ in range(unanswered):
                _require_taken(generation, conversation.answers())
        return written

    def switch(self, generation: str) -> None:
        """Put the generation in service; switching to the one in service does nothing.

        Its lists are sealed and kept for ever first, bucket by bucket; then one key is set.
        """
        done = 2
        while done == 2:
            with self._server.client() as client:
                before = client.get(self._current_key) or b""
                if generation not in (stored := self._stored()):
                    raise never_written(generation)
                buckets, _ = stored[generation]
                self._note(client, generation, f"{buckets} 0")
                with client.pipeline(transaction=False) as pipeline:
                    seal = f"{secrets.token_hex(8)} {generation}"
                    for bucket in range(buckets):
                        keys = self._bucket(bucket, generation)
                        self._server.script(pipeline, _SEAL, keys, seal)
                    pipeline.execute()
                keys = (self._current_key, self._generations_key)
                values = (f"{buckets} {generation}", before, f"{buckets} 0")
                done = self._server.script(client, _SWITCH, keys, generation, *values)
        if done == 0:
            raise never_written(generation)
        self._expire_all_but(generation)

    def current(self) -> str | None:
        """The generation in service."""
        with self._server.client() as client:
            self._guess = _parse(client.get(self._current_key))
        return None if self._guess is None else self._guess[1]

    def generations(self) -> Sequence[str]:
        """All that are stored, by name."""
        return sorted(self._stored())

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list in the generation in service, mostly in one round trip."""
        with self._server.conversation() as conversation:
            user, packed = user_id.encode(), None
            guess = self._guess or self._look(conversation)
            while guess is not None:
                lists, _ = self._bucket(_bucket_of(user, guess[0]), guess[1])
                conversation.ask([("GET", self._current_key), ("HGET", lists, user)])
                service, packed = conversation.answers()
                now = _parse(service)
                if now == guess and (packed is not None or self._look(conversation) == guess):
                    break  # a generation dropped between two questions has no lists any more
                guess = now
            self._guess = guess
        if guess is None or packed is None:
            return None
        return self._packer.unpack(user_id, packed)

    def count(self, generation: str) -> int:
        """How many lists it holds; 0 for an unknown one."""
        buckets, _ = self._stored().get(generation, (0, 0))
        with self._server.client() as client, client.pipeline(transaction=False) as pipeline:
            for bucket in range(buckets):
                pipeline.hlen(self._bucket(bucket, generation)[0])
            return sum(pipeline.execute())

    def drop(self, generation: str) -> None:
        """Delete a generation. An absent one does nothing."""
        with self._server.client() as client:
            keys = (self._current_key, self._generations_key)
            free, kept = self._server.script(client, _FORGET, keys, generation)
            if not free:
                raise in_service(generation)
            buckets = BUCKETS if kept is None else int(kept.split()[0])
            with client.pipeline(transaction=False) as pipeline:
                for bucket in range(buckets):
                    pipeline.unlink(self._bucket(bucket, generation)[0])
                pipeline.execute()

    def erase(self, user_id: str) -> int:
        """Delete the person's list from every generation; returns from how many."""
        stored = self._stored()
        with self._server.client() as client, client.pipeline(transaction=False) as pipeline:
            user = user_id.encode()
            for generation, (buckets, _) in stored.items():
                pipeline.hdel(self._bucket(_bucket_of(user, buckets), generation)[0], user)
            return sum(pipeline.execute())

    def trial(self) -> Trial:
        """See `ports.trial`."""
        return self._server.trial(f"{self._tag}:doctor:")

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._server.close()

    def _bucket(self, number: int, generation: str) -> tuple[str, str]:
        """The keys of the bucket's lists and of its seal."""
        tag = f"{{{self._tag}:{number}}}"
        return f"{tag}:{generation}", f"{tag}sealed"

    def _open_again(self, generation: str) -> None:
        """Take away the seals that a switch left which was killed before it came to its end.

        A switch that is alive notices: it finds the generation registered anew, and seals again.
        """
        with self._server.client() as client:
            buckets = [self._bucket(number, generation)[1] for number in range(BUCKETS)]
            with client.pipeline(transaction=False) as pipeline:
                for sealed in buckets:
                    pipeline.get(sealed)
                found = zip(buckets, pipeline.execute(), strict=True)
            own = generation.encode()
            left = [(key, seal) for key, seal in found if seal and seal.partition(b" ")[2] == own]
            if not left:
                return
            if not client.execute_command(*self._register(generation)):
                raise in_service(generation)
            with client.pipeline(transaction=False) as pipeline:
                for key, seal in left:
                    self._server.script(pipeline, _UNSEAL, [key], seal)
                pipeline.execute()

    def _register(self, generation: str) -> Command:
        """What says that the generation is written to; answered with 0 if it is in service."""
        keys = (self._current_key, self._generations_key)
        note = f"{BUCKETS} {int(time()) + self._keep_seconds}"
        return self._server.script_command(_REGISTER, keys, generation, note)

    def _puts(self, generation: str, batch: Iterable[tuple[str, str]]) -> list[Command]:
        """What writes the batch, bucket by bucket; each of it is answered with 0 if refused."""
        pairs: dict[int, list[bytes | str]] = {}
        for user_id, packed in batch:
            user = user_id.encode()
            pairs.setdefault(_bucket_of(user, BUCKETS), []).extend((user, packed))
        keep = self._keep_seconds + SPARE_SECONDS
        puts = [self._register(generation)]
        for bucket, values in pairs.items():
            keys = self._bucket(bucket, generation)
            puts.append(self._server.script_command(_PUT, keys, generation, keep, *values))
        return puts

    def _stored(self) -> dict[str, tuple[int, int]]:
        """The buckets of each generation that is there, and when it expires (0: never); what has
        expired is forgotten."""
        with self._server.client() as client:
            found: dict[str, tuple[int, int]] = {}
            for name, note in client.hgetall(self._generations_key).items():
                buckets, expires_at = map(int, note.split())
                if expires_at and expires_at < time():
                    client.hdel(self._generations_key, name)
                else:
                    found[name.decode()] = buckets, expires_at
        return found

    def _expire_all_but(self, generation: str) -> None:
        """Begin the time of those that were kept for ever: of what was in service, and of what a
        switch that was killed would have put there."""
        for name, (buckets, expires_at) in self._stored().items():
            if name == generation or expires_at:
                continue
            with self._server.client() as client, client.pipeline(transaction=False) as pipeline:
                for bucket in range(buckets):
                    key, _ = self._bucket(bucket, name)
                    pipeline.expire(key, self._keep_seconds + SPARE_SECONDS)
                self._note(pipeline, name, f"{buckets} {int(time()) + self._keep_seconds}")
                pipeline.execute()

    def _note(self, where: Any, generation: str, note: str) -> None:
        self._server.script(where, _NOTE, [self._generations_key], generation, note)

    def _look(self, conversation: Conversation) -> tuple[int, str] | None:
        """What is in service now."""
        conversation.ask([("GET", self._current_key)])
        (service,) = conversation.answers()
        return _parse(service)


def _require_taken(generation: str, answers: Sequence[int]) -> None:
    if not all(answers):
        raise in_service(generation)


def _bucket_of(user: bytes, buckets: int) -> int:
    return crc32(user) % buckets


def _parse(service: bytes | None) -> tuple[int, str] | None:
    if service is None:
        return None
    buckets, _, generation = service.decode().partition(" ")
    return int(buckets), generation
