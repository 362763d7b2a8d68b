"""What every recommendation store promises."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.backends import HOSTILE_IDS, RECOMMENDATION_STORES, Place, places

from nextup.domain.errors import Conflict, InvalidInput, NotFound
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.recommendation_store import RecommendationStore


@pytest.fixture(params=RECOMMENDATION_STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def store(place: Place) -> RecommendationStore:
    return place.recommendation_store()


def published(user_id: str, *item_ids: str, source: str = "factors") -> PublishedList:
    items = tuple(Scored(item, 1 / (rank + 1), source) for rank, item in enumerate(item_ids))
    return PublishedList(user_id, items)


def generation_of(tag: str, people: int, places: int = 5) -> Iterator[PublishedList]:
    """Lists of which every place says which generation it belongs to."""
    for number in range(people):
        yield published(f"user-{number}", *(f"{tag}/{place}" for place in range(places)))


def in_service(store: RecommendationStore, generation: str, *lists: PublishedList) -> None:
    store.write(generation, lists)
    store.switch(generation)


def test_a_new_store_is_empty(store: RecommendationStore) -> None:
    """A store that nothing was written to has nothing, and asking it is not an error."""
    assert store.current() is None
    assert store.generations() == []
    assert store.read("ada") is None
    assert store.count("g1") == 0
    assert store.erase("ada") == 0


def test_a_list_comes_back_as_it_was_written(store: RecommendationStore) -> None:
    """Items, scores to the last bit, sources and their order survive."""
    items = (
        Scored("film-1", 0.1 + 0.2, "factors"),
        Scored("film-2", -1e-300, "neighbours"),
        Scored("film-3", 5e-324, "trending"),
        Scored("film-4", 1.7976931348623157e308, "popular"),
        Scored("film-5", 3, "content"),
    )
    in_service(store, "g1", PublishedList("ada", items))
    assert store.read("ada") == PublishedList("ada", items)


def test_order_is_kept_whatever_the_scores(store: RecommendationStore) -> None:
    """Equal scores, and scores that rise, stay in the order they were written in."""
    items = tuple(
        Scored(name, score, "pinned") for name, score in zip("bca", (0, 0, 9), strict=True)
    )
    in_service(store, "g1", PublishedList("ada", items))
    found = store.read("ada")
    assert found is not None
    assert [item.item_id for item in found.items] == ["b", "c", "a"]


def test_an_empty_list_is_a_list(store: RecommendationStore) -> None:
    """Somebody for whom nothing is recommended differs from somebody unknown."""
    in_service(store, "g1", PublishedList("ada", ()))
    assert store.read("ada") == PublishedList("ada", ())
    assert store.read("bob") is None


def test_nothing_is_seen_before_the_switch(store: RecommendationStore) -> None:
    """A written generation is invisible until it is put in service."""
    assert store.write("g1", generation_of("g1", 3)) == 3
    assert store.read("user-1") is None
    assert store.count("g1") == 3
    assert store.generations() == ["g1"]
    store.switch("g1")
    assert store.current() == "g1"
    assert store.read("user-1") == published("user-1", *(f"g1/{place}" for place in range(5)))


def test_a_switch_takes_effect_for_everybody(store: RecommendationStore) -> None:
    """After a switch nobody gets the old generation's list, even who has none in the new."""
    in_service(store, "g1", published("ada", "old"), published("bob", "old"))
    in_service(store, "g2", published("ada", "new"))
    assert store.read("ada") == published("ada", "new")
    assert store.read("bob") is None
    store.switch("g1")  # a rollback
    assert store.read("ada") == published("ada", "old")


def test_switching_to_what_is_in_service_changes_nothing(store: RecommendationStore) -> None:
    """A publish that is repeated after its switch does no harm."""
    in_service(store, "g1", published("ada", "film"))
    store.switch("g1")
    assert store.current() == "g1"


def test_a_second_list_replaces_the_first(store: RecommendationStore) -> None:
    """Within a write and between writes, the last list of a person counts."""
    assert store.write("g1", [published("ada", "a"), published("ada", "b")]) == 2
    store.write("g1", [published("bob", "a")])
    store.write("g1", [published("bob", "b")])
    store.switch("g1")
    assert store.read("ada") == published("ada", "b")
    assert store.read("bob") == published("bob", "b")
    assert store.count("g1") == 2


