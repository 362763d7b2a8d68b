"""Events count at once and once; the model in service is followed."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.integration.api_world import catalogue, train

from nextup.bootstrap import open_platform
from nextup.domain.errors import BackendUnavailable, NextupError
from nextup.domain.events import Event
from nextup.domain.items import Item
from nextup.services import stream
from nextup.services.intake import Fate, Intake
from nextup.services.serving import Serving
from nextup.services.stream import ModelWatcher, OnlineUpdater
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.bootstrap import Platform


@pytest.fixture
def platform(tmp_path) -> Iterator[Platform]:
    with open_platform(load_settings(tmp_path)) as opened:
        opened.catalog.put_items(catalogue())
        yield opened


class Failing:
    """A real backend that does not answer for its first calls of some methods."""

    def __init__(self, real, failures: int, methods: set[str]) -> None:
        self._real = real
        self._methods = methods
        self.failures = failures

    def __getattr__(self, name):
        if name in self._methods and self.failures > 0:
            self.failures -= 1
            raise BackendUnavailable("Not now.")
        return getattr(self._real, name)


def events(count: int, user_id: str = "u", start: int = 0) -> list[Event]:
    now = datetime.now(UTC)
    numbers = range(start, start + count)
    return [Event(f"{user_id}-{n}", "view", user_id, f"film-{n % 60}", now) for n in numbers]


def until(receipts) -> dict[str, int]:
    return {receipts[-1].partition: receipts[-1].offset + 1}


def within_seconds(condition, seconds=20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestUpdater:
    def test_what_was_appended_counts_when_caught_up(self, platform):
        """After catch_up returns True, the history holds the event; the rows are told once."""
        told = []
        updater = OnlineUpdater(platform.event_log, platform.online_state, on_applied=told.extend)
        receipts = platform.event_log.append(events(3))
        assert updater.catch_up(until(receipts))
        assert updater.catch_up(until(receipts))
        assert len(platform.online_state.history("u")) == 3
        assert [row.event_id for row in told] == ["u-0", "u-1", "u-2"]

    def test_a_restart_goes_on_where_the_state_stands(self, platform):
        """A new updater applies only what its predecessor did not."""
        first = OnlineUpdater(platform.event_log, platform.online_state)
        platform.event_log.append(events(5))
        assert first.apply_all() == 5
        platform.event_log.append(events(2, start=5))
        assert OnlineUpdater(platform.event_log, platform.online_state).apply_all() == 2
        assert len(platform.online_state.history("u")) == 7

    def test_many_threads(self, platform):
        """Threads that append and catch up at once each see their own event, told once in all."""
        told = []
        updater = OnlineUpdater(platform.event_log, platform.online_state, on_applied=told.extend)
        failures = []

        def work(n):
            for start in range(5):
                receipts = platform.event_log.append(events(1, f"u{n}", start))
                caught_up = updater.catch_up(until(receipts))
                if not caught_up or len(platform.online_state.history(f"u{n}")) != start + 1:
                    failures.append((n, start))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert sorted(row.event_id for row in told) == sorted(
            f"u{n}-{start}" for n in range(8) for start in range(5)
        )

    def test_a_backlog_is_left_to_the_background(self, platform, monkeypatch):
        """A caller does not wait for a long backlog; the background gets there."""
        monkeypatch.setattr(stream, "BATCH_ROWS", 10)
        updater = OnlineUpdater(platform.event_log, platform.online_state, poll_seconds=0.01)
        receipts = platform.event_log.append(events(45))
        assert not updater.catch_up(until(receipts))
        assert platform.online_state.history("u") == []
        stop = threading.Event()
        thread = threading.Thread(target=updater.run, args=(stop,))
        thread.start()
        try:
            within_seconds(lambda: len(platform.online_state.history("u")) == 45)
        finally:
            stop.set()
            thread.join()

    def test_the_background_survives_failures(self, platform):
        """A state that fails for a while is caught up with afterwards, nothing lost or doubled."""
        state = Failing(platform.online_state, failures=3, methods={"apply"})
        updater = OnlineUpdater(platform.event_log, state, poll_seconds=0.01)
        platform.event_log.append(events(4))
        stop = threading.Event()
        thread = threading.Thread(target=updater.run, args=(stop,))
        thread.start()
        try:
            within_seconds(lambda: len(platform.online_state.history("u")) == 4)
        finally:
            stop.set()
            thread.join()
        assert state.failures == 0


LIKE = {"type": "like", "user_id": "u", "item_id": "film-1", "event_id": "e"}


class TestIntake:
    def intake(self, platform, log=None, state=None) -> Intake:
        serving = Serving(platform)
        log = log or platform.event_log
        updater = OnlineUpdater(log, state or platform.online_state)
        return Intake(serving.intake._contract, log, updater)

    def test_the_state_may_be_down(self, platform):
        """An event is accepted although the state does not answer, and counts later."""
        state = Failing(platform.online_state, failures=1, methods={"position"})
        intake = self.intake(platform, state=state)
        assert intake.take(LIKE).fate is Fate.ACCEPTED
        assert platform.online_state.history("u") == []
        OnlineUpdater(platform.event_log, platform.online_state).apply_all()
        assert len(platform.online_state.history("u")) == 1

    def test_the_log_may_not(self, platform):
        """When the log does not answer nothing is acknowledged; sent again, it is accepted."""
        log = Failing(platform.event_log, failures=1, methods={"append"})
        intake = self.intake(platform, log=log)
        with pytest.raises(BackendUnavailable):
            intake.take(LIKE)
        assert intake.take(LIKE).fate is Fate.ACCEPTED
        assert intake.take(LIKE).fate is Fate.DUPLICATE

    def test_outcomes_are_in_the_order_of_the_rows(self, platform):
        """Each row's outcome is its own, wherever bad rows stand between good ones."""
        rows = [LIKE | {"event_id": f"e{n}"} if n % 3 else {"n": n} for n in range(20)]
        outcomes = self.intake(platform).take_many(rows)
        for n, outcome in enumerate(outcomes):
            if n % 3:
                assert (outcome.fate, outcome.event_id) == (Fate.ACCEPTED, f"e{n}")
            else:
                assert outcome.fate is Fate.REJECTED


