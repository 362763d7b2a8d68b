"""Lists in the layouts that other programs read: real tables and collections, no generations."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.backends import CASSANDRA, MONGODB, REDIS, Place, places

from nextup.bootstrap import open_platform
from nextup.domain.errors import Conflict, InvalidInput
from nextup.domain.items import Item
from nextup.domain.recommendations import PublishedList, Scored
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

LAYOUTS: dict[str, dict[str, str]] = {
    "cassandra": {"layout": "rows"},
    "mongodb": {"layout": "documents", "items": "movies"},
    "redis": {"layout": "json", "list_key": "recommendations:{user_id}"},
}
FILMS = [
    Item("1", "film", "Toy Story (1995)", genres=("Animation", "Comedy")),
    Item("2", "film", "Jumanji (1995)", genres=("Adventure",)),
    Item("30", "film", "Ça commence (2001)"),
]


@pytest.fixture(params=[CASSANDRA, MONGODB, REDIS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def platform(place: Place) -> Iterator[Platform]:
    """Its lists, and with MongoDB its items, too, in the fixed layout."""
    scheme = place.url.partition(":")[0]
    urls = {"recommendation_store_url": place.url}
    if scheme == "mongodb":
        urls["catalog_url"] = place.url
    options: dict[str, Any] = {scheme: LAYOUTS[scheme]}
    settings = load_settings(place.home, tenant=place.tenant, **urls, **options)
    with open_platform(settings) as platform:
        platform.catalog.put_items(FILMS)
        yield platform


def ranked(user_id: str, **scores: float) -> PublishedList:
    """Scores are exact in 32 bits, as the table keeps them."""
    items = (Scored(item_id.strip("_"), score, "als") for item_id, score in scores.items())
    return PublishedList(user_id, tuple(items))


def order(platform: Platform, user_id: str) -> list[tuple[str, float]] | None:
    found = platform.recommendation_store.read(user_id)
    return None if found is None else [(item.item_id, item.score) for item in found.items]


def test_a_list_is_replaced_at_once_and_as_a_whole(platform: Platform) -> None:
    """What left is gone, what stayed has its new score; who is not named keeps the old list."""
    store = platform.recommendation_store
    assert store.write("g1", [ranked("7", _1=4.5, _2=4.25), ranked("8", _2=3.0)]) == 2
    assert order(platform, "7") == [("1", 4.5), ("2", 4.25)]
    assert store.write("g2", [ranked("7", _30=5.0, _2=1.5)]) == 1
    assert order(platform, "7") == [("30", 5.0), ("2", 1.5)]
    assert order(platform, "8") == [("2", 3.0)]
    assert order(platform, "9") is None
    assert order(platform, "no number") is None


def test_the_last_publication_has_a_name(platform: Platform) -> None:
    """A generation is a name, so that a publication that is in service is not written again."""
    store = platform.recommendation_store
    assert store.current() is None
    assert store.generations() == []
    store.write("g1", [ranked("7", _1=4.5), ranked("8", _2=3.0)])
    store.switch("g1")
    assert store.current() == "g1"
    assert store.generations() == ["g1"]
    assert (store.count("g1"), store.count("g0")) == (2, 0)
    store.drop("g0")
    with pytest.raises(Conflict):
        store.drop("g1")


def test_erasing(platform: Platform) -> None:
    """The person's list, and nobody else's."""
    store = platform.recommendation_store
    store.write("g1", [ranked("7", _1=4.5), ranked("8", _2=3.0)])
    assert store.erase("7") == 1
    assert store.erase("7") == store.erase("no number") == 0
    assert order(platform, "7") is None
    assert order(platform, "8") == [("2", 3.0)]


@pytest.mark.parametrize("bad", ["ada", "", "01", "1.0", "99999999999", "²", "\u0661"])
def test_ids_are_whole_numbers(platform: Platform, bad: str) -> None:
    """Another id is refused before anything of its list is written."""
    for broken in (ranked(bad, _1=4.5), ranked("7", _1=4.5, **{bad: 1.0})):
        with pytest.raises(InvalidInput, match="whole number"):
            platform.recommendation_store.write("g1", [broken])
    assert order(platform, "7") is None


def test_more_lists_than_fit_one_round_trip(platform: Platform) -> None:
    """Each arrives, and the last of a person's in one write counts."""
    many = [ranked(str(number), _1=number / 4) for number in range(1, 1_501)]
    assert platform.recommendation_store.write("g1", [*many, ranked("1", _2=2.0)]) == 1_501
    platform.recommendation_store.switch("g1")
    assert platform.recommendation_store.count("g1") == 1_500
    assert order(platform, "1500") == [("1", 375.0)]
    assert order(platform, "1") == [("2", 2.0)]


def test_nobody_sees_half_a_list(platform: Platform) -> None:
    """While a person's list is replaced again and again, each read is of one of them."""
    store = platform.recommendation_store
    lists = [ranked("7", _1=1.0, _2=1.0), ranked("7", _2=2.0, _30=2.0), ranked("7", _30=3.0)]
    store.write("g1", lists[:1])
    allowed = [{item.item_id: item.score for item in each.items} for each in lists]
    done = threading.Event()
    seen: list[dict[str, float] | None] = []

    def read() -> None:
        while not done.is_set():
            found = order(platform, "7")
            seen.append(None if found is None else dict(found))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        store.write("g1", [lists[number % 3]])
    done.set()
    reader.join()
    assert seen
    assert all(each in allowed for each in seen)


def test_other_programs_find_the_rows(place: Place, platform: Platform) -> None:
    """Names, types and texts are those that a program outside relies on."""
    platform.recommendation_store.write("g1", [ranked("7", _1=4.5, _30=4.25)])
    prefix = f"{place.tenant}_"
    if place.url.startswith("cassandra:"):
        from nextup.adapters.cassandra import CassandraCluster
        from nextup.settings_servers import Cassandra

        cluster = CassandraCluster(place.url, Cassandra(timeout_seconds=20), {}, {})
        rows = cluster.run(
            'SELECT "userid", "movieid", score, title, genres '
            f"FROM {cluster.keyspace}.{prefix}recommendations WHERE userId = 7"
        )
        cluster.close()
        assert [tuple(row) for row in rows] == [
            (7, 1, 4.5, "Toy Story (1995)", "Animation|Comedy"),
            (7, 30, 4.25, "Ça commence (2001)", ""),
        ]
        return
    if place.url.startswith("redis:"):
        from redis import Redis

        with Redis.from_url(place.url) as redis:
            text = redis.get(f"{prefix}recommendations:7")
        assert text == b'[{"movieId":1,"rating":4.5},{"movieId":30,"rating":4.25}]'
        return
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](place.url) as client:
        database = client.get_default_database()
        found = database[f"{prefix}recommendations"].find_one({"userId": 7}, {"_id": 0})
        films = database[f"{prefix}movies"].find().sort("movieId", 1)
        titles = [(film["movieId"], film["title"]) for film in films]
    assert found == {
        "userId": 7,
        "recommendations": [{"movieId": 1, "rating": 4.5}, {"movieId": 30, "rating": 4.25}],
    }
    assert titles == [(int(film.item_id), film.title) for film in FILMS]
