"""Applications that send events and ask for lists all the time, and count."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CALLERS = 4
TRIES = 20
PAUSE_SECONDS = 0.02  # between a caller's requests: a load that one machine bears beside itself


@dataclass
class Counted:
    """What came of the requests."""

    sent: int = 0  # attempts
    refused: list[str] = field(default_factory=list)  # attempts without an answer, or with a 5xx
    lost: list[str] = field(default_factory=list)  # requests that no attempt got through
    acknowledged: list[str] = field(default_factory=list)  # events
    lists: int = 0

    def __str__(self) -> str:
        return (
            f"{self.sent} requests sent, {len(self.refused)} failed, {len(self.lost)} given up; "
            f"{len(self.acknowledged)} events acknowledged, {self.lists} lists"
        )


class Load:
    """Counts while it runs. With `again`, what fails is tried again, as an application should:
    the same event with the same id."""

    def __init__(self, url: str, key: str, items: Sequence[str], *, again: bool) -> None:
        self.counted = Counted()
        self._url, self._key, self._items = url, key, items
        self._tries = TRIES if again else 1
        self._stop = threading.Event()
        self._counting = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[Counted]:
        """Until the block ends; then all requests have ended, too."""
        threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield self.counted
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _call(self, number: int) -> None:
        with httpx.Client(
            base_url=self._url, headers={"x-api-key": self._key}, timeout=300
        ) as client:
            turn = 0
            while not self._stop.wait(PAUSE_SECONDS):
                turn += 1
                user = f"caller-{number}-{turn % 10}"
                if turn % 2:
                    self._ask(client, "GET", f"/v1/users/{user}/recommendations?limit=5", None)
                else:
                    item = self._items[turn % len(self._items)]
                    event = {"type": "view", "user_id": user, "item_id": item}
                    self._ask(client, "POST", "/v1/events", event | {"event_id": str(uuid4())})

    def _ask(
        self, client: httpx.Client, method: str, path: str, body: dict[str, str] | None
    ) -> None:
        for _ in range(self._tries):
            wrong = ""
            try:
                answer = client.request(method, path, json=body)
            except httpx.TransportError as error:
                wrong = f"{method} {path}: {error!r}"
            else:
                if answer.is_error:
                    wrong = f"{method} {path}: {answer.status_code} {answer.text}"
            with self._counting:
                self.counted.sent += 1
                if not wrong:
                    if body is None:
                        self.counted.lists += 1
                    else:
                        self.counted.acknowledged.append(body["event_id"])
                    return
                self.counted.refused.append(wrong)
            self._stop.wait(PAUSE_SECONDS)
        with self._counting:
            self.counted.lost.append(wrong)
