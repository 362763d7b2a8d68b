"""A switch in Redis that does not come to its end, and one that somebody writes beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.backends import REDIS, REDIS_CLUSTER, Place, places

from nextup.adapters.recommendation_store import redis as layout
from nextup.domain.errors import Conflict, NextupError
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=[REDIS, REDIS_CLUSTER])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


def lists(item_id: str, people: int = 50) -> list[PublishedList]:
    places_of = (Scored(item_id, 0.5, "als"),)
    return [PublishedList(f"user-{number}", places_of) for number in range(people)]


def test_a_switch_that_was_killed_is_begun_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had sealed opens for whoever writes the same lists again."""
    store = place.recommendation_store()
    store.write("g1", lists("old"))
    store.switch("g1")
    store.write("g2", lists("half"))
    with monkeypatch.context() as dying:
        dying.setattr(layout, "_SWITCH", "return redis.error_reply('killed here')")
        with pytest.raises(NextupError, match="killed here"):
            store.switch("g2")
    assert store.current() == "g1"
    assert store.read("user-7") == lists("old")[7]
    assert store.write("g2", lists("whole")) == 50
    store.switch("g2")
    assert store.read("user-7") == lists("whole")[7]
    with pytest.raises(Conflict, match="in service"):
        store.write("g2", lists("late"))


def test_a_switch_seals_again_what_somebody_opened(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes between its seals and its end is in it as a whole, and then nobody."""
    store, other = place.recommendation_store(), place.recommendation_store()
    store.write("g", lists("first"))
    server: Any = store._server  # type: ignore[attr-defined]
    script = server.script
    beside = [lists("second")]

    def interrupted(where: Any, text: str, *rest: Any) -> Any:
        if text == layout._SWITCH and beside:
            other.write("g", beside.pop())
        return script(where, text, *rest)

    monkeypatch.setattr(server, "script", interrupted)
    store.switch("g")
    assert not beside
    assert [store.read(one.user_id) for one in lists("second")] == lists("second")
    with pytest.raises(Conflict, match="in service"):
        other.write("g", lists("third"))
    assert store.read("user-7") == lists("second")[7]
