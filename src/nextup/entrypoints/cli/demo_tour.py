"""What the demo does once its server is up: ask it like any client would, and tell the story."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from nextup.domain.errors import NextupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nextup.entrypoints.cli.output import Output

PERSON = "horror-fan"  # one of the sample's showcase people
NEWCOMER = "newcomer"  # another, who has done very little yet
TIMEOUT_SECONDS = 10


class DemoFailed(NextupError):
    """The demo promised something that did not happen."""


class Tour:
    """Runs beside the server. With `check` it ends the server when it has seen enough."""

    def __init__(
        self,
        out: Output,
        parts: dict[str, float],
        started: float,
        *,
        stop: Callable[[], None],
        check: bool,
    ) -> None:
        self._out = out
        self._stop = stop
        self._parts = parts
        self._started = started
        self._check = check
        self._failure: NextupError | None = None
        self._findings: dict[str, Any] = {}
        self._thread: threading.Thread | None = None

    def begin(self, url: str) -> None:
        """Called when the server answers; returns at once."""
        self._thread = threading.Thread(target=self._run, args=(url,), name="nextup-demo-tour")
        self._thread.start()

    def conclude(self, home: Path) -> None:
        """After the server stopped: report, and raise what the tour found wrong."""
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        if self._check and not self._findings:
            raise DemoFailed("The server stopped before it answered anything.")
        self._out.result({"folder": str(home), "seconds": self._parts, **self._findings})

    def _run(self, url: str) -> None:
        try:
            self._parts["server"] = round(time.monotonic() - self._started, 2)
            first = _recommendations(url, PERSON)
            self._parts["first answer"] = round(time.monotonic() - self._started, 2)
            self._show_list("For a fan of horror, from their history:", first)
            if self._check:
                self._prove(url)
            self._say_durations()
            if not self._check:
                self._invite(url)
        except NextupError as error:
            self._failure = error
        except (URLError, OSError, KeyError, ValueError) as error:
            self._failure = DemoFailed(f"The server did not answer as promised: {error!r}.")
        finally:
            if self._check or self._failure:
                self._stop()

    def _prove(self, url: str) -> None:
        """Like something and see that the list changed, at once and for a reason."""
        before = _recommendations(url, NEWCOMER)
        self._show_list("For a newcomer:", before)
        liked = _something_else(url, before)
        like = {"type": "like", "user_id": NEWCOMER, "item_id": liked["item_id"]}
        posted = _post(f"{url}/v1/events", like)
        after = _recommendations(url, NEWCOMER)
        old = [item["item_id"] for item in before["items"]]
        new = [item["item_id"] for item in after["items"]]
        reasons = [
            item
            for item in after["items"]
            if any(reason["item_id"] == liked["item_id"] for reason in item["because"])
        ]
        self._show_list(f"After the newcomer liked {liked['title']}:", after)
        if old == new:
            raise DemoFailed("The list did not change after a like.")
        if not reasons:
            raise DemoFailed("No item of the changed list names the like as a reason.")
        if liked["item_id"] in new:
            raise DemoFailed("What was just liked is still recommended.")
        came = [item for item in new if item not in old]
        self._out.say(f"{len(came)} of {len(new)} places changed; the like explains {len(reasons)}")
        self._findings = {
            "liked": liked["item_id"],
            "event_id": posted["event_id"],
            "before": old,
            "after": new,
            "explained_by_the_like": [item["item_id"] for item in reasons],
        }

    def _show_list(self, title: str, page: Mapping[str, Any]) -> None:
        self._out.say(f"\n{title}")
        for place, item in enumerate(page["items"][:5], start=1):
            why = ", ".join(
                f"{reason['title']} {reason['share']:.0%}" for reason in item["because"][:2]
            )
            self._out.say(f"  {place}. {item['title']} ({item['year']})   because of {why}")

    def _say_durations(self) -> None:
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self._parts.items())
        build = sum(seconds for name, seconds in self._parts.items() if name not in {"server"})
        self._out.say(f"\nTook {build:.1f} s to the first recommendation: {parts}")

    def _invite(self, url: str) -> None:
        self._out.say(
            f"\nOpen {url}/docs, or try:\n"
            f"  curl '{url}/v1/users/{PERSON}/recommendations?limit=5'\n"
            f"  curl -X POST {url}/v1/events -H 'content-type: application/json' \\\n"
            f'       -d \'{{"type": "like", "user_id": "{PERSON}", '
            f'"item_id": "book:pride-and-prejudice-1813"}}\'\n'
            f"  curl '{url}/v1/items/film:alien-1979/similar?limit=5'\n"
            "Ctrl-C ends it; everything stays in its folder."
        )
        sys.stdout.flush()


def _recommendations(url: str, user_id: str) -> dict[str, Any]:
    return _get(f"{url}/v1/users/{user_id}/recommendations?limit=10")


def _something_else(url: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """A well-known romance that the newcomer does not know and that is not on their list."""
    listed = {item["item_id"] for item in before["items"]}
    history = _get(f"{url}/v1/users/{NEWCOMER}/history?limit=200")["history"]
    known = {touch["item_id"] for touch in history}
    for item in _get(f"{url}/v1/popular?kind=book&limit=200")["items"]:
        if "Romance" in item["genres"] and item["item_id"] not in listed | known:
            return dict(item)
    raise DemoFailed("Nothing is left to like.")


def _get(url: str) -> dict[str, Any]:
    with urlopen(quote(url, safe=":/?&=,%"), timeout=TIMEOUT_SECONDS) as answer:
        return dict(json.load(answer))


def _post(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    request = Request(
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        return dict(json.load(answer))
