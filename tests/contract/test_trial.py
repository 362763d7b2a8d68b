"""What `nextup doctor` finds out about a backend by using it, without leaving a trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.contract.backends import LAKES, POSTGRESQL, REDIS, REDIS_CLUSTER, SQLITE, Place, places

from nextup.domain.errors import BackendUnavailable
from nextup.ports.trial import SupportsTrial
from nextup.services.doctor import examine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRODUCTS = {
    "sqlite": "SQLite 3.",
    "postgresql": "PostgreSQL ",
    "redis": "Redis ",
    "redis+cluster": "Redis ",
}


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.mark.parametrize("place", [SQLITE, POSTGRESQL, REDIS, REDIS_CLUSTER], indirect=True)
def test_a_backend_shows_that_it_can_be_used(place: Place) -> None:
    """It says what it is and what time it has, and holds afterwards what it held before."""
    for opened in (place.recommendation_store(), place.online_state()):
        assert isinstance(opened, SupportsTrial)
        for _ in range(2):
            found = opened.trial()
            assert found.product.startswith(PRODUCTS[urlsplit(place.url).scheme])
            assert found.warning == ""
            if found.clock is not None:
                assert abs(found.clock - datetime.now(UTC)) < timedelta(hours=1)
    assert place.recommendation_store().generations() == []


@pytest.mark.parametrize("place", LAKES, indirect=True)
def test_a_lake_shows_that_it_can_be_used(place: Place) -> None:
    """A file is written, read and removed where the tables lie, before there is any."""
    lake = place.lake()
    assert isinstance(lake, SupportsTrial)
    for _ in range(2):
        assert lake.trial().product.startswith("Delta ")
    found = examine("lake", place.url, lambda: lake)
    assert found.healthy
    assert found.says.startswith("0 tables")


@pytest.mark.parametrize("place", LAKES[:1], indirect=True)
def test_a_lake_that_cannot_be_written(place: Place) -> None:
    """Is no healthy one, although it could be read."""
    (place.home / "lake").write_text("a file, where the folder should be")
    found = examine("lake", place.url, place.lake)
    assert not found.healthy
    assert "lake" in found.says


@pytest.mark.parametrize("place", [REDIS], indirect=True)
def test_a_redis_that_throws_data_away_is_warned_of(place: Place) -> None:
    """It works now; the finding says what will happen, and what to do."""
    from redis import Redis

    with Redis.from_url(place.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = examine("recommendation_store", place.url, place.recommendation_store)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert found.healthy
    assert "allkeys-lru" in found.says
    assert "noeviction" in found.cure


@pytest.mark.parametrize("place", [REDIS], indirect=True)
def test_a_user_who_may_only_read_redis(place: Place) -> None:
    """Is told which command was forbidden, and by what to allow it."""
    from redis import Redis

    name = f"reader_{place.tenant}"
    with Redis.from_url(place.url) as client:
        client.acl_setuser(name, enabled=True, passwords=["+secret"], keys=["*"], commands=["+get"])
        url = urlsplit(place.url)
        limited = url._replace(netloc=f"{name}:secret@{url.hostname}:{url.port}").geturl()
        reader = Place(limited, place.home, place.tenant)
        found = examine("recommendation_store", limited, reader.recommendation_store)
        reader.close()
        client.acl_deluser(name)
    assert not found.healthy
    assert "set" in found.says
    assert "ACL SETUSER" in found.cure
    assert "secret" not in f"{found}"


@pytest.mark.parametrize("place", [POSTGRESQL], indirect=True)
def test_a_user_who_may_make_no_tables(place: Place) -> None:
    """Is told so when the platform is opened, not by a stack trace."""
    from psycopg import connect

    role = f"reader_{place.tenant}"
    url = urlsplit(place.url)
    with connect(place.url, autocommit=True) as operator:
        operator.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        try:
            limited = url._replace(netloc=f"{role}:secret@{url.hostname}:{url.port}").geturl()
            with pytest.raises(BackendUnavailable, match="permission denied") as refused:
                Place(limited, place.home, place.tenant).control()
        finally:
            operator.execute(f"DROP ROLE {role}")
    assert "GRANT" in refused.value.cure
