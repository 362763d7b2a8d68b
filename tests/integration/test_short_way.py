"""Plain queries take the short way, and get what the route would have given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.integration.api_world import served, train

from nextup.entrypoints.api.short_way import ShortWay, plain_wish
from nextup.services.recommending.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPEN = {"auth": "none"}
FRESH = {"cache_seconds": 0.0}  # each answer is made
PLAIN = [
    "",
    "limit=3",
    "kind=film",
    "genre=Drama&genre=Comedy&limit=200",
    "exclude=film-1&exclude=film-2&pin=film-9&explain=false",
    "kind=opera",
]
OTHERS = [
    "limit=0",
    "limit=201",
    "limit=1&limit=2",
    "limit=x",
    "kind=",
    "kind=a%20b",
    "explain=maybe",
    "explain=1",
    "diversity=0.5",
    "filter=kind%20%3D%20%22film%22",
    "unheard=of",
    "&".join(f"exclude=i{n}" for n in range(201)),
]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """The same platform by the short way, and by the framework alone."""
    home: Path = tmp_path_factory.mktemp("ways")
    with (
        served(home, recommend=FRESH, access=OPEN) as (short, platform),
        served(home, recommend=FRESH, access=OPEN, logs={"requests": True}) as (long, _),
    ):
        train(platform, "m1")
        for client in (short, long):
            while client.get("/readyz").json()["model_id"] != "m1":
                pass
        event = {"type": "like", "user_id": "ada", "item_id": "film-1"}
        assert short.post("/v1/events", json=event).status_code == 202
        yield short, long


def comparable(answer: httpx.Response) -> tuple[int, dict[str, Any], set[str]]:
    """All but what is new in each answer."""
    body = answer.json()
    for name in ("served_at", "token", "next_page", "next", "request_id"):
        body.pop(name, None)
    headers = set(answer.headers) - {"date"}
    return answer.status_code, body, headers


@pytest.mark.parametrize("query", PLAIN + OTHERS)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_both_ways_lead_to_the_same(
    ways: tuple[httpx.Client, httpx.Client], query: str, encoding: str
) -> None:
    """The same status, headers and list, whatever was asked for, also where it is refused."""
    path = f"/v1/users/ada/recommendations?{query}"
    short, long = (client.get(path, headers={"accept-encoding": encoding}) for client in ways)
    assert comparable(short) == comparable(long)


def test_another_sites_page_takes_the_long_way(tmp_path: Path) -> None:
    """Whether a browser may show it the list is said by the layers that the short way passes by."""
    site = "https://shop.example"
    with served(tmp_path, recommend=FRESH, access=OPEN, server={"cors_origins": [site]}) as world:
        client, _ = world
        answer = client.get("/v1/users/ada/recommendations", headers={"origin": site})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == site


def test_only_plain_queries_take_it(
    ways: tuple[httpx.Client, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way is really taken; and where it fails, the route answers."""
    taken: list[bool] = []
    answer = ShortWay.answer

    async def noted(self: ShortWay, *arguments: Any) -> bool:
        taken.append(await answer(self, *arguments))
        return taken[-1]

    monkeypatch.setattr(ShortWay, "answer", noted)
    for query in PLAIN + OTHERS:
        ways[0].get(f"/v1/users/ada/recommendations?{query}")
    assert taken == [True] * len(PLAIN) + [False] * len(OTHERS)

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("nextup.entrypoints.api.short_way.give", broken)
    assert ways[0].get("/v1/users/ada/recommendations").status_code == 200
    assert taken[-1] is False


def test_what_a_plain_query_wishes() -> None:
    """Values come as they were written, in their order; ids of other letters go the long way."""
    query = "limit=7&genre=a&kind=film&exclude=x&genre=b&pin=y&explain=true"
    wish = Request("u-1", 7, "film", ("a", "b"), ("x",), ("y",), None, True)
    assert plain_wish("u-1", query) == wish
    assert plain_wish("\u00fc", "") is None
    assert plain_wish("u 1", "") is None
