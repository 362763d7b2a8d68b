"""What every event log promises."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.backends import EVENT_LOGS, HOSTILE_IDS, Place, kill_at_line, places
from tests.contract.cases import BASE, event, in_threads
from tests.servers import cannot, durable

from nextup.domain.errors import BackendUnavailable, InvalidInput
from nextup.domain.events import START, Rejected, RejectedRow, to_microseconds
from nextup.ports.event_log import SupportsErasure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.cases import Opener

    from nextup.domain.events import Event, LogRow, Position
    from nextup.ports.event_log import EventLog


@pytest.fixture(params=EVENT_LOGS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


def everything(log: EventLog, limit: int = 1000) -> list[LogRow]:
    return everything_from(log, START, limit)


def everything_from(log: EventLog, position: Position, limit: int = 1000) -> list[LogRow]:
    rows = []
    while (batch := log.read(position, limit)).rows:
        rows += batch.rows
        position = batch.position
    return rows


def ids(log: EventLog) -> list[str]:
    return [row.event_id for row in everything(log)]


def rejected(number: int, record: str = "{}") -> Rejected:
    return Rejected(f"r{number}", "api", record, "type", "No such type.", BASE)


def test_a_new_log_is_empty(event_log: EventLog) -> None:
    """A log that nothing was written to has no head, no rows and no consumers."""
    assert event_log.head() == {}
    assert event_log.read(START, 10) == ([], START)
    assert event_log.read_rejected(START, 10) == ([], START)
    assert event_log.committed("lake") == START
    assert event_log.append([]) == []
    assert event_log.reject([]) == 0


def test_an_event_comes_back_as_it_was(event_log: EventLog) -> None:
    """All fields survive, to the microsecond and the last bit, and so does their absence."""
    full = event(
        1,
        type="rating",
        occurred_at=datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        value=0.1 + 0.2,
        session_id="s",
        recommendation_id="r",
        context='{"page": "ü"}',
    )
    bare = event(2)
    event_log.append([full, bare])
    assert [row.event() for row in everything(event_log)] == [full, bare]


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_ids_may_be_anything(event_log: EventLog, hostile: str) -> None:
    """Text that means something to a database or a shell is only text in an id."""
    wild = event(1, user=hostile, event_id=hostile, item_id=hostile, session_id=hostile)
    event_log.append([wild])
    assert event_log.append([wild])[0].duplicate
    assert [row.event() for row in everything(event_log)] == [wild]
    event_log.commit(hostile, {"0": 1})
    assert event_log.committed(hostile) == {"0": 1}


def test_ids_that_look_alike_are_different(event_log: EventLog) -> None:
    """Case, accents written in another way, spaces and zeros in front make another id."""
    receipts = event_log.append([event(0, event_id=hostile) for hostile in HOSTILE_IDS])
    assert not any(receipt.duplicate for receipt in receipts)
    assert ids(event_log) == HOSTILE_IDS


def test_the_same_id_in_one_call_is_one_event(event_log: EventLog) -> None:
    """The first one is written; the second one's receipt points to it."""
    first, second, other = event_log.append([event(1), event(1, user="bob"), event(2)])
    assert [first.duplicate, second.duplicate, other.duplicate] == [False, True, False]
    assert first.offset == second.offset != other.offset
    assert [row.user_id for row in everything(event_log)] == ["ada", "ada"]


def test_the_same_id_in_two_calls_is_one_event(event_log: EventLog) -> None:
    """A retry, alone or among new events, writes only what is new, and finds the offsets."""
    before = event_log.append([event(1), event(2)])
    after = event_log.append([event(2), event(3), event(1)])
    assert [receipt.duplicate for receipt in after] == [True, False, True]
    assert (after[0].offset, after[2].offset) == (before[1].offset, before[0].offset)
    assert ids(event_log) == ["e000001", "e000002", "e000003"]


@durable(EVENT_LOGS)
def test_the_same_id_after_a_restart_is_one_event(open_log: Opener) -> None:
    """What was written is known to the next process."""
    log = open_log()
    first = log.append([event(1)])
    log.close()
    log = open_log()
    assert log.append([event(1)]) == [first[0]._replace(duplicate=True)]
    assert log.append([event(2)])[0].offset > first[0].offset
    assert ids(log) == ["e000001", "e000002"]


def test_receipts_are_where_the_events_are(event_log: EventLog) -> None:
    """Reading at a receipt's offset finds the event."""
    receipts = event_log.append([event(number) for number in (3, 1, 3, 2)])
    for receipt in receipts:
        position = {receipt.partition: receipt.offset}
        assert event_log.read(position, 1).rows[0].event_id == receipt.event_id


