"""One Redis behind a URL: connections, time limits, and errors in our words.

`redis://` is plain and `rediss://` is TLS; `redis+cluster://` and `rediss+cluster://` name one node
of a cluster, which tells of the others. Needs Redis 6.2 or what speaks like it.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis.backoff import ExponentialBackoff
from redis.client import Redis
from redis.cluster import RedisCluster
from redis.connection import BlockingConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry

from nextup.adapters.redis_conversation import converse, converse_with_cluster
from nextup.adapters.redis_errors import translate
from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    CorruptData,
    InvalidInput,
)
from nextup.ports.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextup.adapters.redis_conversation import Command, Conversation
    from nextup.settings_servers import Connections

IDLE_SECONDS: Final = 30  # a connection that nobody used for so long is tried before it is lent
TRIAL_MILLISECONDS: Final = 60_000  # what a killed trial left goes after so long
RETRY_SECONDS: Final = 1.0  # the longest pause between two tries

_URL_CURE = "Write redis://user:password@host:6379/0, rediss:// for TLS, redis+cluster://host."


class RedisServer:
    """A pool of connections. Safe to share between threads."""

    def __init__(self, url: str, connections: Connections) -> None:
        parsed = urlsplit(url)
        scheme, _, cluster = parsed.scheme.partition("+")
        if scheme not in {"redis", "rediss"} or cluster not in {"", "cluster"}:
            raise ConfigurationError("A Redis URL cannot be read.", cure=_URL_CURE)
        try:
            place = parsed.hostname or "localhost"
            self.url = f"{parsed.scheme}://{place}:{parsed.port or 6379}{parsed.path}"
        except ValueError as error:  # a port that is no number
            raise ConfigurationError("A Redis URL cannot be read.", cure=_URL_CURE) from error
        self.is_cluster = bool(cluster)
        self._plain_url = parsed._replace(scheme=scheme).geturl()
        self._options: dict[str, Any] = {
            "socket_timeout": connections.answer_seconds,
            "socket_connect_timeout": connections.connect_seconds,
            "health_check_interval": IDLE_SECONDS,
            "client_name": "nextup",
        }
        if scheme == "rediss" and connections.ca_file:
            self._options["ssl_ca_certs"] = connections.ca_file
        self._retry = Retry(ExponentialBackoff(cap=RETRY_SECONDS), connections.retries)
        self._connections = connections
        self._client: Any = None
        self._closed = False

    def __repr__(self) -> str:
        return f"RedisServer({self.url!r})"

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Commands and pipelines; the driver's errors leave the block as those of
        `domain.errors`."""
        if self._closed:
            raise BackendUnavailable(f"{self.url} was closed.", cure="Open the platform again.")
        try:
            if self._client is None:
                self._client = self._connect()
            yield self._client
        except RedisError as error:
            raise translate(error, self.url) from error
        except UnicodeEncodeError as error:
            raise InvalidInput("A value cannot be stored: it is not text.") from error

    @contextmanager
    def conversation(self) -> Iterator[Conversation]:
        """Commands that travel while the next ones are made; errors as with `client`."""
        with (
            self.client() as client,
            (converse_with_cluster if self.is_cluster else converse)(client) as conversation,
        ):
            yield conversation

    @classmethod
    def script(cls, where: Any, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        """Run Lua, in one step, by a client or in a pipeline: that of a cluster has no `eval`."""
        return where.execute_command(*cls.script_command(script, keys, *arguments))

    @staticmethod
    def script_command(script: str, keys: Sequence[str], *arguments: Any) -> Command:
        """The same for a conversation."""
        return ("EVAL", script, len(keys), *keys, *arguments)

    def trial(self, key: str) -> Trial:
        """Write, read and delete something, and ask what the server is."""
        name = f"{key}{secrets.token_hex(8)}"
        with self.client() as client:
            client.set(name, name, px=TRIAL_MILLISECONDS)
            found, removed = client.get(name), client.delete(name)
            if (found, removed) != (name.encode(), 1):
                raise CorruptData(f"{self.url} does not give back what it was given.")
            one = {"target_nodes": client.get_random_node()} if self.is_cluster else {}
            about, memory = client.info("server", **one), client.info("memory", **one)
            seconds, microseconds = client.time(**one)
        clock = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
        policy = memory.get("maxmemory_policy", "noeviction")
        product = f"Redis {about['redis_version']}"
        if policy == "noeviction":
            return Trial(product, clock)
        return Trial(
            product,
            clock,
            f"When its memory is full it throws data away ({policy}).",
            "Set maxmemory-policy to noeviction.",
        )

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self) -> Any:
        if self.is_cluster:
            return RedisCluster.from_url(
                self._plain_url,
                retry=self._retry,
                max_connections=self._connections.pool,
                **self._options,
            )
        pool = BlockingConnectionPool.from_url(
            self._plain_url,
            max_connections=self._connections.pool,
            timeout=self._connections.connect_seconds,
            retry=self._retry,
            **self._options,
        )
        return Redis.from_pool(pool)
