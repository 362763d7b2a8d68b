"""Spark's streams over a real Kafka: into bronze exactly once, and lists that follow people."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.contract.cleaning import clean_server
from tests.servers import Backend, reach
from tests.spark_world import STARTING_SECONDS

from nextup.adapters.engine.local import LocalEngine
from nextup.adapters.event_log.kafka_messages import event_messages
from nextup.adapters.lake.delta import DeltaLake
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import by_name as models
from nextup.bootstrap import open_platform
from nextup.domain.errors import BackendUnavailable, ConfigurationError, CorruptData
from nextup.domain.events import Event
from nextup.domain.items import Item
from nextup.domain.operations import ModelRecord
from nextup.domain.tables import COLUMNS, Table
from nextup.entrypoints.cli.engine_streams import engine_shares
from nextup.ports.topics import TopicMessage
from nextup.services.artifacts import Artifact, save_artifact
from nextup.services.collect import SOURCE, collect
from nextup.services.fresh_lists import FreshLists
from nextup.services.refine import refine
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

pytestmark = pytest.mark.timeout(STARTING_SECONDS)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILMS, TASTES = 24, 3
PATIENCE_SECONDS = 240.0  # on a busy machine; never a measure


@contextmanager
def following(
    request: pytest.FixtureRequest, home: Path, spark: dict[str, Any], **more: Any
) -> Iterator[Platform]:
    """A platform whose log is on Kafka and whose engine is Spark, for a tenant of this test."""
    url = reach(request, Backend("kafka")).url
    tenant = f"t{secrets.token_hex(4)}"
    settings = load_settings(
        home,
        tenant=tenant,
        event_log_url=url,
        kafka={"partitions": 2, "dedupe_events": 20},
        lake={"collect_seconds": 0.2},
        stream={"lists_seconds": 0.2},
        **spark,
        **more,
    )
    with open_platform(settings) as opened:
        yield opened
    clean_server(url, f"{tenant}_")


@pytest.fixture
def platform(
    request: pytest.FixtureRequest, tmp_path: Path, spark: dict[str, Any]
) -> Iterator[Platform]:
    """One whose lake is on this disk."""
    with following(request, tmp_path, spark) as opened:
        yield opened


def event(number: int, **more: Any) -> Event:
    """One of many, of a few people."""
    fields: dict[str, Any] = {
        "event_id": f"e{number}",
        "type": "view",
        "user_id": f"{number % 5}",
        "item_id": f"{number % FILMS}",
        "occurred_at": NOW + timedelta(seconds=number),
        "context": '{ "shelf": 1}' if number % 2 else None,
        **more,
    }
    return Event(**fields)


def stream_once(platform: Platform, work: str = "lake") -> None:
    """`nextup stream --only WORK --once`, one round."""
    share = engine_shares(platform, {work}, once=True)[work]
    share.step()
    share.close()


def rows_of(lake: Any, table: Table) -> list[tuple[Any, ...]]:
    """All of a table, in log order."""
    frame = lake.scan(table).select(COLUMNS[table]).collect()
    return sorted(frame.rows(), key=lambda row: row[:2])


def rows_by_the_local_engine(platform: Platform, folder: Path) -> DeltaLake:
    """What the lake writer makes of the same log, in a lake of its own."""
    lake = DeltaLake(str(folder))
    collect(platform.event_log, LocalEngine(lake), batch_rows=1_000)
    return lake


def checkpoints(platform: Platform) -> Path:
    return platform.settings.home / "data" / "lake" / "_checkpoints"


def disorder(platform: Platform) -> None:
    """Events, some sent twice past the log, a late one, one of a newer version, and junk."""
    log = platform.event_log
    log.append([event(number) for number in range(40)])
    twice, another = event_messages([event(38), event(100)], NOW)
    newer = json.loads(another) | {"mood": "fine", "context": [1]}
    log.produce(  # type: ignore[attr-defined]
        "events",
        [
            TopicMessage("3", twice),  # the writer of an acknowledgement that was lost
            TopicMessage("3", b"\xff not an event"),
            TopicMessage("3", json.dumps(newer).encode()),
        ],
    )
    log.append([event(200, occurred_at=NOW - timedelta(days=300)), event(201)])


def test_bronze_is_as_the_lake_writer_makes_it(platform: Platform, tmp_path: Path) -> None:
    """Each event once, rows equal to the local engine's, whatever was sent twice, late, by a newer
    version or as junk; junk is a dead letter and in quarantine; the next round adds nothing."""
    disorder(platform)
    stream_once(platform)
    expected = rows_by_the_local_engine(platform, tmp_path / "other")
    events = rows_of(platform.lake, Table.EVENTS)
    assert events == rows_of(expected, Table.EVENTS)
    assert len(events) == len({row[3] for row in events}) == 43
    (refused,) = rows_of(platform.lake, Table.QUARANTINE)
    assert refused == rows_of(expected, Table.QUARANTINE)[0]
    assert "unreadable" in refused
    assert platform.lake.position(Table.EVENTS, SOURCE) == platform.event_log.head()
    version = platform.lake.version(Table.EVENTS)
    stream_once(platform)
    assert platform.lake.version(Table.EVENTS) == version
    platform.catalog.put_items(Item(f"{n}", "film", f"Film {n}", 1990, ()) for n in range(FILMS))
    refine(LocalEngine(platform.lake), platform.catalog, batch_rows=1_000)
    kept = platform.lake.scan(Table.INTERACTIONS).select("event_id").collect()
    assert "e200" in kept["event_id"].to_list()  # late, by its own time, and not lost


def test_a_lake_on_s3(
    request: pytest.FixtureRequest, tmp_path: Path, spark: dict[str, Any]
) -> None:
    """Tables and, where the settings say nothing else, checkpoints lie there; what comes later is
    all that the next round reads."""
    lake = f"{reach(request, Backend('s3')).url}/{tmp_path.name}"
    with following(request, tmp_path, spark, lake_url=lake) as platform:
        for number in range(2):
            platform.event_log.append([event(10 * number + one) for one in range(10)])
            stream_once(platform)
            assert len(rows_of(platform.lake, Table.EVENTS)) == 10 * (number + 1)
        assert platform.lake.position(Table.EVENTS, SOURCE) == platform.event_log.head()


def test_any_checkpoint_gives_the_same_table(platform: Platform, tmp_path: Path) -> None:
    """Lost, ahead of the table, or behind it because the lake writer took a turn: no event is
    missing and none is there twice."""
    log = platform.event_log
    log.append([event(number) for number in range(20)])
    stream_once(platform)

    collect_locally(platform, [event(number) for number in range(20, 30)])  # behind
    log.append([event(number) for number in range(30, 40)])
    stream_once(platform)
    assert names(platform) == [f"e{number}" for number in range(40)]

    collect_locally(platform, [event(number) for number in range(40, 45)])
    shutil.rmtree(checkpoints(platform), ignore_errors=True)  # lost
    log.append([event(number) for number in range(45, 50)])
    shutil.rmtree(tmp_path / "data" / "lake" / f"{platform.settings.tenant}_bronze")  # ahead
    log.append([event(50)])
    log.append([event(51, user_id="1"), event(52, user_id="2"), event(53, user_id="3")])
    stream_once(platform)
    assert names(platform) == [f"e{number}" for number in range(54)]
    assert platform.lake.position(Table.EVENTS, SOURCE) == log.head()


def collect_locally(platform: Platform, events: list[Event]) -> None:
    """What the lake writer of the local engine does in between."""
    platform.event_log.append(events)
    collect(platform.event_log, LocalEngine(platform.lake), batch_rows=1_000)


def names(platform: Platform) -> list[str]:
    """The ids of all events in bronze, by number."""
    found = platform.lake.scan(Table.EVENTS).select("event_id").collect()["event_id"].to_list()
    return sorted(found, key=lambda name: int(name[1:]))


def test_a_batch_that_failed_is_done_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure after the rows were committed and before the checkpoint was: they are not added
    again. One before the commit: they are not lost. The stream is begun again by itself."""
    log, engine = platform.event_log, platform.engine
    append = engine.append
    moments = iter(["before", "after"])

    def failing(*arguments: Any, **more: Any) -> int:
        moment = next(moments, "")
        if moment == "before":
            raise BackendUnavailable("Not yet.")
        done = append(*arguments, **more)
        if moment == "after":
            raise BackendUnavailable("Not any more.")
        return done

    monkeypatch.setattr(engine, "append", failing)
    log.append([event(number) for number in range(10)])
    share = engine_shares(platform, {"lake"}, once=False)["lake"]
    failures: list[str] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(failures) < 2 or len(names(platform)) < 11:
        try:
            share.step()
        except BackendUnavailable as error:
            failures.append(error.message)
            if len(failures) == 2:
                log.append([event(10)])
        assert time.monotonic() < deadline
        threading.Event().wait(0.2)
    share.close()
    assert failures == ["Not yet.", "Not any more."]
    assert names(platform) == [f"e{number}" for number in range(11)]