def test_reading_goes_on_where_it_stopped(event_log: EventLog) -> None:
    """Batches of any size give every row once, in order; the end is empty and stays put."""
    event_log.append([event(number) for number in range(25)])
    for limit in (1, 7, 25, 100):
        rows = everything(event_log, limit)
        assert [row.event_id for row in rows] == [event(n).event_id for n in range(25)]
        assert [row.offset for row in rows] == sorted(row.offset for row in rows)
    head = event_log.head()
    assert event_log.read(head, 10) == ([], head)
    assert event_log.read(START, 0).rows == []


def test_a_reader_at_the_head_sees_the_next_event(event_log: EventLog) -> None:
    """The head is a position to read from."""
    event_log.append([event(1)])
    head = event_log.head()
    event_log.append([event(2)])
    assert [row.event_id for row in event_log.read(head, 10).rows] == ["e000002"]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(calls=st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=8))
def test_any_sequence_of_appends_keeps_first_ones_in_order(
    place: Place, calls: list[list[int]]
) -> None:
    """Whatever is repeated, the log holds each id once, in the order of first arrival."""
    log = place.another().event_log()
    seen: dict[str, int] = {}
    for numbers in calls:
        for receipt in log.append([event(number) for number in numbers]):
            assert receipt.duplicate == (receipt.event_id in seen)
            assert seen.setdefault(receipt.event_id, receipt.offset) == receipt.offset
    assert {row.event_id: row.offset for row in everything(log)} == seen
    assert list(seen.values()) == sorted(seen.values())
    log.close()


NO_ERASURE = "a topic forgets by age alone: retention is the cure"
NO_TRANSACTION = "readers see an event once all brokers have it, whatever came with it"
NO_UNIQUE_KEYS = "ids are compared with the last ones of a partition only; silver with all"


@cannot(kafka=NO_TRANSACTION)
def test_an_append_is_seen_whole(event_log: EventLog) -> None:
    """Who reads while many events are appended in one call sees none of them or all."""
    event_log.append([event(0)])
    events = [event(number, user=f"user-{number % 50}") for number in range(1, 20_001)]
    writer = threading.Thread(target=event_log.append, args=(events,))
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(sum(event_log.head().values()))
    writer.join()
    assert seen <= {1, 20_001}
    assert len(ids(event_log)) == 20_001


