"""What every online state promises."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.backends import (
    HOSTILE_IDS,
    ONLINE_STATES,
    WINDOW_DAYS,
    Place,
    places,
)
from tests.contract.log_rows import (
    HOUR,
    NOON,
    after,
    counters,
    cuts,
    histories,
    portions,
    row,
    streams,
    tallies,
    touch,
)

from nextup.domain.events import START, LogRow
from nextup.domain.recommendations import Because, Level, Recommendation, ServedList

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nextup.ports.online_state import OnlineState

FAR = datetime(2100, 1, 1, tzinfo=UTC)
PAST = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture(params=ONLINE_STATES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def state(place: Place) -> OnlineState:
    return place.online_state()


def apply(state: OnlineState, *rows: LogRow) -> None:
    state.apply(rows, after(rows))


def all_trending(state: OnlineState) -> Mapping[str, Sequence[tuple[datetime, float]]]:
    return state.trending(PAST, FAR)


def served(token: str, user_id: str = "ada", item_id: str = "film") -> ServedList:
    items = (
        Recommendation(
            item_id,
            0.1 + 0.2,
            "factors",
            {"factors": 0.2, "trending": 1e-9},
            (Because("other", 0.75), Because("third", 0.25)),
            ("pinned",),
        ),
        Recommendation("b", -1.0, "popular", {}),
    )
    moment = datetime(2024, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
    return ServedList(token, user_id, moment, Level.FRESH, "model-1", items, ("kind=film",))


def test_a_new_state_is_empty(state: OnlineState) -> None:
    """A state that nothing was applied to knows nobody, and asking it is not an error."""
    assert state.position() == START
    assert state.history("ada") == []
    assert all_trending(state) == {}
    assert state.served("token") is None
    assert state.erase("ada") == 0


def test_applied_events_are_the_history(state: OnlineState) -> None:
    """What a person did is remembered in the order of the log, whole."""
    rows = [
        row(0, item_id="a"),
        row(1, "bob", "a"),
        row(5, item_id="b", type="rating", value=4.5, at=NOON - HOUR),
        row(6, item_id="a", type="dismiss", at=NOON + timedelta(microseconds=1)),
    ]
    apply(state, *rows)
    assert state.history("ada") == [touch(rows[0]), touch(rows[2]), touch(rows[3])]
    assert state.history("bob") == [touch(rows[1])]
    assert state.position() == {"0": 7}


def test_the_same_offset_is_applied_once(state: OnlineState) -> None:
    """A batch that comes again, whole or in part or twice in one call, changes nothing."""
    rows = [row(0, item_id="a"), row(1, item_id="b"), row(2, item_id="c")]
    apply(state, *rows[:2])
    apply(state, *rows[:2])
    apply(state, *rows, *rows)
    assert state.history("ada") == [touch(one) for one in rows]
    assert all_trending(state) == {item: [(NOON, 1.0)] for item in "abc"}


def test_a_replay_does_not_move_back(state: OnlineState) -> None:
    """The position says how far the log was ever applied."""
    apply(state, row(0), row(9))
    apply(state, row(0))
    assert state.position() == {"0": 10}


def test_the_position_moves_without_rows(state: OnlineState) -> None:
    """Offsets that hold nothing, such as those of erased events, are passed."""
    state.apply([], {"0": 5})
    assert state.position() == {"0": 5}


def test_partitions_have_positions_of_their_own(state: OnlineState) -> None:
    """Equal offsets in two partitions are two events."""
    one, two = row(3, "ada", partition="0"), row(3, "bob", partition="events-1")
    apply(state, one)
    apply(state, two)
    assert state.position() == {"0": 4, "events-1": 4}
    assert state.history("ada") == [touch(one)]
    assert state.history("bob") == [touch(two)]


def test_being_shown_something_is_not_a_touch(state: OnlineState) -> None:
    """Impressions are neither remembered nor counted; the position passes them."""
    apply(state, row(0, type="impression"))
    assert state.history("ada") == []
    assert all_trending(state) == {}
    assert state.position() == {"0": 1}


def test_counters_add_weights_by_hour(state: OnlineState) -> None:
    """Per item and hour of occurrence, each type with its weight; who counts nothing is absent."""
    apply(
        state,
        row(0, item_id="a", at=NOON),
        row(1, "bob", "a", at=NOON + HOUR - timedelta(microseconds=1), type="like"),
        row(2, "bob", "a", at=NOON + HOUR),
        row(3, item_id="b", type="rating", at=NOON - 3 * HOUR),
        row(4, item_id="c", type="dismiss"),
        row(5, item_id="d", type="never heard of"),
    )
    assert all_trending(state) == {
        "a": [(NOON, 6.0), (NOON + HOUR, 1.0)],
        "b": [(NOON - 3 * HOUR, pytest.approx(0.1))],
    }


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        (NOON, NOON + HOUR, [12]),
        (NOON + HOUR / 2, NOON + HOUR / 2 + timedelta(microseconds=1), [12]),
        (NOON - timedelta(microseconds=1), NOON + timedelta(microseconds=1), [11, 12]),
        (NOON - HOUR, NOON + 2 * HOUR, [11, 12, 13]),
        (NOON, NOON, []),
        (NOON + HOUR, NOON, []),
    ],
)
def test_trending_covers_the_hours_asked_for(
    state: OnlineState, since: datetime, until: datetime, hours: list[int]
) -> None:
    """Every hour that shares a moment with [since, until), and no other."""
    apply(state, *(row(n, at=NOON + (n - 2) * HOUR) for n in range(5)))
    found = state.trending(since, until).get("film", [])
    assert [moment.hour for moment, _ in found] == hours


def test_old_counters_are_forgotten(state: OnlineState) -> None:
    """Hours beyond the window go when newer ones come, also those that come late."""
    old = NOON - timedelta(days=WINDOW_DAYS) - HOUR
    apply(state, row(0, item_id="old", at=old), row(1, item_id="kept", at=old + HOUR))
    assert set(all_trending(state)) == {"old", "kept"}
    apply(state, row(2, item_id="new"))
    assert set(all_trending(state)) == {"kept", "new"}
    apply(state, row(3, item_id="late", at=old))
    assert set(all_trending(state)) == {"kept", "new"}
    assert len(state.history("ada")) == 4


def test_one_clock_ahead_does_not_wipe_the_counters(state: OnlineState) -> None:
    """An event that claims to be from the far future does not push the window."""
    now = datetime.now(UTC)
    apply(state, row(0, item_id="now", at=now), row(1, item_id="odd", at=now.replace(year=2090)))
    assert "now" in all_trending(state)


def test_loaded_histories_are_the_base(state: OnlineState) -> None:
    """After a load people have what was loaded, and events go on from its position."""
    rows = [row(offset, user_id) for offset, user_id in enumerate(["ada", "bob", "ada"])]
    assert state.load_histories(histories(rows).items(), {"0": 3}) == 2
    assert state.position() == {"0": 3}
    more = row(3, item_id="more")
    apply(state, *rows, more)
    assert state.history("ada") == [touch(rows[0]), touch(rows[2]), touch(more)]
    assert state.history("bob") == [touch(rows[1])]


def test_a_load_keeps_what_came_after_it(state: OnlineState) -> None:
    """Touches from beyond the loaded position stay, those before it are replaced."""
    rows = [row(offset, item_id=str(offset)) for offset in range(6)]
    apply(state, *rows)
    state.load_histories([("ada", [touch(rows[0]), touch(rows[2])])], {"0": 4})
    assert [each.offset for each in state.history("ada")] == [0, 2, 4, 5]
    assert state.position() == {"0": 6}
    apply(state, *rows)
    assert [each.offset for each in state.history("ada")] == [0, 2, 4, 5]


def test_loading_again_changes_nothing(state: OnlineState) -> None:
    """A load that is repeated, or is older than the one before, loses nothing."""
    rows = [row(offset) for offset in range(4)]
    for reached in (4, 4, 2):
        state.load_histories(histories(rows[:reached]).items(), {"0": reached})
    assert state.history("ada") == [touch(one) for one in rows]
    assert state.position() == {"0": 4}


def test_who_is_not_loaded_stays(state: OnlineState) -> None:
    """A load changes only those whom it brings."""
    mine = row(0, "bob")
    apply(state, mine)
    assert state.load_histories([("ada", [])], {"0": 1}) == 1
    assert state.history("bob") == [touch(mine)]
    assert state.history("ada") == []


def test_many_people_are_loaded(state: OnlineState) -> None:
    """More people than fit into one transaction arrive, from an iterator read once."""
    base = [touch(row(offset)) for offset in range(20)]
    people = ((f"user-{number}", base) for number in range(5_000))
    assert state.load_histories(people, {"0": 20}) == 5_000
    for number in (0, 1_999, 2_000, 4_999):
        assert state.history(f"user-{number}") == base


def test_a_large_batch(state: OnlineState) -> None:
    """One call may bring more people than a database takes parameters."""
    rows = [row(offset, f"user-{offset % 6_000}") for offset in range(12_000)]
    apply(state, *rows)
    assert state.history("user-5999") == [touch(rows[5_999]), touch(rows[11_999])]
    assert all_trending(state) == {"film": [(NOON, 12_000.0)]}


def test_ids_are_opaque(state: OnlineState) -> None:
    """Whatever an id consists of, it is kept apart from all others and comes back as it was."""
    rows = [row(n, odd, odd, type="like") for n, odd in enumerate(HOSTILE_IDS)]
    apply(state, *rows)
    assert all_trending(state) == {odd: [(NOON, 5.0)] for odd in HOSTILE_IDS}
    for one in rows:
        assert state.history(one.user_id) == [touch(one)]
        state.save_served(served(one.user_id, one.user_id, one.item_id), FAR)
    for odd in HOSTILE_IDS:
        assert state.served(odd) == served(odd, odd, odd)
        assert state.erase(odd) == 2
    assert [state.history(odd) for odd in HOSTILE_IDS] == [[]] * len(HOSTILE_IDS)


def test_a_served_list_comes_back_as_it_was(state: OnlineState) -> None:
    """Every score, reason and rule, and the moment to the microsecond."""
    state.save_served(served("t1"), FAR)
    assert state.served("t1") == served("t1")
    bare = ServedList("t2", "ada", NOON, Level.POPULAR, None, ())
    state.save_served(bare, FAR)
    assert state.served("t2") == bare


def test_a_token_is_replaced(state: OnlineState) -> None:
    """The same token holds the last list saved under it, for as long as that one was given."""
    state.save_served(served("t", item_id="a"), FAR)
    state.save_served(served("t", item_id="b"), FAR)
    assert state.served("t") == served("t", item_id="b")
    state.save_served(served("t", item_id="c"), PAST)
    assert state.served("t") is None
    state.save_served(served("t", item_id="d"), FAR)
    state.save_served(served("other"), FAR)  # which may remove expired ones in passing
    assert state.served("t") == served("t", item_id="d")


def test_an_expired_list_is_gone(state: OnlineState) -> None:
    """Past its time a served list is unknown, and others are not."""
    state.save_served(served("old"), PAST)
    assert state.served("old") is None
    state.save_served(served("kept"), FAR)
    assert state.served("old") is None
    assert state.served("kept") == served("kept")


def test_erasing_forgets_the_person(state: OnlineState) -> None:
    """History and served lists go, the counters, which name nobody, and everybody else stay."""
    apply(state, row(0), row(1, "bob"), row(2))
    for token, user_id in (("t1", "ada"), ("t2", "ada"), ("t3", "bob")):
        state.save_served(served(token, user_id), FAR)
    assert state.erase("ada") == 3  # one history and two lists
    assert state.erase("ada") == 0
    assert state.history("ada") == []
    assert [state.served(token) for token in ("t1", "t2")] == [None, None]
    assert state.served("t3") == served("t3", "bob")
    assert len(state.history("bob")) == 1
    assert all_trending(state) == {"film": [(NOON, 3.0)]}
    later = row(3, item_id="later")
    apply(state, later)
    assert state.history("ada") == [touch(later)]


def test_two_updaters_count_once(state: OnlineState) -> None:
    """Two that apply the same log at the same time leave each event once."""
    rows = [row(n, f"user-{n % 7}", f"item-{n % 3}") for n in range(600)]
    failures: list[BaseException] = []

    def follow(step: int) -> None:
        try:
            for start in range(0, len(rows), step):
                apply(state, *rows[start : start + step])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=follow, args=(step,)) for step in (20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {user: state.history(user) for user in histories(rows)} == histories(rows)
    assert all_trending(state) == {f"item-{n}": [(NOON, 200.0)] for n in range(3)}
    assert state.position() == {"0": 600}


properties = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@properties
@given(rows=streams, cuts=cuts)
def test_any_chopping_and_repetition_gives_the_same_state(
    place: Place, rows: list[LogRow], cuts: list[tuple[int, int]]
) -> None:
    """However a log is cut into batches and replayed, histories and counters are those of the
    log read once."""
    state = place.another().online_state()
    for portion in portions(rows, cuts):
        state.apply(portion, after(portion))
    assert state.position() == after(rows)
    for user_id in (f"user-{n}" for n in range(4)):
        assert state.history(user_id) == histories(rows).get(user_id, [])
    found = {item_id: dict(hours) for item_id, hours in all_trending(state).items()}
    assert found == {
        item_id: {hour: pytest.approx(weight) for hour, weight in hours.items()}
        for item_id, hours in counters(rows).items()
    }
    state.close()


@properties
@given(
    rows=streams,
    loads=st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), min_size=1, max_size=3),
)
def test_a_load_at_any_moment_loses_nothing(
    place: Place, rows: list[LogRow], loads: list[tuple[int, int]]
) -> None:
    """Whenever histories are loaded, up to wherever: with the rest of the log applied, everybody
    has all touches, each once, and every counter is right."""
    state = place.another().online_state()
    for applied, refined in loads:
        apply(state, *rows[:applied])
        base = rows[:refined]
        state.load_histories(histories(base).items(), after(base), tallies(base))
    reached = state.position()
    state.apply([one for one in rows if one.offset >= reached.get(one.partition, 0)], after(rows))
    for user_id in (f"user-{n}" for n in range(4)):
        assert state.history(user_id) == histories(rows).get(user_id, [])
    found = {item_id: dict(hours) for item_id, hours in all_trending(state).items()}
    assert found == {
        item_id: {hour: pytest.approx(weight) for hour, weight in hours.items()}
        for item_id, hours in counters(rows).items()
    }
    state.close()


def test_closing_twice_does_nothing(state: OnlineState) -> None:
    """Whoever opens closes, and may do so again."""
    state.close()
    state.close()
