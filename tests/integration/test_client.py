"""The Python client against a running server, both kinds of it by the same tests."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.integration.access_world import PASSWORD, World, make_world, server_of

from nextup.bootstrap import open_platform
from nextup.client import (
    AsyncClient,
    BatchFailed,
    Client,
    Conflict,
    InvalidRequest,
    Item,
    LimitReached,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Retries,
    ServerFailure,
    Unavailable,
    Unreachable,
)
from nextup.domain.clients import Scope
from nextup.domain.errors import ConfigurationError
from nextup.services.access.accounts import Accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIKE = {"type": "like", "user_id": "ada", "item_id": "film-1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("client") / "home", logins_per_minute=1000)
    made.register("app", scopes=[Scope.READ, Scope.WRITE], password=PASSWORD)
    made.register("admin")
    with server_of(made):
        yield made


class Awaited:
    """An AsyncClient that waits for itself, so that one test can be told of both clients."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        if "sleep" in named:
            sleep = named["sleep"]

            async def asleep(seconds: float) -> None:
                sleep(seconds)

            named["sleep"] = asleep
        self._client = AsyncClient(*arguments, **named)
        self._loop = asyncio.new_event_loop()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            result = getattr(self._client, name)(*arguments, **named)
            if inspect.isasyncgen(result):
                return iter(self._loop.run_until_complete(_all(result)))
            return self._loop.run_until_complete(result)

        return call

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _all(results: Any) -> list[Any]:
    return [one async for one in results]


