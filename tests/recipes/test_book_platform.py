"""The book platform on PostgreSQL, HDFS, Spark and Redis: from a like to the next page."""

from __future__ import annotations

import io
import signal
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from redis import Redis
from tests.recipes.book_world import (
    BOOKS,
    FIRST,
    GENERATE,
    READERS,
    ROOT,
    SECOND,
    BookWorld,
    acts,
    book_world,
    books_file,
    isbn,
)
from tests.spark_world import STARTING_SECONDS

from nextup.domain.errors import NextupError
from nextup.domain.operations import Outcome
from nextup.entrypoints.airflow.plans import plans_of
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import httpx

pytestmark = pytest.mark.timeout(2 * STARTING_SECONDS)

HEADER = "user_id,isbn,LIKE,VIEW"
STEPS = [
    "clear_day",
    "extract_day",
    "archive_day",
    "merge_history",
    "train",
    "recommend",
    "publish",
]
EDGES = [  # in Berlin: the last moment before the first day, its first and last, the next one's
    (1, 0, "LIKE", "2026-03-27 22:59:59.999999+00"),
    (1, 1, "LIKE", "2026-03-27 23:00:00+00"),
    (1, 2, "LIKE", "2026-03-28 22:59:59.999999+00"),
    (1, 3, "LIKE", "2026-03-28 23:00:00+00"),
]


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    spark: dict[str, Any],
) -> Iterator[BookWorld]:
    """After `make init`, with two days of readers of another program."""
    with book_world(request, tmp_path_factory.mktemp("books"), spark) as made:
        file = books_file(made.folder)
        python = f"NEXTUP={sys.executable} -m nextup"
        with made.command("make", "init", f"BOOKS={file}", python) as making:
            said, _ = making.communicate(timeout=STARTING_SECONDS)
        assert making.returncode == 0, said
        made.put_acts([*acts(FIRST), *acts(SECOND), *EDGES])
        yield made


@pytest.fixture(scope="module")
def first(world: BookWorld) -> BookWorld:
    """After the first day's run."""
    assert world.run(FIRST).outcome is Outcome.SUCCEEDED
    return world


def counted(rows: list[tuple[int, int, str, str]]) -> dict[tuple[int, str], list[int]]:
    """By reader and book, as a plain loop counts."""
    found: dict[tuple[int, str], list[int]] = {}
    for reader, book, action, _ in rows:
        found.setdefault((reader, isbn(book)), [0, 0])[action == "VIEW"] += 1
    return found


def day_of(files: dict[str, bytes]) -> dict[tuple[int, str], list[int]]:
    """What a day's files say."""
    found: dict[tuple[int, str], list[int]] = {}
    for name, content in files.items():
        assert content.decode().splitlines()[0] == HEADER, name
        rows = pl.read_csv(io.BytesIO(content), schema_overrides={"isbn": pl.String})
        for user, book, likes, views in rows.iter_rows():
            assert (user, book) not in found
            found[user, book] = [likes, views]
    return found


def lists(world: BookWorld) -> dict[int, list[str]]:
    """What `LRANGE user:<user_id> 0 -1` says of everybody."""
    with Redis.from_url(f"{world.redis}/0", decode_responses=True) as client:
        keys = [f"user:{reader}" for reader in range(1, READERS + 1)]
        return {n: client.lrange(key, 0, -1) for n, key in enumerate(keys, 1) if client.exists(key)}


def current(world: BookWorld) -> str:
    return world.read("recommendations/_CURRENT").decode().strip()


def files_of(world: BookWorld, run: str) -> pl.DataFrame:
    parts = world.contents(f"recommendations/{run}")
    assert set(parts) == {"part-00000.parquet", "part-00001.parquet"}
    return pl.concat(pl.read_parquet(content) for content in parts.values())


def ranked(rows: pl.DataFrame) -> dict[int, list[str]]:
    best = rows.sort("user_id", "rank").group_by("user_id", maintain_order=True)
    return {user: mine["isbn"].to_list() for (user,), mine in best}


def test_the_tables_are_filled(world: BookWorld) -> None:
    """`make init` makes and fills them; a line that does not fit is kept in quarantine."""
    books = world.query(
        'SELECT b.isbn, b.title, b.rating, c.name FROM "Book" b'
        ' LEFT JOIN "Category" c ON c.id = b.category_id ORDER BY b.isbn'
    )
    assert len(books) == BOOKS
    assert books[0] == (isbn(0), 'Book, "0"', 3.0, "Novel")
    assert books[-1][3] is None
    with world.platform() as platform:
        rejected = platform.event_log.read_rejected({}, 10).rows
    assert [row.rule for row in rejected] == ["bad_item"]
    assert "very good" in rejected[0].reason


