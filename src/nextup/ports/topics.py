"""What a log that lives in topics can do besides: share its work, and talk with other programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from nextup.domain.events import Position
from nextup.ports.event_log import EventBatch


class TopicStatus(NamedTuple):
    """One topic as it is."""

    topic: str
    partitions: int
    replication: int
    created: bool  # just now


class TopicMessage(NamedTuple):
    """A message for other programs. Messages of one key keep their order."""

    key: str
    content: bytes
    message_id: str = ""  # the event's id, where the content has no place for it


class ForeignMessage(NamedTuple):
    """What another program wrote to a topic."""

    topic: str
    partition: int
    offset: int
    content: bytes
    sent_at: int  # microseconds since the epoch
    message_id: str  # empty where none came with it
    is_copy: bool  # of an event that is in the log already


class GroupMember(Protocol):
    """One of several that share a log's partitions among them. Used by one thread."""

    def partitions(self) -> Collection[str]:
        """Those that are this member's now; asked often, for others take them from who is
        silent. Empty while the group settles, or has more members than partitions."""
        ...

    def read(self, position: Position, limit: int) -> EventBatch:
        """Like `EventLog.read`, of the partitions that the position names; those at 0 too."""
        ...

    def commit(self, position: Position) -> None:
        """Let others see how far this member has come. What it has done is told by the position
        that lies beside its results; this one may be behind."""
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once. Closing twice does nothing."""
        ...


class IntakeMember(Protocol):
    """One of several that share the topics which other programs write to. Used by one thread."""

    def take(self, limit: int) -> Sequence[ForeignMessage]:
        """At most so many messages that nobody has committed; empty when none came for a while."""
        ...

    def commit(self) -> None:
        """All that was taken is done with."""
        ...

    def close(self) -> None:
        """Leave the group; what was not committed is taken again. Closing twice does nothing."""
        ...


@runtime_checkable
class SupportsTopics(Protocol):
    """A log of this kind has partitions that several processes share, and neighbours."""

    def make_topics(self) -> Sequence[TopicStatus]:
        """Make those of the settings that are absent; says how all are."""
        ...

    def produce(self, topic: str, messages: Sequence[TopicMessage]) -> None:
        """Write to any topic, durably; made with the settings' partitions where it is absent.
        Raises BackendUnavailable unless all were acknowledged."""
        ...

    def join(self, group: str) -> GroupMember:
        """Take part in a group that reads the log."""
        ...

    def join_intake(self, group: str) -> IntakeMember:
        """Take part in a group that reads the topics of the setting `kafka.intake`."""
        ...

    def join_topics(self, group: str, topics: Sequence[str]) -> IntakeMember:
        """Take part in a group that reads these topics, which are made where they are absent. The
        group is called so on the brokers, behind the tenant's prefix."""
        ...