@pytest.fixture(params=[Client, Awaited], ids=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    made: Callable[..., Any] = request.param
    return made


@pytest.fixture
def client(world: World, make: Callable[..., Any]) -> Iterator[Any]:
    with make(world.url, api_key=world.keys["app"]) as client:
        yield client


def test_both_clients_have_the_same_methods() -> None:
    """With the same arguments, in the same order, and the same words about them."""

    def public(kind: type) -> dict[str, Any]:
        return {name: one for name, one in vars(kind).items() if not name.startswith("_")}

    sync, beside = public(Client), public(AsyncClient)
    assert list(sync) == list(beside)
    for name, method in sync.items():
        assert list(inspect.signature(method).parameters) == list(
            inspect.signature(beside[name]).parameters
        )
        assert inspect.getdoc(method) == inspect.getdoc(beside[name])


class TestAnswers:
    def test_a_like_changes_the_list(self, client: Any) -> None:
        """Typed places, with the like as a reason."""
        person = f"fan-{type(client).__name__}"
        before = client.recommendations(person, limit=5)
        sent = client.send("like", person, "film-1", context={"where": "test"})
        assert not sent.duplicate
        assert client.send("like", person, "film-1", event_id=sent.event_id).duplicate
        after = client.recommendations(person, limit=5)
        assert len(before) == len(after) == 5
        assert [place.rank for place in after] == [1, 2, 3, 4, 5]
        assert any(reason.item_id == "film-1" for place in after for reason in place.because)
        assert client.served(after.token).items[:5] == after.items
        acts = list(client.history(person))
        assert [(act.item_id, act.type) for act in acts] == [("film-1", "like")]
        assert client.person(person).touches == 1

    def test_pages_repeat_nothing(self, client: Any) -> None:
        """Page by page, to the end of the catalogue."""
        pages = list(client.pages("pager", limit=30, kind="film"))
        items = [place.item_id for page in pages for place in page]
        assert len(items) == len(set(items)) > 30
        assert all(item.startswith("film-") for item in items)

    def test_wishes_are_heard(self, client: Any) -> None:
        """Filters, pins and exclusions, of each kind of list."""
        page = client.recommendations(
            "w", limit=4, genres=["taste1", "taste2"], pin=["film-5"], exclude=["film-1", "film-2"]
        )
        items = [place.item_id for place in page]
        assert items[0] == "film-5"
        assert not {"film-1", "film-2"} & set(items)
        assert client.for_history(["film-1"], limit=3, explain=False).items[0].because == ()
        assert len(client.similar("film-1", limit=3)) == 3
        assert {item.kind for item in client.popular(kind="book", limit=5)} == {"book"}
        assert client.trending(window=24.0, limit=2).source
        ranked = client.rerank(["film-1", "film-2", "nothing"], user_id="w")
        assert {place.item_id for place in ranked} == {"film-1", "film-2"}
        assert [one.item_id for one in ranked.left_out] == ["nothing"]

    def test_the_catalogue(self, client: Any) -> None:
        """Kept, found, read back as it was, and removed; ids may be anything."""
        odd = Item(item_id="a/b?c=d&ü %2F", kind="film", title="Odd one", attributes={"x": [1]})
        try:
            assert client.put_item(odd) == odd
            assert client.item(odd.item_id) == odd
            more = [Item(item_id=f"odd-{n}", title=f"Odd {n}") for n in range(5)]
            assert client.put_items(more).items == 5
            assert len(list(client.items("odd", limit=2))) == 6
        finally:
            for item in client.items("odd"):
                client.delete_item(item.item_id)
        with pytest.raises(NotFound):
            client.item(odd.item_id)

    def test_people(self, client: Any) -> None:
        """Attributes are kept; erasing gives a receipt."""
        assert client.put_person("p/1", {"plan": "gold"}).attributes == {"plan": "gold"}
        client.send("view", "p/1", "film-1")
        assert client.erase("p/1").removed["event_log"] == 1
        with pytest.raises(NotFound):
            client.person("p/1")

    def test_anything_else(self, world: World, make: Callable[..., Any]) -> None:
        """Plain JSON for what has no method."""
        with make(world.url, api_key=world.keys["admin"]) as admin:
            runs = admin.request("GET", "/v1/operations/runs", query={"limit": 1})
            assert runs["runs"] == []


class TestProblems:
    def test_each_has_its_exception(self, world: World, make: Callable[..., Any]) -> None:
        """With the server's words, and the id that finds it in the log."""
        with make(world.url, api_key=world.keys["app"]) as app:
            with pytest.raises(NotFound) as found:
                app.item("nothing")
            assert (found.value.status, found.value.title) == (404, "Not Found")
            assert "nothing" in found.value.detail
            assert found.value.cure
            assert found.value.request_id
            assert pickle.loads(pickle.dumps(found.value)).detail == found.value.detail
            with pytest.raises(InvalidRequest) as invalid:
                app.send("rating", "ada", "film-1", value=99.0)
            assert invalid.value.document["rule"] == "rating_out_of_range"
            with pytest.raises(NotAllowed):
                app.request("GET", "/v1/clients")
        with make(world.url) as nobody, pytest.raises(NotSignedIn):
            nobody.popular()
        with make(world.url, api_key=world.keys["admin"]) as admin, pytest.raises(Conflict):
            admin.request("POST", "/v1/clients", body={"client_id": "app"})

    def test_nobody_there(self, make: Callable[..., Any]) -> None:
        """After the retries, each with its pause."""
        slept: list[float] = []
        retries = Retries(attempts=4, first_seconds=0.5)
        with make("http://127.0.0.1:9", api_key="k", retries=retries, sleep=slept.append) as lost:
            with pytest.raises(Unreachable):
                lost.popular()
            assert len(slept) == 3
            slept.clear()
            with pytest.raises(Unreachable):
                lost.request("POST", "/v1/operations/rollback")
            assert slept == []

    def test_one_way_to_sign_in(self, make: Callable[..., Any]) -> None:
        """A key, or a name and a password."""
        with pytest.raises(ConfigurationError):
            make("http://127.0.0.1:9", api_key="k", client_id="c", password="p")


class Scripted:
    """A server's answers, one after the other; remembers the requests. For what a real server
    does only on a bad day."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


GOOD = {"accepted": 1, "duplicates": 0, "rejected": 0, "rows": []}


class TestRetries:
    def test_the_server_is_obeyed(self, make: Callable[..., Any]) -> None:
        """Retry-After is waited for; an event keeps its id from try to try."""
        script = Scripted(
            httpx.Response(503, json={"title": "Busy"}, headers={"Retry-After": "2"}),
            httpx.ReadTimeout("slow"),
            httpx.Response(429, json={"title": "Slower"}, headers={"Retry-After": "3"}),
            httpx.Response(202, json={"event_id": "e", "duplicate": True}),
        )
        slept: list[float] = []
        with make(
            "http://nextup", transport=httpx.MockTransport(script), sleep=slept.append
        ) as client:
            assert client.send("like", "ada", "film-1").duplicate
        assert 2 <= slept[0] <= 2.1
        assert 0 <= slept[1] <= 0.2
        assert 3 <= slept[2] <= 3.1
        assert len({request.content for request in script.requests}) == 1
        assert b'"event_id"' in script.requests[0].content

    @pytest.mark.parametrize(
        ("answer", "raised"),
        [
            ({"status_code": 500, "text": "<html>"}, ServerFailure),
            ({"status_code": 422, "json": {}}, InvalidRequest),
            ({"status_code": 429, "json": {}, "headers": {"Retry-After": "3600"}}, LimitReached),
            ({"status_code": 502, "text": "proxy"}, ServerFailure),
        ],
    )
    def test_what_does_not_get_better_is_not_tried_again(
        self, make: Callable[..., Any], answer: dict[str, Any], raised: type[Exception]
    ) -> None:
        """Nor is what would have to be waited for too long."""
        script = Scripted(httpx.Response(**answer))
        with (
            make("http://nextup", transport=httpx.MockTransport(script)) as client,
            pytest.raises(raised),
        ):
            client.popular()
        assert len(script.requests) == 1

    def test_what_may_not_happen_twice_is_sent_once(self, make: Callable[..., Any]) -> None:
        """A POST of which nobody knows whether it arrived."""
        script = Scripted(httpx.Response(503, json={}))
        with (
            make("http://nextup", transport=httpx.MockTransport(script)) as client,
            pytest.raises(Unavailable),
        ):
            client.request("POST", "/v1/clients", body={"client_id": "x"})
        assert len(script.requests) == 1

    def test_pauses_grow_and_differ(self) -> None:
        """Each may be twice as long as the one before, up to the longest."""
        retries = Retries(attempts=12, first_seconds=0.1, longest_seconds=5)
        error = Unreachable("away")
        for attempt in range(1, 12):
            pauses = [retries.pause(attempt, error) for _ in range(200)]
            highest = min(5.0, 0.1 * 2 ** (attempt - 1))
            assert all(pause is not None and 0 <= pause <= highest for pause in pauses)
            assert max(pause or 0.0 for pause in pauses) > 0.9 * highest
            assert len(set(pauses)) > 100
        assert retries.pause(12, error) is None


class TestSigningIn:
    def test_tokens_come_by_themselves(self, world: World, make: Callable[..., Any]) -> None:
        """And another one when the server's keys were changed."""
        with make(world.url, client_id="app", password=PASSWORD) as app:
            assert app.popular(limit=1)
            with open_platform(world.settings()) as platform:
                Accounts(platform.clients, platform.settings).rotate(void_old=True)
            assert app.popular(limit=1)

    def test_a_wrong_password_is_said_at_once(self, world: World, make: Callable[..., Any]) -> None:
        """Not tried again."""
        with (
            make(world.url, client_id="app", password="wrong") as app,
            pytest.raises(NotSignedIn, match="do not fit"),
        ):
            app.popular()


class TestBatches:
    def test_all_that_was_added_is_there(self, world: World) -> None:
        """From many threads, by size; bad rows are told, and the others kept."""
        with Client(world.url, api_key=world.keys["app"]) as client:
            with client.batch(size=40, seconds=60) as events:

                def add(thread: int) -> None:
                    for number in range(50):
                        events.send("view", f"t{thread}", f"film-{number}")

                threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                events.send("rating", "t0", "film-1", value=77.0)
                events.flush()
                assert events.accepted == 200
            assert (events.accepted, events.duplicates, events.rejected) == (200, 0, 1)
            assert events.broken[0].rule == "rating_out_of_range"
            assert sum(1 for _ in client.history("t3", limit=200)) == 50

    def test_age_sends_too(self, world: World) -> None:
        """An event does not wait for others that never come."""
        with Client(world.url, api_key=world.keys["app"]) as client:
            done = threading.Event()
            send_many = client._do

            def watched(call: Any) -> Any:
                result = send_many(call)
                done.set()
                return result

            client._do = watched  # type: ignore[method-assign]
            with client.batch(size=1000, seconds=0.01) as events:
                events.add(LIKE)
                assert done.wait(60)

    def test_what_was_not_sent_is_handed_back(self) -> None:
        """With the ids that it was tried under, in order."""
        script = Scripted(httpx.Response(202, json=GOOD), httpx.Response(403, json={}))
        with Client("http://nextup", transport=httpx.MockTransport(script)) as client:
            ids: list[str] = []
            with pytest.raises(BatchFailed) as failed, client.batch(size=1, seconds=60) as events:
                ids.extend(events.send("like", "ada", f"film-{number}") for number in range(3))
            assert [one["event_id"] for one in failed.value.unsent] == ids[1:][
                -len(failed.value.unsent) :
            ]
            assert failed.value.unsent
            assert isinstance(failed.value.__cause__, NotAllowed)

    def test_the_same_beside_other_work(self, world: World) -> None:
        """The asynchronous batch: by size, by age, at the end, and with its failures."""

        async def work() -> None:
            async with AsyncClient(world.url, api_key=world.keys["app"]) as client:
                async with client.batch(size=20, seconds=0.01) as events:
                    for number in range(50):
                        await events.send("view", "beside", f"film-{number}")
                    await events.flush()
                    assert events.accepted == 50
                    await events.add(LIKE)
                assert events.accepted == 51
                history = [act async for act in client.history("beside", limit=20)]
                assert len(history) == 50
            script = Scripted(httpx.Response(403, json={}))
            transport = httpx.MockTransport(script)
            async with AsyncClient("http://nextup", transport=transport) as client:
                with pytest.raises(BatchFailed) as failed:
                    async with client.batch(size=1) as events:
                        await events.add(LIKE)
                assert len(failed.value.unsent) == 1

        asyncio.run(work())

    def test_many_are_sent_in_pieces(self, client: Any) -> None:
        """More than one request may carry, with the rows numbered through."""
        person = f"many-{type(client).__name__}"
        events = [{**LIKE, "user_id": person, "item_id": f"film-{n % 50}"} for n in range(5_001)]
        events.append({"type": "like", "user_id": person})
        result = client.send_many(events)
        assert (result.accepted, result.rejected) == (5_001, 1)
        assert [row.row for row in result.broken] == [5_001]