@cannot(kafka=NO_UNIQUE_KEYS)
def test_an_id_is_known_for_ever(open_log: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events came since, the same id is the same event."""
    monkeypatch.setenv("NEXTUP_KAFKA__DEDUPE_EVENTS", "50")
    log = open_log()
    log.append([event(number) for number in range(400)])
    assert log.append([event(1)])[0].duplicate


@durable(EVENT_LOGS)
def test_an_id_that_two_writers_have_written_is_read_once(open_log: Opener) -> None:
    """Two that have the log open, neither knowing what the other does, and a reader that begins
    anywhere: each id is one event."""
    one, other = open_log(), open_log()
    one.append([event(0)])
    other.append([event(1)])
    one.append([event(number) for number in range(2, 12)])
    other.append([event(number) for number in range(6, 16)])
    rows = everything(open_log())
    assert [row.event_id for row in rows] == [event(number).event_id for number in range(16)]
    for row in rows:
        after = everything_from(open_log(), {row.partition: row.offset + 1})
        assert after == [later for later in rows if later.offset > row.offset]
    assert sum(len(log.append([event(3)])) for log in (one, other)) == 2
    assert ids(one) == [event(number).event_id for number in range(16)]


def test_a_large_append_with_some_old_events(event_log: EventLog) -> None:
    """Twenty thousand events in one call, a tenth of them known: none lost, none doubled."""
    event_log.append([event(number) for number in range(0, 20_000, 10)])
    receipts = event_log.append([event(number) for number in range(20_000)])
    assert sum(receipt.duplicate for receipt in receipts) == 2_000
    rows = everything(event_log, 20_000)
    assert len(rows) == len({row.event_id for row in rows}) == 20_000
    assert {row.event_id: row.offset for row in rows} == {
        receipt.event_id: receipt.offset for receipt in receipts
    }


def test_received_at_never_goes_back(open_log: Opener) -> None:
    """While the clock is behind, the last time is given again."""
    moments = iter([BASE, BASE - timedelta(days=1), BASE + timedelta(seconds=1)])
    log = open_log(clock=lambda: next(moments))
    for number in range(3):
        log.append([event(number)])
    assert [row.received_at - to_microseconds(BASE) for row in everything(log)] == [0, 0, 1_000_000]


@durable(EVENT_LOGS)
def test_received_at_never_goes_back_over_a_restart(open_log: Opener) -> None:
    """A machine that starts with a wrong clock does not write into the past."""
    log = open_log(clock=lambda: BASE)
    log.append([event(1)])
    log.close()
    log = open_log(clock=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    log.append([event(2)])
    assert {row.received_at for row in everything(log)} == {to_microseconds(BASE)}


@pytest.mark.parametrize(
    "bad",
    [
        event(1, occurred_at=datetime(2024, 1, 1)),  # noqa: DTZ001 - that is the point
        event(1, value=float("nan")),
        event(1, user="\ud800"),
        event(1, context={"not": "text"}),
    ],
    ids=["naive", "nan", "surrogate", "object"],
)
def test_an_event_that_cannot_be_kept_writes_nothing(event_log: EventLog, bad: Event) -> None:
    """All or nothing: the good events of the call are not written either, and the log goes on."""
    with pytest.raises(InvalidInput):
        event_log.append([event(0), bad])
    assert ids(event_log) == []
    assert not event_log.append([event(0)])[0].duplicate


def test_many_threads_append_at_once(event_log: EventLog) -> None:
    """Every caller gets the receipts of its own events, whoever wrote them."""
    receipts: dict[str, int] = {}
    wrong: list[object] = []

    def write(writer: int) -> None:
        for number in range(20):
            mine = [event(1000 * writer + number), event(999_999), event(500_000 + number)]
            got = event_log.append(mine)
            if [receipt.event_id for receipt in got] != [one.event_id for one in mine]:
                wrong.append(got)
            wrong.extend(
                receipt
                for receipt in got
                if receipts.setdefault(receipt.event_id, receipt.offset) != receipt.offset
            )

    in_threads([threading.Thread(target=write, args=(writer,)) for writer in range(12)])
    assert wrong == []
    assert {row.event_id: row.offset for row in everything(event_log)} == receipts
    assert len(receipts) == 12 * 20 + 1 + 20


def test_a_person_keeps_their_order(event_log: EventLog) -> None:
    """Threads that each speak for one person, one call after the other."""

    def write(user: str) -> None:
        for number in range(30):
            event_log.append([event(number, user=user, event_id=f"{user}-{number}")])

    users = [f"user-{number}" for number in range(8)]
    in_threads([threading.Thread(target=write, args=(user,)) for user in users])
    rows = everything(event_log)
    for user in users:
        mine = [row.occurred_at for row in rows if row.user_id == user]
        assert mine == sorted(mine)
        assert len(mine) == 30


def test_one_bad_append_fails_alone(event_log: EventLog) -> None:
    """Appends that share a transaction with one that cannot be written are written."""
    failures: list[int] = []
    together = threading.Barrier(8, timeout=60)

    def write(writer: int) -> None:
        for number in range(20):
            together.wait()
            user = "\ud800" if writer == 0 else "ada"
            try:
                event_log.append([event(100 * writer + number, user=user)])
            except InvalidInput:
                failures.append(writer)

    in_threads([threading.Thread(target=write, args=(writer,)) for writer in range(8)])
    assert failures == [0] * 20
    expected = {
        event(100 * writer + number).event_id for writer in range(1, 8) for number in range(20)
    }
    assert sorted(ids(event_log)) == sorted(expected)


def test_a_reader_beside_writers_misses_nothing(event_log: EventLog) -> None:
    """Reading on while others append gives each row once, in order, and never passes one."""
    finished = threading.Event()
    seen: list[LogRow] = []

    def read() -> None:
        position = START
        while True:
            last = finished.is_set()
            batch = event_log.read(position, 7)
            seen.extend(batch.rows)
            position = batch.position
            if last and not batch.rows:
                return

    def write(writer: int) -> None:
        for number in range(25):
            event_log.append([event(1000 * writer + 2 * number + part) for part in range(2)])

    reader = threading.Thread(target=read)
    reader.start()
    in_threads([threading.Thread(target=write, args=(writer,)) for writer in range(4)])
    finished.set()
    reader.join()
    assert seen == everything(event_log)
    assert len(seen) == 200


WRITER = """
from tests.contract.cases import event
log = place.event_log()
first = int(sys.argv[1])
for number in range(first, first + int(sys.argv[2]), 5):
    receipts = log.append([event(n) for n in range(number, number + 5)])
    print(receipts[-1].event_id, receipts[-1].offset, flush=True)
log.close()
"""


@durable(EVENT_LOGS)
def test_two_processes_append_at_once(place: Place, event_log: EventLog) -> None:
    """They wait for each other; both write all, and what both write is there once."""
    processes = [place.run(WRITER, first, "300") for first in ("0", "150")]
    for process in processes:
        with process:
            process.communicate()
        assert process.returncode == 0
    assert sorted(ids(event_log)) == [event(number).event_id for number in range(450)]


@durable(EVENT_LOGS)
@pytest.mark.parametrize("line", [1, 6, 23])
def test_a_killed_writer_loses_nothing(place: Place, event_log: EventLog, line: int) -> None:
    """After SIGKILL everything acknowledged is there, at its offset; appends are whole."""
    lines = kill_at_line(place.run(WRITER, "0", "100000"), line)
    offsets = {row.event_id: row.offset for row in everything(event_log)}
    for acknowledged in lines:
        event_id, offset = acknowledged.split()
        assert offsets[event_id] == int(offset)
    assert len(offsets) % 5 == 0
    assert not event_log.append([event(900_000)])[0].duplicate


def test_consumers_keep_their_own_positions(event_log: EventLog) -> None:
    """A commit replaces the group's position, forwards or backwards, and no other group's."""
    event_log.commit("lake", {"0": 5, "1": 7})
    event_log.commit("online", {"0": 2})
    assert event_log.committed("lake") == {"0": 5, "1": 7}
    event_log.commit("lake", {"0": 3})
    assert event_log.committed("lake") == {"0": 3}
    assert event_log.committed("online") == {"0": 2}
    event_log.commit("lake", START)
    assert event_log.committed("lake") == START


@durable(EVENT_LOGS)
def test_a_commit_survives_a_restart(open_log: Opener) -> None:
    """What a group committed is where it goes on."""
    log = open_log()
    log.commit("lake", {"0": 5})
    log.close()
    assert open_log().committed("lake") == {"0": 5}


def test_a_position_of_another_log_is_refused(event_log: EventLog) -> None:
    """A partition that the log does not have must not be read as "from the start"."""
    with pytest.raises(InvalidInput):
        event_log.read({"events-3": 17}, 10)


def test_rejected_records_are_kept_whole_and_once(event_log: EventLog) -> None:
    """A retry, in one call or two, is not counted twice; offsets are in order of arrival."""
    assert event_log.reject([rejected(1, '{"a": "ü"'), rejected(2), rejected(1)]) == 2
    assert event_log.reject([rejected(2), rejected(3)]) == 1
    batch = event_log.read_rejected(START, 2)
    assert [row.rejected_id for row in batch.rows] == ["r1", "r2"]
    rest = event_log.read_rejected(batch.position, 10)
    assert [row.rejected_id for row in rest.rows] == ["r3"]
    assert batch.rows[0] == RejectedRow(
        batch.rows[0].partition,
        batch.rows[0].offset,
        *rejected(1, '{"a": "ü"')[:5],
        to_microseconds(BASE),
    )
    assert event_log.head() == {}
    assert event_log.read_rejected(rest.position, 10).rows == []


@cannot(kafka=NO_ERASURE)
def test_erasing_a_person_removes_all_of_theirs(event_log: EventLog) -> None:
    """Their events and the rejected records that name them go; all others keep their offsets."""
    assert isinstance(event_log, SupportsErasure)
    event_log.append([event(number, user="ada" if number % 2 else "Ada") for number in range(10)])
    others = [row for row in everything(event_log) if row.user_id != "ada"]
    records = [
        {"user_id": "ada"},
        {"events": [{"userId": "ada"}]},
        {"item_id": "ada", "user_id": "bob"},
        {"user_id": "Ada"},
    ]
    event_log.reject([rejected(at, json.dumps(record)) for at, record in enumerate(records)])
    event_log.reject([rejected(9, "ada, not JSON"), rejected(10, '{"user": "\\u0061da"}')])
    assert event_log.erase("ada") == 5 + 3
    assert everything(event_log) == others
    kept = [row.rejected_id for row in event_log.read_rejected(START, 10).rows]
    assert kept == ["r2", "r3", "r9"]
    assert event_log.erase("ada") == 0


@cannot(kafka=NO_ERASURE)
def test_offsets_of_erased_events_are_not_given_again(event_log: EventLog) -> None:
    """A reader that stands at the head does not miss what comes after an erasure."""
    assert isinstance(event_log, SupportsErasure)
    event_log.append([event(1)])
    head = event_log.head()
    event_log.erase("ada")
    assert event_log.head() == head
    event_log.append([event(2)])
    assert [row.event_id for row in event_log.read(head, 10).rows] == ["e000002"]


@cannot(kafka=NO_ERASURE)
def test_a_number_is_a_person_too(event_log: EventLog) -> None:
    """In a rejected record the id may have been a number."""
    assert isinstance(event_log, SupportsErasure)
    event_log.reject([rejected(1, '{"user_id": 17}'), rejected(2, '{"user_id": 170}')])
    assert event_log.erase("17") == 1


def test_closing_twice_does_nothing(event_log: EventLog) -> None:
    """After closing, use is refused with a clear error."""
    event_log.close()
    event_log.close()
    with pytest.raises(BackendUnavailable):
        event_log.append([event(1)])
