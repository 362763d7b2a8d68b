"""What somebody does in their first hour, with their own data."""

from __future__ import annotations

import csv
import random
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.e2e.shell import interrupt, line_with, nextup, started

if TYPE_CHECKING:
    from pathlib import Path

PEOPLE, ITEMS, GROUPS = 120, 60, 3
END = datetime(2026, 3, 31, 22, tzinfo=UTC)
ROLES = {"user": "who", "item": "what", "type": "did", "time": "moment"}
MAP = [argument for role in ROLES.items() for argument in ("--map", "=".join(role))]


def write_table(file: Path, people: int = PEOPLE) -> int:
    """Purchases of people who each like one third of the products; returns how many rows."""
    rng = random.Random(4)
    rows = []
    for person in range(people):
        own = [item for item in range(ITEMS) if item % GROUPS == person % GROUPS]
        for item in rng.sample(own, 14):
            moment = END - timedelta(minutes=rng.randrange(40 * 24 * 60))
            did = rng.choice(["view", "like"])
            rows.append((f"person {person}", f"P-{item}", did, moment.isoformat()))
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(ROLES.values())
        writer.writerows(rows)
    return len(rows)


def group(item_id: str) -> int:
    return int(item_id.removeprefix("P-")) % GROUPS


def ids(page: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in page["items"]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made, filled and built by the commands of the manual."""
    folder = tmp_path_factory.mktemp("first") / "shop"
    where = folder.parent
    assert nextup("init", "shop", cwd=where).status == 0
    rows = write_table(where / "events.csv")
    arguments = ("ingest", "table", where / "events.csv", *MAP, "--separator", ";", "--kind", "toy")
    first = nextup(*arguments, "--json", cwd=folder).document
    assert (first["rows"], first["accepted"], first["quarantined"]) == (rows, rows, {})
    again = nextup(*arguments, "--json", cwd=folder).document
    assert (again["accepted"], again["duplicates"]) == (0, rows)
    run = nextup("pipeline", "run", "--date", "2026-03-31", "--json", cwd=folder).document
    assert run["outcome"] == "succeeded"
    counts = {step["step"]: step["counts"] for step in run["steps"]}
    assert counts["collect"]["events"] == rows
    assert counts["publish"]["lists"] == PEOPLE
    return folder


def test_recommendations_follow_peoples_taste(shop: Path) -> None:
    """People are recommended what their kind likes, and an item's likes are of its kind."""
    page = nextup("recommend", "person 4", "--limit", 3, "--json", cwd=shop).document
    assert page["level"] == "fresh"
    assert [group(item_id) for item_id in ids(page)] == [4 % GROUPS] * 3
    assert all(item["because"] for item in page["items"])
    near = nextup("similar", "P-5", "--limit", 3, "--json", cwd=shop).document
    assert [group(item_id) for item_id in ids(near)] == [group("P-5")] * 3


def test_it_serves_over_http(shop: Path) -> None:
    """A like counts at once for a newcomer, a wrong event gets a precise answer, and Ctrl-C ends
    the server cleanly."""
    with started("serve", "--port", 0, cwd=shop) as process:
        url = re.findall(r"http://[\d.:]+", line_with(process, "Serving on"))[0]
        with httpx.Client(base_url=url, timeout=30) as client:
            assert client.get("/healthz").status_code == 200
            like = {"type": "like", "user_id": "newcomer", "item_id": "P-7"}
            assert client.post("/v1/events", json=like).status_code == 202
            page = client.get("/v1/users/newcomer/recommendations", params={"limit": 3}).json()
            assert page["level"] == "fresh"
            assert [group(item_id) for item_id in ids(page)] == [group("P-7")] * 3
            assert page["items"][0]["because"][0]["item_id"] == "P-7"
            assert "P-7" not in ids(page)
            wrong = client.post("/v1/events", json=like | {"item_id": "P-700"})
            assert 400 <= wrong.status_code < 500
            assert "P-700" in wrong.text
        done = interrupt(process)
    assert (done.status, done.err) == (0, "")


def test_models_are_switched_and_copies_are_equal(shop: Path) -> None:
    """A second day's model takes over and is rolled back; a backup restored in another folder
    recommends the same to everybody."""
    first = nextup("model", "list", "--json", cwd=shop).document["current"]
    other_day = nextup("pipeline", "run", "--date", "2026-03-30", "--json", cwd=shop).document
    assert other_day["outcome"] == "succeeded"
    models = nextup("model", "list", "--json", cwd=shop).document
    assert models["current"] != first
    assert {model["model_id"] for model in models["models"]} >= {first, models["current"]}
    assert nextup("model", "rollback", "--json", cwd=shop).document["model_id"] == first
    assert nextup("model", "list", "--json", cwd=shop).document["current"] == first

    archive = shop.parent / "copies" / "shop.tar"
    copied = nextup("backup", archive, "--json", cwd=shop).document
    assert nextup("backup", archive, cwd=shop).err.endswith(
        "exists already. Choose another name.\n"
    )
    assert nextup("init", shop.parent / "elsewhere", cwd=shop).status == 0
    elsewhere = shop.parent / "elsewhere"
    restored = nextup("restore", archive, "--yes", "--json", cwd=elsewhere).document
    assert restored["files"] == copied["files"] > 0
    pages = [
        nextup("recommend", "person 77", "--limit", 40, "--json", cwd=folder).document
        for folder in (shop, elsewhere)
    ]
    for page in pages:
        assert page.pop("token")
        assert page["items"]
    assert pages[0] == pages[1]
