"""Everything moves from one backend to another and back, and is compared."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete
from tests.contract.backends import POSTGRESQL
from tests.contract.cleaning import clean_server
from tests.e2e.shell import nextup
from tests.integration.test_backup_and_erase import PERSON, facts, ports
from tests.servers import Backend, reach

from nextup.adapters import sql_copy
from nextup.bootstrap import Platform, open_platform
from nextup.domain.errors import Conflict, CorruptData, InvalidInput
from nextup.domain.events import Event
from nextup.domain.items import Person
from nextup.services.migrate import CLIENTS, HOLDS, migrate, targets_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SQL = HOLDS["sqlite"]


@pytest.fixture(params=[POSTGRESQL])
def postgresql(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server; what this test leaves there goes."""
    reached = reach(request, request.param)
    yield reached.url
    clean_server(reached.url, TENANT)


TENANT = f"t{secrets.token_hex(4)}"


@pytest.fixture
def filled(built: Platform) -> Iterator[Platform]:
    """The sample, for a tenant whose names are its own on a server, with all kinds of rows."""
    with open_platform(built.settings.model_copy(update={"tenant": TENANT})) as mine:
        migrate_all(built, mine)
        mine.catalog.put_person(Person(PERSON, {"city": "Köln"}))
        yield mine


def migrate_all(here: Platform, there: Platform) -> None:
    """Another tenant's tables have other names: the sample is put there by its ports."""
    there.catalog.put_items(here.catalog.all_items())
    there.event_log.append([row.event() for row in here.event_log.read({}, 1_000_000).rows])
    for model in here.control.models():
        there.control.save_model(model)
    there.control.set_current_model(here.control.current_model())
    published = here.recommendation_store.read(PERSON)
    assert published is not None
    there.recommendation_store.write("g1", [published])
    there.recommendation_store.switch("g1")
    batch = there.event_log.read({}, 1_000_000)
    there.online_state.apply(batch.rows, batch.position)


def elsewhere(platform: Platform, urls: dict[str, str]) -> Platform:
    changed = {f"{port}_url": url for port, url in urls.items() if port != CLIENTS}
    return open_platform(platform.settings.model_copy(update=changed))


def on_server(url: str) -> dict[str, str]:
    """All but the clients, who are of all tenants: other tests have theirs there."""
    urls = targets_of(url, {})
    assert {*urls} == {*SQL, CLIENTS}
    del urls[CLIENTS]
    return urls


def sql_facts(platform: Platform) -> dict[str, Any]:
    """Beside lake and files, which stay where they are: all that the five hold."""
    return facts(platform) | {
        "head": platform.event_log.head(),
        "rejected": platform.event_log.read_rejected({}, 1_000).rows,
        "committed": platform.event_log.committed("lake"),
        "position": platform.online_state.position(),
        "lists": platform.recommendation_store.count("g1"),
        "current": platform.recommendation_store.current(),
        "person": platform.catalog.person(PERSON),
        "runs": platform.control.runs(100),
        "generations": platform.control.generations(),
    }


def test_there_and_back(filled: Platform, postgresql: str, tmp_path: Path) -> None:
    """From SQLite to PostgreSQL and back into one SQLite file: counts, rows, positions and lists
    are equal, and the log goes on where it was."""
    urls = on_server(postgresql)
    with elsewhere(filled, urls) as server:
        moved = migrate(ports(filled), ports(server), urls)
        written = {(one.port, one.part): one.rows for one in moved}
        assert written["event_log", f"{TENANT}_events"] > 500
        assert sql_facts(server) == sql_facts(filled)
        home = targets_of(f"sqlite:///{tmp_path}/all.db", {})
        with elsewhere(filled, home) as back:
            migrate(ports(server), ports(back), home)
            assert sql_facts(back) == sql_facts(filled)
            event = filled.event_log.read({}, 1).rows[0].event()
            (known,) = back.event_log.append([event])
            assert known.duplicate
            (fresh,) = back.event_log.append([event._replace(event_id="after")])
            assert fresh.offset == sum(filled.event_log.head().values())


def test_what_came_meanwhile(filled: Platform, postgresql: str) -> None:
    """Run once more, only what has changed is written, and what is gone goes there, too."""
    urls = on_server(postgresql)
    with elsewhere(filled, urls) as server:
        migrate(ports(filled), ports(server), urls)
        assert sum(one.written for one in migrate(ports(filled), ports(server), urls)) == 0
        event = filled.event_log.read({}, 1).rows[0].event()
        filled.event_log.append([event._replace(event_id="meanwhile", user_id="new")])
        filled.catalog.put_person(Person(PERSON, {"city": "Bonn"}))
        filled.online_state.erase(PERSON)
        again = {one.part: one.written for one in migrate(ports(filled), ports(server), urls)}
        assert {part for part, written in again.items() if written} == {
            f"{TENANT}_events", f"{TENANT}_log_heads", f"{TENANT}_people",
            f"{TENANT}_online_histories",
        }  # fmt: skip
        assert sql_facts(server) == sql_facts(filled)


