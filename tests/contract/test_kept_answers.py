"""What a state promises that keeps answers: they go in the transaction that makes them untrue."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import REDIS, REDIS_CLUSTER, Place, places
from tests.contract.log_rows import NOON, after, row, touch

from nextup.ports.online_state import EVERYBODY, KeepsAnswers, OnlineState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.domain.events import LogRow

LONG = 3600.0  # seconds


class State(OnlineState, KeepsAnswers):
    """Both."""


@pytest.fixture(params=[REDIS, REDIS_CLUSTER])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def state(place: Place) -> State:
    opened = place.online_state()
    assert isinstance(opened, KeepsAnswers)
    return opened  # type: ignore[return-value]


def keep(state: State, about: str, name: str = "top", answer: bytes = b"{}") -> bool:
    stamp = state.answer_stamp(about)
    return state.keep_answer(about, name, answer, stamp=stamp, seconds=LONG)


def apply(state: State, *rows: LogRow) -> None:
    state.apply(rows, after(rows))


def test_an_answer_is_kept_whole(state: State) -> None:
    """Byte for byte, under its name, for its person; another server finds it, too."""
    answer = bytes(range(256)) * 40 + b" 0 1 "
    assert keep(state, "ada", "a b:c", answer)
    assert state.kept_answer("ada", "a b:c") == answer
    assert state.kept_answer("ada", "other") is None
    assert state.kept_answer("bob", "a b:c") is None
    assert state.kept_answer(EVERYBODY, "a b:c") is None


def test_another_server_finds_it(place: Place, state: State) -> None:
    """What one process kept, another gives."""
    other = place.online_state()
    assert keep(state, "ada")
    assert isinstance(other, KeepsAnswers)
    assert other.kept_answer("ada", "top") == b"{}"


def test_an_event_lets_go_of_its_person_and_of_everybody(state: State) -> None:
    """Bob's answers stay when Ada does something; what is about everybody goes."""
    for about in ("ada", "bob", EVERYBODY):
        assert keep(state, about)
        assert keep(state, about, "second")
    apply(state, row(0, "ada", "film"))
    assert state.kept_answer("ada", "top") is None
    assert state.kept_answer("ada", "second") is None
    assert state.kept_answer(EVERYBODY, "top") is None
    assert state.kept_answer("bob", "top") == b"{}"


@pytest.mark.parametrize(("kind", "goes"), [("dismiss", True), ("impression", False)])
def test_what_is_not_counted_leaves_everybody(state: State, kind: str, goes: bool) -> None:
    """A dismissal changes its person's answers alone; an impression changes nobody's."""
    for about in ("ada", EVERYBODY):
        assert keep(state, about)
    apply(state, row(0, "ada", "film", type=kind))
    assert (state.kept_answer("ada", "top") is None) is goes
    assert state.kept_answer(EVERYBODY, "top") == b"{}"


@pytest.mark.parametrize("about", ["ada", EVERYBODY])
def test_an_answer_that_was_overtaken_is_not_kept(state: State, about: str) -> None:
    """An event between the question and the answer: the answer does not know of it."""
    stamp = state.answer_stamp(about)
    apply(state, row(0, "ada", "film"))
    assert not state.keep_answer(about, "top", b"old", stamp=stamp, seconds=LONG)
    assert state.kept_answer(about, "top") is None
    assert keep(state, about)


def test_a_replay_lets_go_of_nothing(state: State) -> None:
    """A batch that comes again changes nothing, so that answers stand."""
    apply(state, row(0, "ada", "film"))
    assert keep(state, "ada")
    apply(state, row(0, "ada", "film"))
    assert state.kept_answer("ada", "top") == b"{}"


def test_an_answer_has_its_time(state: State) -> None:
    """Each has its own, though all of a person lie together."""
    assert keep(state, "ada", "long")
    stamp = state.answer_stamp("ada")
    assert state.keep_answer("ada", "short", b"{}", stamp=stamp, seconds=0.001)
    deadline = monotonic() + 60
    while state.kept_answer("ada", "short") is not None:
        assert monotonic() < deadline
        sleep(0.01)


def test_all_can_be_let_go(state: State) -> None:
    """For changes that are no events; what was made before them is not kept afterwards."""
    stamp = state.answer_stamp("ada")
    for about in ("ada", "bob", EVERYBODY):
        assert keep(state, about)
    state.forget_answers()
    assert all(state.kept_answer(about, "top") is None for about in ("ada", "bob", EVERYBODY))
    assert not state.keep_answer("ada", "top", b"old", stamp=stamp, seconds=LONG)
    assert keep(state, "ada")


def test_erasing_and_loading_let_go(state: State) -> None:
    """A person who is erased, or whose history is loaded anew, gets new answers."""
    apply(state, row(0, "ada", "film"))
    assert keep(state, "ada")
    state.erase("ada")
    assert state.kept_answer("ada", "top") is None
    assert keep(state, "bob")
    history = [touch(row(1, "bob", "film", at=NOON + timedelta(hours=1)))]
    state.load_histories([("bob", history)], {"0": 2})
    assert state.kept_answer("bob", "top") is None
