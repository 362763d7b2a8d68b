"""Questions to Redis that travel while the next ones are made.

A driver's pipeline waits for its answers before anybody may go on. Here whoever asks goes on, and
fetches the answers later, in the order of the questions.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis.client import Redis
    from redis.cluster import RedisCluster

    Command = tuple[Any, ...]  # a name and its arguments


class Conversation(Protocol):
    """Raises the driver's errors; the first of several that the server answers with."""

    def ask(self, commands: Sequence[Command]) -> None:
        """Send the commands. They may be run twice, where a connection broke in between."""
        ...

    def answers(self) -> list[Any]:
        """To the oldest question whose answers were not fetched, one for each command."""
        ...


@contextmanager
def converse(client: Redis) -> Iterator[Conversation]:
    """On a connection of its own, which goes back to the pool in the end."""
    connection: Any = client.connection_pool.get_connection()
    conversation = _OneConnection(connection)
    try:
        yield conversation
    finally:
        if conversation.unanswered:
            connection.disconnect()  # whoever gets it next would read these answers
        client.connection_pool.release(connection)


@contextmanager
def converse_with_cluster(client: RedisCluster) -> Iterator[Conversation]:
    """On connections to whichever nodes are concerned."""
    yield _Cluster(client)


class _OneConnection:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unsent: deque[Sequence[Command]] = deque()
        self.unanswered: deque[Sequence[Command]] = deque()

    def ask(self, commands: Sequence[Command]) -> None:
        self.unanswered.append(commands)
        self._unsent.append(commands)
        self._patiently(self._send)

    def answers(self) -> list[Any]:
        found: list[Any] = self._patiently(self._read)
        self.unanswered.popleft()
        for answer in found:
            if isinstance(answer, ResponseError):
                raise answer
        return found

    def _patiently(self, step: Callable[[], Any]) -> Any:
        return self._connection.retry.call_with_retry(step, self._begin_again)

    def _begin_again(self, _: Exception) -> None:
        self._connection.disconnect()
        self._unsent = deque(self.unanswered)

    def _send(self) -> None:
        while self._unsent:
            packed = self._connection.pack_commands(self._unsent[0])
            # the driver's own question, whether the server lives, would get one of our answers
            alone = len(self._unsent) == len(self.unanswered)
            self._connection.send_packed_command(packed, check_health=alone)
            self._unsent.popleft()

    def _read(self) -> list[Any]:
        self._send()
        return [self._answer() for _ in self.unanswered[0]]

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:  # the answers behind it are still to be read
            return error


class _Cluster:
    """Waits at once: each node's answers come on a connection that the driver keeps to itself."""

    def __init__(self, client: RedisCluster) -> None:
        self._client: Any = client
        self._found: deque[list[Any]] = deque()

    def ask(self, commands: Sequence[Command]) -> None:
        with self._client.pipeline() as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            self._found.append(pipeline.execute())

    def answers(self) -> list[Any]:
        return self._found.popleft()
