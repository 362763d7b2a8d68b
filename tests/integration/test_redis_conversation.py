"""Talking to a real Redis without waiting for each answer, and what becomes of a broken talk."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError
from tests.servers import reach, server

from nextup.adapters.redis import RedisServer
from nextup.domain.errors import BackendUnavailable
from nextup.settings_servers import Connections

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW = Connections(pool=2, connect_seconds=2, answer_seconds=5, retries=3)


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """The server that the table's row names."""
    opened = RedisServer(reach(request, request.param).url, FEW)
    yield opened
    opened.close()


@pytest.fixture
def key() -> str:
    return f"{{conversation}}{secrets.token_hex(4)}"


alone = pytest.mark.parametrize("redis", [server("redis")], indirect=True)
both = pytest.mark.parametrize("redis", [server("redis"), server("redis_cluster")], indirect=True)


@both
def test_answers_come_in_the_order_of_the_questions(redis: RedisServer, key: str) -> None:
    """Several are asked before the first answers are fetched."""
    with redis.conversation() as conversation:
        conversation.ask([("SET", key, "a"), ("GET", key)])
        conversation.ask([("APPEND", key, "b"), ("GET", key), ("DEL", key)])
        assert conversation.answers()[1] == b"a"
        assert conversation.answers() == [2, b"ab", 1]


@alone
def test_what_was_not_answered_is_asked_again(redis: RedisServer, key: str) -> None:
    """The connection breaks after everything was sent and before any answer was read."""
    with redis.conversation() as conversation, redis.conversation() as other:
        conversation.ask([("CLIENT", "ID")])
        (number,) = conversation.answers()
        conversation.ask([("SET", key, "1"), ("GET", key)])
        conversation.ask([("SET", key, "2"), ("GET", key)])
        other.ask([("CLIENT", "KILL", "ID", number)])
        assert other.answers() == [1]
        assert conversation.answers()[1] == b"1"
        assert conversation.answers()[1] == b"2"
        conversation.ask([("CLIENT", "ID"), ("DEL", key)])
        another, gone = conversation.answers()
        assert another != number
        assert gone == 1


@alone
def test_a_refusal_is_raised_and_the_talk_goes_on(redis: RedisServer, key: str) -> None:
    """All answers of the question are read first, so that the next ones are not mixed up."""
    with redis.conversation() as conversation:
        conversation.ask([("SET", key, "text"), ("HSET", key, "a", "b"), ("DEL", key)])
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            conversation.answers()
        conversation.ask([("GET", key)])
        assert conversation.answers() == [None]


@alone
def test_answers_that_nobody_fetched_reach_nobody_else(redis: RedisServer, key: str) -> None:
    """Whoever gets the connection next hears its own answers."""

    def give_up() -> None:
        with redis.conversation() as conversation:
            conversation.ask([("SET", key, "left")])
            raise InterruptedError

    with pytest.raises(InterruptedError):
        give_up()
    with redis.client() as client:
        assert client.get(key) in {b"left", None}
        client.delete(key)
        assert client.echo("mine") == b"mine"


@alone
def test_a_server_that_is_gone_is_said(redis: RedisServer) -> None:
    """After the retries, in our words."""
    nobody = RedisServer("redis://127.0.0.1:1", Connections(connect_seconds=1, retries=1))
    with pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1:1"), nobody.conversation():
        pass
    nobody.close()