def test_broken_off(filled: Platform, postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two ranges, it goes on where it was."""
    urls = on_server(postgresql)
    monkeypatch.setattr(sql_copy, "ROWS", 100)
    with elsewhere(filled, urls) as server:

        def interrupt(what: str, done: int, total: int) -> None:
            if what.endswith("_events") and done >= 300:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate(ports(filled), ports(server), urls, report=interrupt)
        moved = {one.part: one for one in migrate(ports(filled), ports(server), urls)}
        events = moved[f"{TENANT}_events"]
        assert events.written == events.rows - 300
        assert sql_facts(server) == sql_facts(filled)


def test_a_target_in_use_is_left_alone(filled: Platform, tmp_path: Path) -> None:
    """What somebody else has there is only replaced when that is wanted; then all of it."""
    urls = targets_of(f"sqlite:///{tmp_path}/other.db", {})
    with elsewhere(filled, urls) as other:
        other.event_log.append([Event("theirs", "view", "x", "y", _moment(filled))])
        with pytest.raises(Conflict, match="holds something already, as event_log"):
            migrate(ports(filled), ports(other), urls)
        assert not other.catalog.count_items()
        migrate(ports(filled), ports(other), urls, anyway=True)
        assert sql_facts(other) == sql_facts(filled)


def test_somebody_who_writes_there_is_noticed(
    filled: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read again, and compared."""
    urls = {"catalog": f"sqlite:///{tmp_path}/other.db"}
    put = sql_copy._put

    def and_lose(target: Any, table: Any, rows: Any) -> int:
        written = put(target, table, rows)
        with target.begin() as connection:
            connection.execute(delete(table).where(table.primary_key.columns[0] == rows[0][0]))
        return written

    monkeypatch.setattr(sql_copy, "_put", and_lose)
    with elsewhere(filled, urls) as other, pytest.raises(CorruptData, match="is not what"):
        migrate(ports(filled), ports(other), urls)


@pytest.fixture(params=["file", Backend("hdfs"), Backend("s3")], ids=str)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder of this machine, of HDFS or of S3."""
    if request.param == "file":
        return f"file://{tmp_path}/moved"
    return f"{reach(request, request.param).url}/moved-{secrets.token_hex(4)}"


def test_lake_and_files(built: Platform, storage: str) -> None:
    """Tables with their rows and positions, and every file; the second time nothing."""
    urls = targets_of(storage, {})
    assert tuple(urls) == (("lake",) if storage.startswith("s3:") else ("lake", "files"))
    with elsewhere(built, urls) as other:
        moved = migrate(ports(built), ports(other), urls)
        assert sum(one.written for one in moved) > 100
        assert facts(other) == facts(built)
        assert sum(one.written for one in migrate(ports(built), ports(other), urls)) == 0


def test_what_cannot_be(built: Platform) -> None:
    """Places that hold nothing, ports that there are not, and nothing at all."""
    for url, others in (("redis://x", {}), ("", {}), ("", {"shelf": "sqlite://"})):
        with pytest.raises(InvalidInput):
            targets_of(url, others)


def test_the_command(sample_folder: Path, tmp_path: Path) -> None:
    """It says what to set; with that the platform is the same."""
    import shutil

    folder = tmp_path / "platform"
    shutil.copytree(sample_folder, folder)
    done = nextup("migrate", "--to", "sqlite:///data/all.db", "--json", cwd=folder)
    assert done.document["settings"]["event_log_url"] == "sqlite:///data/all.db"
    again = nextup("migrate", "--to", "sqlite:///data/all.db", cwd=folder)
    assert 'catalog_url = "sqlite:///data/all.db"' in again.out
    urls = {f"NEXTUP_{name.upper()}": url for name, url in done.document["settings"].items()}
    before, after = (
        nextup("recommend", PERSON, "--json", cwd=folder, **more).document["items"]
        for more in ({}, urls)
    )
    assert [one["item_id"] for one in before] == [one["item_id"] for one in after]


def _moment(platform: Platform) -> Any:
    return platform.event_log.read({}, 1).rows[0].event().occurred_at
