"""Lists on their way through Kafka: who makes them sends them, and a consumer group puts them
where they are served from.

A message is `{"userId": 7, "recommendations": [{"movieId": 260, "rating": 4.5}, ...]}`, keyed by
`userId`, so that a person's lists keep their order.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from nextup.domain.errors import ConfigurationError
from nextup.domain.events import Rejected
from nextup.domain.recommendations import PublishedList, Scored
from nextup.ports.recommendation_store import ReplacesByPerson
from nextup.ports.topics import TopicMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nextup.ports.event_log import EventLog
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.ports.topics import ForeignMessage, IntakeMember, SupportsTopics

AT_ONCE: Final = 1_000  # messages
SOURCE: Final = "published"  # a message does not say which source an item came from
RULE: Final = "no_list"  # that a message breaks

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Listed(msgspec.Struct, rename={"movie_id": "movieId"}):
    """A film's place."""

    movie_id: Whole
    rating: float


class ListMessage(msgspec.Struct, rename={"user_id": "userId"}):
    """A person's list, best first; an empty one takes the old one away."""

    user_id: Whole
    recommendations: list[Listed]


_decode = msgspec.json.Decoder(ListMessage).decode


def send(
    topics: SupportsTopics, topic: str, lists: Iterable[PublishedList], generation: str
) -> int:
    """Send all lists, durably; returns how many. Sent again, they replace themselves."""
    sent = 0
    rest = iter(lists)
    while batch := list(islice(rest, AT_ONCE)):
        topics.produce(topic, [_message(each, generation) for each in batch])
        sent += len(batch)
    return sent


def _message(published: PublishedList, generation: str) -> TopicMessage:
    places = [Listed(int(one.item_id), one.score) for one in published.items]
    content = msgspec.json.encode(ListMessage(int(published.user_id), places))
    return TopicMessage(published.user_id, content, generation)


class ListsFromTopic:
    """A share of `nextup stream`: brings lists into the store that they are served from.

    Several may run, each with some of the topic's partitions. What is no list goes to the
    dead-letter topic, and the others go on.
    """

    name = "recommendations"

    def __init__(
        self, member: IntakeMember, event_log: EventLog, store: RecommendationStore
    ) -> None:
        """Raises ConfigurationError for a store that cannot replace one person's list."""
        if not isinstance(store, ReplacesByPerson):
            raise ConfigurationError(
                "This recommendation store cannot replace one person's list by itself.",
                cure="Set recommendation_store_url to Redis, and redis.layout to 'json'.",
            )
        self._member = member
        self._log = event_log
        self._store = store
        self._put = store.put

    def step(self) -> bool:
        """One batch: in the store before it counts as taken."""
        messages = self._member.take(AT_ONCE)
        lists: dict[str, PublishedList] = {}
        broken = []
        for message in messages:
            try:
                listed = _published(_decode(message.content))
            except msgspec.DecodeError as error:
                broken.append(_rejected(message, error))
            else:
                lists[listed.user_id] = listed
        if broken:
            self._log.reject(broken)
        self._keep(lists.values())
        if messages:
            self._note_generation(messages[-1].message_id)
            self._member.commit()
        return bool(messages)

    def close(self) -> None:
        """Leave the group."""
        self._member.close()

    def _keep(self, lists: Iterable[PublishedList]) -> None:
        full = [each for each in lists if each.items]
        for each in lists:
            if not each.items:
                self._store.erase(each.user_id)
        if full:
            self._put(full)

    def _note_generation(self, generation: str) -> None:
        if generation and generation != self._store.current():
            self._store.switch(generation)


def _published(message: ListMessage) -> PublishedList:
    places = (Scored(str(one.movie_id), one.rating, SOURCE) for one in message.recommendations)
    return PublishedList(str(message.user_id), tuple(places))


def _rejected(message: ForeignMessage, error: Exception) -> Rejected:
    source = f"{message.topic}/{message.partition}/{message.offset}"
    record = message.content.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
    digest = sha256(f"{source}\0{record}".encode()).hexdigest()[:32]
    reason = f"The message is no list of recommendations: {error}."
    return Rejected(digest, source, record, RULE, reason, datetime.now(UTC))