class TestWatcher:
    def watcher(self, platform) -> ModelWatcher:
        return ModelWatcher(platform.control, platform.files, platform.catalog)

    def test_without_a_model(self, platform):
        """Before anything was promoted there are the items alone."""
        model = self.watcher(platform).current()
        assert model.model_id is None
        assert len(model.items) == len(catalogue())

    def test_promotion_and_rollback(self, platform):
        """Whatever is promoted is taken up; nothing is loaded again while nothing changes."""
        watcher = self.watcher(platform)
        train(platform, "m1")
        assert watcher.refresh()
        first = watcher.current()
        assert not watcher.refresh()
        assert watcher.current() is first
        train(platform, "m2", seed=2)
        assert watcher.refresh()
        assert watcher.current().model_id == "m2"
        platform.control.set_current_model("m1")
        assert watcher.refresh()
        assert watcher.current().model_id == "m1"
        platform.control.set_current_model(None)
        assert watcher.refresh()
        assert watcher.current().model_id is None

    def test_a_damaged_model_is_not_taken_up(self, platform):
        """A model that cannot be loaded leaves the old one in service, with the reason."""
        train(platform, "m1")
        train(platform, "m2", seed=2)
        platform.control.set_current_model("m1")
        watcher = self.watcher(platform)
        kept = watcher.current()
        folder = platform.files.local_path("models/m2")
        (folder / "items.json").write_text("[")
        platform.control.set_current_model("m2")
        with pytest.raises(NextupError):
            watcher.refresh()
        assert not watcher.refresh()  # not tried again at once
        assert watcher.current() is kept
        assert "m2" in watcher.failure
        platform.control.set_current_model("m1")
        watcher.refresh()
        assert watcher.current().model_id == "m1"
        assert watcher.failure == ""

    def test_new_items_are_taken_up(self, platform, monkeypatch):
        """An item that came after the training is there after a while, behind the known ones."""
        monkeypatch.setattr(stream, "ITEMS_SECONDS", 0.0)
        train(platform, "m1")
        watcher = self.watcher(platform)
        known = watcher.current().n_known
        platform.catalog.put_items([Item("later", "film", "Later")])
        assert watcher.refresh()
        assert watcher.current().items.index["later"] == known
        platform.catalog.put_items([Item("later", "book", "Later")])
        watcher.note_changed_items()
        assert watcher.refresh()
        assert watcher.current().items.kinds["book"][-1] == known

    def test_the_first_model_may_be_damaged(self, platform):
        """A server that starts with a damaged model answers from the catalogue, and says why."""
        train(platform, "m1")
        (platform.files.local_path("models/m1") / "als" / "settings.npy").unlink()
        watcher = self.watcher(platform)
        assert watcher.current().model_id is None
        assert len(watcher.current().items) == len(catalogue())
        assert "m1" in watcher.failure

    def test_backends_that_are_down(self, platform):
        """As long as the registry does not answer there is an empty model, and then the real."""
        train(platform, "m1")
        control = Failing(platform.control, failures=1, methods={"current_model"})
        watcher = ModelWatcher(control, platform.files, platform.catalog)
        assert len(watcher.current().items) == 0
        assert watcher.current().model_id == "m1"
