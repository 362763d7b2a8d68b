"""A platform on a real Kafka: topics, replays, intake, streams, and the way in with a password."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.cases import event
from tests.contract.cleaning import clean_server
from tests.e2e.shell import nextup
from tests.servers import Backend, reach

from nextup.adapters.event_log.kafka import KafkaEventLog
from nextup.bootstrap import Platform, open_platform
from nextup.domain.errors import BackendUnavailable, ConfigurationError
from nextup.domain.events import START
from nextup.domain.tables import Table
from nextup.entrypoints.cli.context import contract_of
from nextup.ports.topics import TopicMessage
from nextup.services.doctor import examine
from nextup.services.foreign_intake import ForeignIntake
from nextup.services.replay import Replay
from nextup.services.serving import Serving
from nextup.services.shares import LakeShare, OnlineShare, run_until_idle
from nextup.settings import load_settings
from nextup.settings_servers import KafkaLog

if TYPE_CHECKING:
    from collections.abc import Iterator

RATINGS = 250


@pytest.fixture
def home(request: pytest.FixtureRequest, sample_folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder whose log is on Kafka, for a tenant of this test."""
    reached = reach(request, Backend("kafka"))
    tenant = f"t{secrets.token_hex(4)}"
    (tmp_path / "data").mkdir()
    (tmp_path / "nextup.toml").write_text(
        f"""
tenant = "{tenant}"
event_log_url = "{reached.url}"
[contracts]
unknown_items = "create"
[lake]
collect_seconds = 0.1
[kafka]
topics = {{view = "view_events", rating = "ratings"}}
intake = ["ratings", "view_events"]
rating_format = "movielens"
"""
    )
    yield tmp_path
    clean_server(reached.url, f"{tenant}_")


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    with open_platform(load_settings(home)) as platform:
        yield platform


def log_of(platform: Platform) -> KafkaEventLog:
    assert isinstance(platform.event_log, KafkaEventLog)
    return platform.event_log


def intake(platform: Platform) -> ForeignIntake:
    return ForeignIntake(
        log_of(platform).join_intake("intake"),
        platform.event_log,
        contract_of(platform),
        types={"view_events": "view", "ratings": "rating"},
        rows=100,
    )


def rating_file(folder: Path, rows: int = RATINGS) -> Path:
    lines = [f"{n % 20},{n % 7},{n % 5 + 1}.0,{1_700_000_000 + n}" for n in range(rows)]
    path = folder / "rating.csv"
    path.write_text("\n".join(["userId,movieId,rating,timestamp", *lines, "x,,eleven,now", ""]))
    return path


def test_topics_are_made_once(home: Path) -> None:
    """`topics create` makes what is absent, as the settings say, and shows the rest as it is."""
    first = nextup("topics", "create", "--json", cwd=home).document
    again = nextup("topics", "create", "--json", cwd=home).document
    assert [one["created"] for one in first] == [True] * 4
    assert [one["created"] for one in again] == [False] * 4
    tenant = load_settings(home).tenant
    partitions = {one["topic"].removeprefix(f"{tenant}_"): one["partitions"] for one in again}
    assert partitions == {"events": 3, "events_rejected": 1, "view_events": 3, "ratings": 3}


def test_a_replay_goes_on_where_it_was(platform: Platform, tmp_path: Path) -> None:
    """In pieces, each row is sent once; a round more is new events; begun again it is the same
    ones, and the log has each once."""
    path, stop = rating_file(tmp_path), threading.Event()
    replay = Replay(log_of(platform), platform.files, path, "ratings")
    assert replay.run(stop, limit=100)[1:4] == (100, 1, 100)
    assert replay.run(stop, limit=30, rate=1000)[1:4] == (30, 1, 130)
    rest = replay.run(stop)
    assert rest.sent == RATINGS + 1 - 130
    assert rest.finished
    assert replay.run(stop).sent == 0
    replay.forget()
    assert replay.run(stop).sent == RATINGS + 1
    assert replay.run(stop, limit=10, loop=True)[1:4] == (10, 2, 10)
    run_until_idle({"intake": intake(platform)}, 3.0)
    rows = platform.event_log.read(START, 10_000).rows
    assert len(rows) == len({row.event_id for row in rows}) == RATINGS + 10
    (refused,) = platform.event_log.read_rejected(START, 10).rows
    assert refused.rule == "schema"


