"""A server under load: clients that remember what was acknowledged, and readers that look for
answers that must not be."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.faults.looking import opened
from tests.faults.processes import PATIENCE, Command

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.domain.recommendations import PublishedList

SERVING = "Serving on "
PAUSE = 0.01  # seconds between a client's requests; the cores are for the server
DOWN = (OSError, http.client.HTTPException)


class Server:
    """`nextup serve`, which may die; `url` is empty while it is down."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._command: Command | None = None
        self.url = ""

    def start(self) -> None:
        self._command = Command(self._home, "serve", "--port", "0")
        assert self._command.wait_until(lambda out: SERVING in out), self._command.finish()
        self.url = self._command.out.split(SERVING)[1].split(";")[0]

    def kill(self) -> bool:
        """SIGKILL; returns whether it was alive."""
        assert self._command is not None
        self.url = ""
        killed = self._command.kill()
        self._command.__exit__()
        self._command = None
        return killed

    def alive(self) -> bool:
        return self._command is not None and self._command.alive()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._command is not None:
            self.kill()


def ask(url: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """One request; the status and the JSON. Raises one of DOWN when the server is gone."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc or "127.0.0.1:9", timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


class Load(threading.Thread):
    """Works until it is told to stop; what it finds wrong is in `wrong`."""

    def __init__(self, name: str, server: Server, dice: random.Random) -> None:
        super().__init__(name=name, daemon=True)
        self.server = server
        self.dice = dice
        self.stopping = threading.Event()
        self.wrong: list[object] = []

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.work()
                time.sleep(PAUSE)
        except BaseException as error:
            self.wrong.append(error)
            raise

    def work(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopping.set()
        self.join(PATIENCE)
        assert not self.is_alive()


class Sender(Load):
    """Sends events, one by one and in batches, and each again under its id until the server has
    acknowledged it. Some are sent again though they were."""

    def __init__(
        self, name: str, server: Server, dice: random.Random, items: Sequence[str]
    ) -> None:
        super().__init__(name, server, dice)
        self.items = items
        self.sent: list[str] = []
        self.acknowledged: list[str] = []
        self.rejected: set[str] = set()
        self.repeated = 0
        self._last: list[dict[str, Any]] = []

    def work(self) -> None:
        events = self._events(self.dice.choice([1, 1, 1, 5, 20]))
        if self._last and self.dice.random() < 0.2:  # an impatient client
            events = [*self._last, *events]
        while not self._try(events):
            self.repeated += 1
            time.sleep(0.02)
        self._last = events

    def _events(self, number: int) -> list[dict[str, Any]]:
        events = []
        for _ in range(number):
            event_id = f"{self.name}-{len(self.sent)}"
            self.sent.append(event_id)
            events.append(
                {
                    "event_id": event_id,
                    "type": self.dice.choice(["view", "click", "like"]),
                    "user_id": f"{self.name}-{self.dice.randrange(5)}",
                    "item_id": self.dice.choice(self.items),
                }
            )
        return events

    def _try(self, events: list[dict[str, Any]]) -> bool:
        """Whether the server took them; it may also have taken them and died before it said so."""
        try:
            if len(events) == 1:
                status, answer = ask(self.server.url, "POST", "/v1/events", events[0])
                taken = [answer.get("event_id")]
            else:
                bad = {"event_id": f"bad-{events[0]['event_id']}", "type": "view"}
                rows = [*events, bad]
                status, answer = ask(self.server.url, "POST", "/v1/events/batch", rows)
                *good, refused = answer.get("rows") or [{}]
                taken = [row.get("event_id") for row in good]
                if status == 202:
                    self.rejected.add(refused["rejected_id"])
        except DOWN:
            return False
        except json.JSONDecodeError:  # half an answer
            return False
        if status == 202:
            assert taken == [event["event_id"] for event in events], answer
            self.acknowledged += taken
            return True
        if status not in {503, 507}:
            self.wrong.append((status, answer))
        return False


class Asker(Load):
    """Asks for recommendations over HTTP."""

    def __init__(
        self, name: str, server: Server, dice: random.Random, people: Sequence[str]
    ) -> None:
        super().__init__(name, server, dice)
        self.people = people
        self.answers = 0

    def work(self) -> None:
        person = self.dice.choice(self.people)
        try:
            status, answer = ask(self.server.url, "GET", f"/v1/users/{person}/recommendations")
        except (*DOWN, json.JSONDecodeError):
            return
        shown = [item["item_id"] for item in answer.get("items", [])]
        if status != 200 or not shown or len(set(shown)) != len(shown):
            self.wrong.append((status, answer))
        self.answers += 1


class ListReader(Load):
    """Reads published lists from the store, as a server would, while generations come and go."""

    def __init__(
        self, name: str, server: Server, dice: random.Random, home: Path, people: Sequence[str]
    ) -> None:
        super().__init__(name, server, dice)
        self.home = home
        self.people = people
        self.known: dict[str | None, dict[str, PublishedList | None]] = {}
        self.reads = 0

    def run(self) -> None:
        with opened(self.home) as platform:
            self.platform: Platform = platform
            super().run()

    def work(self) -> None:
        """A list is that of the generation before the read or of the one after it."""
        store = self.platform.recommendation_store
        before = store.current()
        if before not in self.known:
            lists = {person: store.read(person) for person in self.people}
            if store.current() == before:
                self.known[before] = lists
            return
        person = self.dice.choice(self.people)
        found = store.read(person)
        after = store.current()
        possible = [self.known[each][person] for each in (before, after) if each in self.known]
        if after in self.known and found not in possible:
            self.wrong.append((before, after, person, found))
        self.reads += 1