def test_a_like_is_a_row_at_once(world: BookWorld) -> None:
    """The answer comes when log and table have it; sent again it is there once; what breaks the
    contract is in neither, and the sender is told."""

    def post(client: httpx.Client, **changes: Any) -> int:
        body = {"event_id": "one", "type": "like", "user_id": "1001", "item_id": isbn(3)} | changes
        return client.post("/v1/events", json=body).status_code

    with world.api() as client:
        assert post(client) == post(client) == 202
        assert post(client, event_id="two", type="view") == 202
        assert post(client, event_id="3", user_id="ada") == 422
        assert post(client, event_id="4", item_id="0000000000") == 422
        assert client.get("/v1/users/ada/recommendations").status_code == 422
    found = world.query(
        'SELECT b.isbn, a.action FROM "Interaction" a JOIN "Book" b ON b.id = a.book_id'
        " WHERE a.user_id = 1001 ORDER BY a.id"
    )
    assert found == [(isbn(3), "LIKE"), (isbn(3), "VIEW")]
    assert world.query("SELECT count(*) FROM events WHERE user_id = '1001'") == [(2,)]
    assert world.query('SELECT * FROM "User" WHERE id = 1001') == [(1001, None, None)]


def test_the_dags(world: BookWorld) -> None:
    """Airflow gets both, with their steps and local times."""
    plans = {plan.dag_id: plan for plan in plans_of(load_settings(world.folder))}
    assert {name: plan.at for name, plan in plans.items()} == {
        GENERATE: "00:00",
        "hdfs_maintenance": "03:00",
    }
    assert [task.name for task in plans[GENERATE].tasks] == STEPS


def test_the_stations_of_a_day(first: BookWorld) -> None:
    """Each file, folder and key of the chain has its name, and holds what the one before does."""
    extracted = first.contents("processed/interactions/2026/03/28")
    assert day_of(extracted) == counted([*acts(FIRST), EDGES[1], EDGES[2]])
    assert first.contents("raw/interactions/2026/03/28") == extracted
    assert first.contents("raw/interactions/DataSet/2026-03-28") == extracted
    run = current(first)
    assert run.startswith("2026-03-28-")
    assert set(first.ls(f"model/{run}")) == {"als", "nextup"}
    assert {"itemFactors", "metadata", "userFactors"} <= set(first.ls(f"model/{run}/als"))
    assert "model.json" in first.ls(f"model/{run}/nextup")
    rows = files_of(first, run)
    assert rows.columns == ["user_id", "isbn", "rank", "score"]
    assert ranked(rows) == lists(first)
    assert set(ranked(rows)) == set(range(1, READERS + 1))
    seen = counted([*acts(FIRST), EDGES[1], EDGES[2]])
    assert not [
        (user, one) for user, mine in lists(first).items() for one in mine if (user, one) in seen
    ]


def test_readers_get_books_of_their_taste(first: BookWorld) -> None:
    """Novels to those who read novels: no chance would bring so many."""
    novels = {isbn(number) for number in range(0, BOOKS, 2)}
    firsts = [(user, mine[0]) for user, mine in lists(first).items()]
    right = [(user % 2 == 1) == (best in novels) for user, best in firsts]
    assert sum(right) > 0.9 * len(right)


def test_the_model_is_sparks(first: BookWorld) -> None:
    """Another program loads it; its users are the readers' own numbers."""
    from pyspark.ml.recommendation import ALSModel

    place = f"{first.hdfs}{ROOT}/model/{current(first)}/als"
    model = ALSModel.load(place)
    assert model.rank == 8
    users = {row.id for row in model.userFactors.select("id").collect()}
    assert users == set(range(1, READERS + 1))
    assert model.itemFactors.count() == BOOKS


def test_the_next_page(first: BookWorld) -> None:
    """From Redis, page by page, with the books' facts joined in; nothing twice or left out, and
    behind the reader's own list the rest."""
    found: list[dict[str, Any]] = []
    with first.api() as client:
        link: str | None = "/v1/users/7/recommendations?limit=4"
        while link:
            page = client.get(link).json()
            assert page["level"] == "published"
            found += page["items"]
            link = page["next"]
        assert client.get("/v1/users/7/recommendations").json()["items"]
    names = [place["item_id"] for place in found]
    assert names[: len(lists(first)[7])] == lists(first)[7]
    assert sorted(names) == [isbn(number) for number in range(BOOKS)]  # then what others like
    facts = {
        row[0]: row[1:]
        for row in first.query(
            'SELECT isbn, title, c.name, rating FROM "Book" b'
            ' LEFT JOIN "Category" c ON c.id = b.category_id'
        )
    }
    for place in found:
        told = place["attributes"]
        assert (place["title"], told.get("category"), told["rating"]) == facts[told["isbn"]]