def test_what_others_write_is_taken_in_once(platform: Platform) -> None:
    """Under the contract; what breaks it is kept with its reason; a copy of what is in the log
    already is left where it is; and nothing is taken twice after a change of hands."""
    log = log_of(platform)
    log.append([event(1), event(2, type="rating", value=4.0)])  # are copied to both topics
    good = {"user_id": "ada", "item_id": "film"}
    log.produce(
        "view_events",
        [
            TopicMessage("ada", json.dumps(good).encode()),
            TopicMessage("ada", json.dumps({**good, "event_id": "mine"}).encode()),
            TopicMessage("ada", b"not JSON"),
        ],
    )
    first = intake(platform)
    messages = first._member.take(100)  # as one that dies before it has committed
    while len(messages) < 5:
        messages = [*messages, *first._member.take(100)]
    assert sum(message.is_copy for message in messages) == 2
    first.close()
    run_until_idle({"intake": intake(platform)}, 3.0)
    run_until_idle({"intake": intake(platform)}, 1.0)
    rows = platform.event_log.read(START, 100).rows
    assert {row.event_id for row in rows} >= {"e000001", "e000002", "mine"}
    assert len(rows) == 4
    (refused,) = platform.event_log.read_rejected(START, 10).rows
    assert (refused.record, refused.rule) == ("not JSON", "not_json")


def test_copies_have_the_format_of_the_settings(platform: Platform) -> None:
    """A rating as MovieLens writes it, a view as the event that it is."""
    log = log_of(platform)
    log.append([event(1, user="7", item_id="3"), event(2, user="7", type="rating", value=4.5)])
    member = log.join_intake("elsewhere")
    found: dict[str, Any] = {}
    while len(found) < 2:
        found |= {one.topic: json.loads(one.content) for one in member.take(10)}
    member.close()
    assert list(found["ratings"]) == ["userId", "movieId", "rating", "timestamp"]
    assert (found["ratings"]["userId"], found["ratings"]["rating"]) == (7, 4.5)
    assert found["view_events"]["event_id"] == "e000001"


def test_garbage_in_the_log_is_put_aside(platform: Platform) -> None:
    """Whoever writes to the log's own topic what is no event stops nobody: it is kept among the
    rejected records, once, however many read it."""
    log = log_of(platform)
    log.append([event(1)])
    log.produce("events", [TopicMessage("ada", b"garbage"), TopicMessage("ada", b'{"a": 1}')])
    log.append([event(2)])
    for _ in range(2):
        rows = platform.event_log.read(START, 100).rows
        assert [row.event_id for row in rows] == ["e000001", "e000002"]
    with open_platform(platform.settings) as other:
        other.event_log.append([event(3)])  # which looks first what the log's end holds
        assert len(other.event_log.read(START, 100).rows) == 3
    refused = platform.event_log.read_rejected(START, 100).rows
    assert [one.rule for one in refused] == ["unreadable"] * 2


def test_a_stream_brings_events_to_lake_and_state(platform: Platform) -> None:
    """Each share is a group of its own; the groups' offsets on the brokers follow."""
    log = log_of(platform)
    log.append([event(number, user=f"user-{number % 10}") for number in range(500)])
    run_until_idle(
        {
            "lake": LakeShare(
                log.join("lake"), log, lambda: platform.engine, batch_rows=100, every_seconds=0.1
            ),
            "online": OnlineShare(log.join("online"), platform.online_state),
        },
        3.0,
    )
    assert platform.lake.scan(Table.EVENTS).collect().height == 500
    assert platform.online_state.position() == log.head()
    assert len(platform.online_state.history("user-3")) == 50
    for group in ("lake", "online"):
        assert log.committed(group) == log.head()


