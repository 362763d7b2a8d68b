"""What keeps a server up to date: the log's new events, and the model in service."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from nextup.domain.errors import NextupError
from nextup.services.artifacts import load_artifact
from nextup.services.serving_model import build_serving_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextup.domain.events import LogRow, Position
    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.online_state import OnlineState
    from nextup.services.serving_model import ServingModel

    Applied = Callable[[Sequence[LogRow]], None]
    """Told of rows, in order, once they count."""

log = logging.getLogger(__name__)

BATCH_ROWS = 5_000  # rows per transaction of the state
POLL_SECONDS = 0.1  # events appended by other processes count after so long
MODEL_POLL_SECONDS = 0.5
ITEMS_SECONDS = 5.0  # at most this often is the catalogue read again because it changed
LONGEST_PAUSE_SECONDS = 30.0  # between attempts after failures


def reaches(position: Position, until: Position) -> bool:
    """Whether a reader that stands at `position` has read everything before `until`."""
    return all(position.get(partition, 0) >= offset for partition, offset in until.items())


class OnlineUpdater:
    """Brings the log's events into the online state. Safe to share between threads.

    Any number may run, in one process or in several: applying an event twice changes nothing.
    """

    def __init__(
        self,
        event_log: EventLog,
        state: OnlineState,
        *,
        on_applied: Applied | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._log = event_log
        self._state = state
        self._on_applied = on_applied
        self._poll_seconds = poll_seconds
        self._applying = threading.Lock()
        self._reached: Position = {}

    def catch_up(self, until: Position | None = None, *, max_rows: int | None = None) -> bool:
        """Apply everything up to `until`, or up to the log's end; returns whether it got there.

        Stops early after `max_rows`. Costs nothing when another thread has already done it.
        Raises BackendUnavailable when the log or the state does not answer.
        """
        if until is not None and reaches(self._reached, until):
            return True
        with self._applying:
            if until is not None and reaches(self._reached, until):
                return True
            return self._apply_from(self._state.position(), until, max_rows)

    def _apply_from(self, position: Position, until: Position | None, max_rows: int | None) -> bool:
        applied = 0
        while until is None or not reaches(position, until):
            if max_rows is not None and applied >= max_rows:
                return False
            batch = self._log.read(position, BATCH_ROWS)
            if not batch.rows:
                break
            self._state.apply(batch.rows, batch.position)
            position = batch.position
            applied += len(batch.rows)
            if self._on_applied is not None:
                self._on_applied(batch.rows)
        self._reached = position
        return until is None or reaches(position, until)

    def run(self, stop: threading.Event) -> None:
        """Catch up again and again until `stop` is set; a failure is logged and tried again."""
        _repeat(self.catch_up, stop, self._poll_seconds, "The online state could not be updated")


class ModelWatcher:
    """Holds the model in service, and swaps it as a whole when another one was promoted.

    A model that cannot be loaded leaves the old one in service; `failure` says why.
    """

    def __init__(
        self,
        control: Control,
        files: Files,
        catalog: Catalog,
        *,
        poll_seconds: float = MODEL_POLL_SECONDS,
    ) -> None:
        self._control = control
        self._files = files
        self._catalog = catalog
        self._poll_seconds = poll_seconds
        self._loading = threading.Lock()
        self._model: ServingModel | None = None
        self._items = -1  # how many the catalogue held when the model was joined with it
        self._read_items_at = 0.0  # monotonic seconds
        self._items_changed = False
        self._refused: str | None = None  # a model that failed to load, not tried again at once
        self._try_again_at = 0.0  # monotonic seconds
        self._pause = 1.0  # seconds
        self.failure = ""

    def current(self) -> ServingModel:
        """The model in service; loaded on the first call. Without any model, or as long as it
        cannot be reached, the catalogue alone; without a catalogue, nothing."""
        if self._model is None:
            self._refresh_or_report()
        return self._model or build_serving_model(None, ())

    def note_changed_items(self) -> None:
        """Read the catalogue again soon: items came, went or changed."""
        self._items_changed = True

    def refresh(self) -> bool:
        """Load what is in service now, if it is not what is held; returns whether it changed.

        Raises NextupError when the model cannot be loaded or a backend does not answer.
        """
        with self._loading:
            wanted = self._control.current_model()
            held = self._model
            if held is not None and held.model_id == wanted and not self._stale_items():
                return False
            if wanted == self._refused and monotonic() < self._try_again_at:
                return False
            self._load(wanted)
            return True

    def run(self, stop: threading.Event) -> None:
        """Look again and again until `stop` is set."""
        _repeat(self.refresh, stop, self._poll_seconds, "The model in service could not be loaded")

    def _stale_items(self) -> bool:
        if monotonic() < self._read_items_at + ITEMS_SECONDS:
            return False
        return self._items_changed or self._catalog.count_items() != self._items

    def _load(self, wanted: str | None) -> None:
        self._items_changed = False
        self._read_items_at = monotonic()
        try:
            artifact = load_artifact(self._files, wanted) if wanted is not None else None
            items = self._catalog.count_items()
            model = build_serving_model(artifact, self._catalog.all_items())
        except NextupError as error:
            self._refuse(wanted, error)
            raise
        self._model, self._items = model, items
        self._refused, self._pause, self.failure = None, 1.0, ""

    def _refuse(self, wanted: str | None, error: NextupError) -> None:
        self._refused = wanted
        self._try_again_at = monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self.failure = f"Model '{wanted}': {error}" if wanted else str(error)

    def _refresh_or_report(self) -> None:
        try:
            self.refresh()
        except NextupError as error:
            log.warning("The model in service could not be loaded: %s", error)


def _repeat(
    work: Callable[[], object], stop: threading.Event, every_seconds: float, failed: str
) -> None:
    """Work until `stop` is set. Nothing that goes wrong ends the loop: a thread that died unseen
    would leave the server serving old answers for ever."""
    pause = every_seconds
    while not stop.is_set():
        try:
            work()
            pause = every_seconds
        except NextupError as error:
            log.warning("%s: %s", failed, error)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        except Exception:
            log.exception(failed)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        stop.wait(pause)