def test_writing_everything_again_changes_nothing(store: RecommendationStore) -> None:
    """A publish that is run again leaves one list per person."""
    for _ in range(2):
        assert store.write("g1", generation_of("g1", 50)) == 50
    assert store.count("g1") == 50


def test_writing_nothing_makes_no_generation(store: RecommendationStore) -> None:
    """A generation without lists does not exist and cannot be put in service."""
    assert store.write("g1", []) == 0
    assert store.generations() == []
    with pytest.raises(NotFound):
        store.switch("g1")


def test_switching_to_an_unknown_generation_keeps_the_current_one(
    store: RecommendationStore,
) -> None:
    """A wrong name is an error, and serving goes on."""
    in_service(store, "g1", published("ada", "film"))
    with pytest.raises(NotFound):
        store.switch("g2")
    assert store.current() == "g1"
    assert store.read("ada") == published("ada", "film")


def test_the_generation_in_service_cannot_be_changed(store: RecommendationStore) -> None:
    """Neither a write, not even of nothing, nor a drop touches what people are reading."""
    in_service(store, "g1", published("ada", "film"))
    for lists in ([published("ada", "other")], []):
        with pytest.raises(Conflict):
            store.write("g1", lists)
    with pytest.raises(Conflict):
        store.drop("g1")
    assert store.read("ada") == published("ada", "film")


def test_a_write_that_is_overtaken_by_a_switch_stops(store: RecommendationStore) -> None:
    """A generation that is put in service while it is written takes no more lists."""

    def lists() -> Iterator[PublishedList]:
        yield from generation_of("g1", 10)
        store.write("g1", [published("ada", "film")])
        store.switch("g1")
        yield from generation_of("late", 10)

    with pytest.raises(Conflict):
        store.write("g1", lists())
    assert store.current() == "g1"
    assert store.read("ada") == published("ada", "film")


def test_a_dropped_generation_is_gone(store: RecommendationStore) -> None:
    """Dropping removes one generation, twice is no error, and its name can be used again."""
    in_service(store, "g2", published("ada", "film"))
    store.write("g1", generation_of("g1", 10))
    for _ in range(2):
        store.drop("g1")
    assert store.generations() == ["g2"]
    assert store.count("g1") == 0
    store.write("g1", [published("ada", "film")])
    assert store.count("g1") == 1


def test_generations_come_by_name(store: RecommendationStore) -> None:
    """In the order of their characters, whatever language the server speaks."""
    names = ["b", "a", "B", "20260101T000000", "_", "ä"]
    for name in names:
        store.write(name, [published("ada", "film")])
    assert list(store.generations()) == sorted(names)


def test_erasing_removes_a_person_from_every_generation(store: RecommendationStore) -> None:
    """Also from the one in service, and nobody else."""
    in_service(store, "g1", published("ada", "film"), published("bob", "film"))
    store.write("g2", [published("ada", "film"), published("bob", "film")])
    store.write("g3", [published("bob", "film")])
    assert store.erase("ada") == 2
    assert store.erase("ada") == 0
    assert store.read("ada") is None
    assert store.read("bob") == published("bob", "film")
    assert [store.count(name) for name in ("g1", "g2", "g3")] == [1, 1, 1]


def test_ids_are_opaque(store: RecommendationStore) -> None:
    """Whatever an id consists of, it is kept apart from all others and comes back as it was."""
    lists = [published(odd, odd, f"{odd}2", source=odd) for odd in HOSTILE_IDS]
    in_service(store, HOSTILE_IDS[0], *lists)
    assert store.count(HOSTILE_IDS[0]) == len(HOSTILE_IDS)
    for expected in lists:
        assert store.read(expected.user_id) == expected
    for number, odd in enumerate(HOSTILE_IDS):
        assert store.erase(odd) == 1
        assert store.count(HOSTILE_IDS[0]) == len(HOSTILE_IDS) - number - 1