def test_a_server_leaves_events_to_streams(platform: Platform) -> None:
    """With a log that lives in topics `serve` does not move events, unless it is told to; what it
    takes in counts in its own next answer all the same."""
    serving = Serving(platform)
    serving.start()
    names = {thread.name for thread in threading.enumerate()}
    serving.stop()
    assert "nextup-lake-writer" not in names
    assert "nextup-online-updater" not in names
    record = {"type": "view", "user_id": "ada", "item_id": "film"}
    serving.intake.take(record)
    assert [touch.item_id for touch in platform.online_state.history("ada")] == ["film"]


@contextmanager
def secured(home: Path, **settings: str) -> Iterator[KafkaEventLog]:
    """The listener of the same broker that wants a password, over TLS."""
    running = load_settings(home)
    broker = running.event_log_url.split("/")[2]
    described = [
        path
        for path in Path(tempfile.gettempdir()).glob("nextup-kafka-*/secure.json")
        if f"//{broker}," in (path.parent / "node-1.properties").read_text()
    ]
    if not described:
        pytest.skip("the broker was not started here, and has no such listener that is known")
    secure = json.loads(described[0].read_text())
    given = {key: secure[key] for key in ("username", "password", "ca_file")} | settings
    kafka = KafkaLog(security="sasl_ssl", timeout_seconds=3, **given)
    log = KafkaEventLog(secure["url"], kafka, prefix=f"{running.tenant}_", home=home)
    try:
        yield log
    finally:
        log.close()


def test_a_password_over_tls_opens_the_door(home: Path, tmp_path: Path) -> None:
    """From the settings or from a file; the brokers' certificate is verified."""
    with secured(home) as log:
        log.append([event(1)])
        assert len(log.read(START, 10).rows) == 1
        password = log.client.configuration()["sasl.password"]
        (tmp_path / "password").write_text(f"{password}\n")
    with secured(home, password="", password_file="password") as log:
        assert len(log.read(START, 10).rows) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"password": "wrong-one"}, "PASSWORD"), ({"ca_file": ""}, "ca_file")],
    ids=["password", "certificate"],
)
def test_who_is_not_let_in_learns_why(home: Path, settings: dict[str, str], said: str) -> None:
    """The error names the cause and the cure, and no secret."""
    with secured(home, **settings) as log, pytest.raises(BackendUnavailable) as refused:
        log.head()
    assert said in refused.value.cure
    assert "wrong-one" not in repr(refused.value) + str(refused.value) + repr(log.settings)


def test_a_trial_leaves_nothing(platform: Platform) -> None:
    """`doctor` writes, reads and deletes on a topic of its own, and says what is there."""
    log = log_of(platform)
    found = examine("event_log", "kafka://u:secret@host/x", lambda: log)
    assert found.healthy, found
    assert found.product == "Kafka, 1 broker"
    assert "secret" not in found.url
    names = log.admin.list_topics(timeout=30).topics
    assert [name for name in names if name.startswith(f"{log.topics.events}_doctor")] == []


def test_a_missing_file_is_named(home: Path) -> None:
    """Before anything is asked of a broker."""
    with (
        pytest.raises(ConfigurationError, match=r"nowhere\.pem"),
        secured(home, ca_file="nowhere.pem"),
    ):
        pass


def test_nobody_there_is_said_at_once(home: Path) -> None:
    """Opening needs no broker; using it says that there is none, and closing still works."""
    shutil.rmtree(home / "data")
    kafka = KafkaLog(timeout_seconds=1)
    log = KafkaEventLog("kafka://127.0.0.1:9/events", kafka)
    for act in (log.head, lambda: log.append([event(1)]), lambda: log.committed("lake")):
        with pytest.raises(BackendUnavailable, match="refused"):
            act()
    log.close()