def test_a_day_again_changes_nothing(first: BookWorld) -> None:
    """The same bytes, the same model, the same lists."""
    before = (current(first), lists(first), first.contents("raw/interactions/DataSet/2026-03-28"))
    again = first.run(FIRST)
    assert {step.step: step.counts for step in again.steps}["train"]["trained"] == 0
    after = (current(first), lists(first), first.contents("raw/interactions/DataSet/2026-03-28"))
    assert after == before
    assert first.ls("raw/interactions/DataSet") == ["2026-03-28"]


def test_a_second_day_killed_and_done_again(first: BookWorld) -> None:
    """A killed run leaves the old lists in service, and the next one, on top of a damaged file,
    finishes; the first day stays as it is."""
    old, before = current(first), lists(first)
    old_day = first.contents("raw/interactions/DataSet/2026-03-28")
    words = ("pipeline", "run", GENERATE, "--date", str(SECOND))
    with first.command(sys.executable, "-m", "nextup", *words) as running:
        while running.poll() is None and "2026-03-29" not in first.ls("raw/interactions/DataSet"):
            time.sleep(0.2)
        running.send_signal(signal.SIGKILL)
        said = running.stdout.read() if running.stdout else ""
    assert running.returncode == -signal.SIGKILL, said
    assert (current(first), lists(first)) == (old, before)

    first.put(
        "raw/interactions/DataSet/2026-03-27/part-00000.csv", b"no\xff table\n7,,1,1\n7,x,-1,0\n"
    )
    done = first.run(SECOND)
    steps = {step.step: step for step in done.steps}
    assert list(steps) == STEPS
    assert steps["train"].counts["broken_lines"] == 2
    assert "2 lines" in steps["train"].message
    assert first.contents("raw/interactions/DataSet/2026-03-28") == old_day
    second = day_of(first.contents("raw/interactions/DataSet/2026-03-29"))
    assert second == counted([*acts(SECOND), EDGES[3]])
    run = current(first)
    assert run.startswith("2026-03-29-")
    assert set(first.ls("recommendations")) == {"_CURRENT", old, run}
    assert ranked(files_of(first, run)) == lists(first) != before
    with first.platform() as platform:
        assert platform.control.current_model() == run
        interrupted = [
            one for one in platform.control.runs(9) if one.outcome.value == "interrupted"
        ]
    assert [one.date for one in interrupted] == [str(SECOND)]


def test_what_cannot_be_reached_changes_nothing(first: BookWorld, monkeypatch) -> None:
    """A database that is away fails the day with what to do, and the lists stay."""
    before = (current(first), lists(first))
    monkeypatch.setenv("NEXTUP_HISTORY__URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(NextupError) as caught:
        first.run(SECOND)
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("NEXTUP_HISTORY__URL")
    assert (current(first), lists(first)) == before


def test_a_night_of_hdfs(first: BookWorld, monkeypatch) -> None:
    """Old days go where the history has them; a balancer runs only where blocks are uneven; what
    the NameNode says is in the run's record."""
    late: date = FIRST + timedelta(days=91)
    first.put("raw/interactions/2020/01/02/part-00000.csv", b"never merged")
    for place in ("processed", "raw"):
        first.put(f"{place}/interactions/2026/03/28/part-00000.csv", b"merged")
        first.put(f"{place}/interactions/2026/03/29/part-00000.csv", b"not old enough")
    night = first.run(late, "hdfs_maintenance")
    steps = {step.step: step for step in night.steps}
    assert list(steps) == ["remove_old_days", "balance", "check_hdfs"]
    assert steps["remove_old_days"].counts == {"removed": 2, "kept_unmerged": 1}
    assert first.ls("raw/interactions/2020/01") == ["02"]
    for place in ("processed", "raw"):
        assert first.ls(f"{place}/interactions/2026/03") == ["29"]
    assert "2026-03-28" in first.ls("raw/interactions/DataSet")
    assert steps["balance"].counts["balanced"] == 0
    found = steps["check_hdfs"].counts
    assert found["live_nodes"] >= 1
    assert found["dead_nodes"] == found["missing_blocks"] == 0
    monkeypatch.setenv("NEXTUP_OPTIONS__FREE_PERCENT", "100.5")
    again = first.run(late, "hdfs_maintenance")
    assert again.steps[0].counts["removed"] == 0
    assert "% of the space is free" in again.steps[-1].message
    monkeypatch.setenv("NEXTUP_OPTIONS__NAMENODE_URL", "http://127.0.0.1:1")
    with pytest.raises(NextupError, match="does not answer"):
        first.run(late, "hdfs_maintenance")
