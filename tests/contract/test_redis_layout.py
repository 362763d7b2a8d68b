"""Lists in Redis in the layout that other programs read: a LIST of item ids per person."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from tests.contract.backends import HOSTILE_IDS, REDIS, Place, places

from nextup.bootstrap import open_platform
from nextup.domain.errors import ConfigurationError, Conflict
from nextup.domain.recommendations import PublishedList, Scored
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.recommendation_store import RecommendationStore


@pytest.fixture(params=[REDIS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


def settings(place: Place, **redis: str) -> Any:
    return load_settings(
        place.home,
        tenant=place.tenant,
        recommendation_store_url=place.url,
        redis={"layout": "list", **redis},
    )


@pytest.fixture
def store(place: Place) -> Iterator[RecommendationStore]:
    with open_platform(settings(place)) as platform:
        yield platform.recommendation_store


def ranked(user_id: str, *item_ids: str) -> PublishedList:
    return PublishedList(user_id, tuple(Scored(item_id, 0.5, "als") for item_id in item_ids))


def order(store: RecommendationStore, user_id: str) -> list[str] | None:
    found = store.read(user_id)
    return None if found is None else [item.item_id for item in found.items]


def test_other_programs_find_the_list(place: Place, store: RecommendationStore) -> None:
    """The key is the setting's, behind the tenant's prefix; the best item is first."""
    store.write("g1", [ranked("ada", "isbn-2", "isbn-1")])
    with Redis.from_url(place.url) as client:
        assert client.lrange(f"{place.tenant}_user:ada", 0, -1) == [b"isbn-2", b"isbn-1"]


def test_the_key_is_a_setting(place: Place) -> None:
    """Also in the middle; a key that is the same for everybody is refused."""
    named = settings(place, list_key="recommendations:{user_id}:books")
    with open_platform(named) as platform:
        platform.recommendation_store.write("g1", [ranked("ada", "a")])
        platform.recommendation_store.switch("g1")
        assert platform.recommendation_store.count("g1") == 1
    with Redis.from_url(place.url) as client:
        assert client.llen(f"{place.tenant}_recommendations:ada:books") == 1
    with (
        open_platform(settings(place, list_key="everybody")) as platform,
        pytest.raises(ConfigurationError, match="everybody"),
    ):
        _ = platform.recommendation_store


def test_a_list_is_replaced_as_a_whole(store: RecommendationStore) -> None:
    """Who is not named keeps the old list; an empty one is as none."""
    assert store.write("g1", [ranked("ada", "a", "b"), ranked("bob", "c")]) == 2
    assert store.write("g2", [ranked("ada", "x"), ranked("eve")]) == 2
    assert [order(store, who) for who in ("ada", "bob", "eve")] == [["x"], ["c"], None]


def test_the_last_publication_has_a_name(store: RecommendationStore) -> None:
    """A generation is a name, so that a publication that is in service is not written again."""
    assert (store.current(), store.generations()) == (None, [])
    store.write("g1", [ranked("ada", "a"), ranked("bob", "b")])
    store.switch("g1")
    assert (store.current(), store.generations()) == ("g1", ["g1"])
    assert (store.count("g1"), store.count("g0")) == (2, 0)
    store.drop("g0")
    with pytest.raises(Conflict):
        store.drop("g1")


def test_ids_are_opaque(store: RecommendationStore) -> None:
    """Whatever an id consists of, and erasing one takes no other along."""
    store.write("g1", [ranked(odd, odd, "second") for odd in HOSTILE_IDS])
    store.switch("g1")
    for number, odd in enumerate(HOSTILE_IDS):
        assert order(store, odd) == [odd, "second"]
        assert store.count("g1") == len(HOSTILE_IDS) - number
        assert (store.erase(odd), store.erase(odd)) == (1, 0)
        assert order(store, odd) is None


def test_nobody_sees_half_a_list(store: RecommendationStore) -> None:
    """While a person's list is replaced again and again, each read is of one of them."""
    lists = [ranked("ada", *(f"{tag}{n}" for n in range(50))) for tag in "abc"]
    store.write("g1", lists[:1])
    done = threading.Event()
    seen: list[list[str] | None] = []

    def read() -> None:
        while not done.is_set():
            seen.append(order(store, "ada"))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        store.write("g1", [lists[number % 3]])
    done.set()
    reader.join()
    whole = [[item.item_id for item in each.items] for each in lists]
    assert seen
    assert all(each in whole for each in seen)