def test_generation_names_are_opaque(store: RecommendationStore) -> None:
    """A generation may be called anything."""
    for odd in HOSTILE_IDS:
        in_service(store, odd, published("ada", odd))
    assert list(store.generations()) == sorted(HOSTILE_IDS)
    for odd in HOSTILE_IDS:
        store.switch(odd)
        assert store.current() == odd
        assert store.read("ada") == published("ada", odd)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_refused(store: RecommendationStore, score: float) -> None:
    """A broken model's lists are not published."""
    broken = PublishedList("ada", (Scored("null", 1.0, "null"), Scored("film", score, "factors")))
    with pytest.raises(InvalidInput, match="film"):
        store.write("g1", [broken])


def test_an_id_that_is_not_text_is_refused(store: RecommendationStore) -> None:
    """Half a surrogate pair cannot be stored, and is said to be the caller's mistake."""
    for broken in (published("\ud800", "film"), published("ada", "\ud800")):
        with pytest.raises(InvalidInput):
            store.write("g1", [broken])


def test_many_long_lists(store: RecommendationStore) -> None:
    """More lists than fit into one transaction arrive, each with all of its places."""
    assert store.write("g1", generation_of("g1", 5_000, places=50)) == 5_000
    assert store.count("g1") == 5_000
    store.switch("g1")
    for number in (0, 1_999, 2_000, 4_999):
        found = store.read(f"user-{number}")
        assert found is not None
        assert [item.item_id for item in found.items] == [f"g1/{place}" for place in range(50)]


def test_a_failure_of_the_source_harms_nobody(store: RecommendationStore) -> None:
    """When making the lists fails midway, what is in service stays, and a repetition completes."""
    in_service(store, "g1", published("user-0", "old"))

    def failing() -> Iterator[PublishedList]:
        yield from generation_of("g2", 2_500)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write("g2", failing())
    assert store.read("user-0") == published("user-0", "old")
    assert store.write("g2", generation_of("g2", 3_000)) == 3_000
    assert store.count("g2") == 3_000


def test_two_writers_share_a_generation(store: RecommendationStore) -> None:
    """Writers at the same time lose nothing, also where they write the same people."""
    failures: list[BaseException] = []

    def write(start: int) -> None:
        try:
            people = [f"user-{number % 3_000}" for number in range(start, start + 2_000)]
            store.write("g1", (published(user_id, "film") for user_id in people))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 1_000, 2_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count("g1") == 3_000


def test_readers_never_see_a_mix(store: RecommendationStore) -> None:
    """While generations are written, switched and dropped, each read is of one generation, the
    list is whole, and nobody is thrown back to an older one."""
    done = threading.Event()
    seen: list[list[str]] = [[], []]
    failures: list[BaseException] = []
    in_service(store, "g00", *generation_of("g00", 20))

    def read(mine: list[str]) -> None:
        try:
            while not done.is_set():
                for number in range(20):
                    found = store.read(f"user-{number}")
                    assert found is not None
                    assert len(found.items) == 5
                    tags = {item.item_id.split("/")[0] for item in found.items}
                    assert len(tags) == 1
                    mine.append(tags.pop())
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for reader in readers:
        reader.start()
    before = "g00"
    for number in range(1, 15):
        generation = f"g{number:02}"
        in_service(store, generation, *generation_of(generation, 20))
        store.drop(before)
        before = generation
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    for mine in seen:
        assert mine == sorted(mine)


ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scored = st.builds(Scored, ids, st.floats(allow_nan=False, allow_infinity=False), ids)
lists = st.builds(PublishedList, ids, st.lists(scored, max_size=5).map(tuple))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writes=st.lists(st.lists(lists, max_size=8), max_size=4), repeated=st.booleans())
def test_any_writes_leave_each_persons_last_list(
    place: Place, writes: list[list[PublishedList]], repeated: bool
) -> None:
    """Whatever is written in whatever portions, and even all of it again: the last list counts."""
    store = place.another().recommendation_store()
    for _ in range(1 + repeated):
        for portion in writes:
            store.write("g1", portion)
    expected = {each.user_id: each for portion in writes for each in portion}
    assert store.count("g1") == len(expected)
    if expected:
        store.switch("g1")
    for user_id, each in expected.items():
        assert store.read(user_id) == each
    store.close()


def test_closing_twice_does_nothing(store: RecommendationStore) -> None:
    """Whoever opens closes, and may do so again."""
    store.close()
    store.close()