def test_a_stream_goes_on_until_it_is_closed(platform: Platform) -> None:
    """Events come into bronze while it runs; closed, it leaves nothing behind; begun again, it
    goes on."""
    log = platform.event_log
    for first in (0, 5):
        share = engine_shares(platform, {"lake"}, once=False)["lake"]
        log.append([event(number) for number in range(first, first + 5)])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(names(platform)) < first + 5:
            share.step()
            assert time.monotonic() < deadline
            threading.Event().wait(0.2)
        share.close()
    assert names(platform) == [f"e{number}" for number in range(10)]
    assert not platform.engine._session.streams.active  # type: ignore[attr-defined]


def test_a_topic_made_anew_is_noticed(platform: Platform) -> None:
    """A table that stands behind the topic's end is not written to."""
    platform.event_log.append([event(number) for number in range(10)])
    stream_once(platform)
    platform.lake.append(
        Table.EVENTS,
        platform.lake.scan(Table.EVENTS).head(0).collect(),
        source=SOURCE,
        position={"0": 1_000, "1": 1_000},
    )
    with pytest.raises(CorruptData, match="1000"):
        stream_once(platform)


# ---- lists


def put_model(platform: Platform, model_id: str, tastes: int) -> None:
    """A model of people who keep to films of equal number modulo `tastes`; it is in service."""
    ids = [f"{number}" for number in range(FILMS)]
    people = np.repeat(np.arange(60), FILMS // tastes)
    items = np.tile(np.arange(FILMS // tastes), 60) * tastes + people % tastes
    interactions = Interactions.from_pairs(people, items, n_users=60, n_items=FILMS)
    fitted = {
        name: models.component(name, **settings).fit(interactions, seed=1)
        for name, settings in {
            "popularity": {},
            "als": {"factors": 4, "threads": 1},
        }.items()
    }
    blend = {"als": 1.0, "popularity": 0.001}
    save_artifact(platform.files, Artifact(model_id, NOW, ids, fitted, {}, {}, blend))
    platform.control.save_model(ModelRecord(model_id, NOW, "als"))
    platform.control.set_current_model(model_id)


@pytest.fixture
def lists(
    request: pytest.FixtureRequest, platform: Platform, spark: dict[str, Any]
) -> Iterator[Platform]:
    """The same with a store whose rows other programs read, films and a model."""
    url = reach(request, Backend("cassandra")).url
    settings = platform.settings.model_copy(
        update={
            "recommendation_store_url": url,
            "recommend": platform.settings.recommend.model_copy(
                update={"published_depth": 5, "diversity": 0.0}
            ),
            "cassandra": platform.settings.cassandra.model_copy(
                update={"layout": "rows", "timeout_seconds": 20.0}
            ),
        }
    )
    with open_platform(settings) as opened:
        opened.catalog.put_items(
            Item(f"{number}", "film", f"Film {number}", 1990, ("Drama",)) for number in range(FILMS)
        )
        put_model(opened, "first", TASTES)
        yield opened
    clean_server(url, f"{settings.tenant}_")


def tastes(platform: Platform, user_id: str, modulo: int) -> set[int]:
    """Of which numbers the films in somebody's list are."""
    found = platform.recommendation_store.read(user_id)
    return set() if found is None else {int(item.item_id) % modulo for item in found.items}


def test_lists_follow_what_people_do(lists: Platform) -> None:
    """Whoever rates gets rows of the current model, without what was rated; a newcomer is folded
    in; an id that the table cannot hold stops nobody. When another model is put in service while
    the stream runs, whoever acts next gets its list, and the others keep theirs."""
    share = engine_shares(lists, {"lists"}, once=False)["lists"]

    def rate(user_id: str, *films: int) -> None:
        lists.event_log.append(
            [Event(f"{user_id}-{film}", "rating", user_id, f"{film}", NOW, 5.0) for film in films]
        )

    def until(reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            share.step()
            assert time.monotonic() < deadline
            threading.Event().wait(0.2)

    try:
        rate("somebody", 2)  # no whole number
        rate("7", 1, 4)
        rate("1000", 2, 5)  # whom no model has seen
        until(lambda: tastes(lists, "7", TASTES) == {1} and tastes(lists, "1000", TASTES) == {2})
        store: Any = lists.recommendation_store
        rows = [row for row in store._cluster.run("SELECT * FROM {rows}") if row.userid == 7]
        assert {row.title for row in rows} >= {"Film 7"}
        assert not {row.movieid for row in rows} & {1, 4}

        put_model(lists, "second", 2)
        rate("7", 6)
        until(lambda: len(tastes(lists, "7", TASTES)) > 1)
        assert tastes(lists, "1000", TASTES) == {2}
    finally:
        share.close()


def test_lists_need_a_store_of_rows(platform: Platform) -> None:
    """A store of generations is refused, with what to set."""
    with pytest.raises(ConfigurationError, match="generations"):
        engine_shares(platform, {"lists"}, once=True)
    with pytest.raises(ConfigurationError):
        FreshLists(platform)
