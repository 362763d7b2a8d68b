"""What keeps a server up to date: the log's new events, and the model in service."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from nextup.domain.errors import CorruptData, NextupError
from nextup.services.artifacts import load_artifact
from nextup.services.recommending.changes import Changes
from nextup.services.serving_model import Outlined, build_serving_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextup.domain.events import LogRow, Position
    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.online_state import OnlineState
    from nextup.services.artifacts import Artifact
    from nextup.services.serving_model import ServingModel

    Applied = Callable[[Sequence[LogRow]], None]
    """Told of rows, in order, once they count."""
    Elsewhere = Callable[[Sequence[LogRow] | None], None]
    """Told of rows that count by another's work; of nothing where there are very many."""

log = logging.getLogger(__name__)

BATCH_ROWS = 5_000  # rows per transaction of the state
POLL_SECONDS = 0.1  # events appended by other processes count after so long
MODEL_POLL_SECONDS = 0.5
ITEMS_SECONDS = 5.0  # at most this often is the catalogue read again because it changed
LONGEST_PAUSE_SECONDS = 5.0  # between attempts after failures
PATIENCE_SECONDS = 0.5  # that a caller waits for its turn while a backlog is applied


def reaches(position: Position, until: Position) -> bool:
    """Whether a reader that stands at `position` has read everything before `until`."""
    return all(position.get(partition, 0) >= offset for partition, offset in until.items())


def distance(position: Position, until: Position) -> int:
    """How many rows lie between the two, at most."""
    return sum(max(0, offset - position.get(name, 0)) for name, offset in until.items())


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
        on_elsewhere: Elsewhere | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """`on_elsewhere` is told of rows that others have applied, since this one last looked."""
        self._on_elsewhere = on_elsewhere
        self._log = event_log
        self._state = state
        self._on_applied = on_applied
        self._poll_seconds = poll_seconds
        self._applying = threading.Lock()
        self._reached: Position = {}

    def catch_up(self, until: Position | None = None) -> bool:
        """Apply everything before `until`, so that it counts in the next answer; returns whether
        it does. Without `until`: everything that is in the log.

        Costs nothing when another thread has already done it. With `until`, a backlog longer
        than a batch is left to `run`: the caller does not wait for other people's events. Raises
        BackendUnavailable when the log or the state does not answer.
        """
        if until is None:
            self.apply_all()
            return True
        if reaches(self._reached, until):
            return True
        if not self._applying.acquire(timeout=PATIENCE_SECONDS):
            return False
        try:
            if not reaches(self._reached, until):
                position = self._looked_up()
                if distance(position, until) <= BATCH_ROWS:
                    self._apply_batch(position)
            return reaches(self._reached, until)
        finally:
            self._applying.release()

    def apply_all(self) -> int:
        """Apply everything up to the log's end; returns how many rows."""
        total = 0
        while applied := self._apply_next():
            total += applied
        return total

    def run(self, stop: threading.Event) -> None:
        """Apply what comes until `stop` is set; a failure is logged and tried again."""

        def work() -> None:
            while self._apply_next() and not stop.is_set():
                pass  # callers take their turn between two batches

        repeat(work, stop, self._poll_seconds, "The online state could not be updated")

    def _apply_next(self) -> int:
        with self._applying:
            return self._apply_batch(self._looked_up())

    def _looked_up(self) -> Position:
        """Where the state stands; others may have brought it there."""
        position = self._state.position()
        told = self._on_elsewhere
        if told is not None and self._reached and not reaches(self._reached, position):
            near = distance(self._reached, position) <= BATCH_ROWS
            told(self._log.read(self._reached, BATCH_ROWS).rows if near else None)
        return position

    def _apply_batch(self, position: Position) -> int:
        batch = self._log.read(position, BATCH_ROWS)
        if batch.position != position:
            self._state.apply(batch.rows, batch.position)
        if batch.rows and self._on_applied is not None:
            self._on_applied(batch.rows)
        self._reached = batch.position
        return len(batch.rows)


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
        changes: Changes | None = None,
    ) -> None:
        """`changes` tells of items that another worker of the same server wrote."""
        self._changes = changes or Changes()
        self._read_at_change = -1  # how the catalogue was counted when it was read
        self._control = control
        self._files = files
        self._catalog = Outlined(catalog)
        self._loading = threading.Lock()
        self._model: ServingModel | None = None
        self._items = -1  # how many the catalogue held when the model was joined with it
        self._read_items_at = 0.0  # monotonic seconds
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
        self._changes.count_catalogue()

    def refresh(self) -> bool:
        """Load what is in service now, if it is not what is held; returns whether it changed.

        Raises NextupError when the model cannot be loaded or a backend does not answer.
        """
        with self._loading:
            wanted = self._control.current_model()
            held = self._model
            if held is not None and held.model_id == wanted and not self._stale_items():
                self.failure = ""
                return False
            if wanted == self._refused and monotonic() < self._try_again_at:
                return False
            self._load(wanted)
            return True

    def _stale_items(self) -> bool:
        if monotonic() < self._read_items_at + ITEMS_SECONDS:
            return False
        if self._changes.catalogue() != self._read_at_change:
            return True
        return self._catalog.count_items() != self._items

    def _load(self, wanted: str | None) -> None:
        self._read_at_change = self._changes.catalogue()
        self._read_items_at = monotonic()
        try:
            artifact = _read_artifact(self._files, wanted)
        except NextupError as error:
            self._refuse(wanted, error)
            if self._model is None:
                self._model = build_serving_model(None, self._catalog.all_items())
            raise
        items = self._catalog.count_items()
        self._model = build_serving_model(artifact, self._catalog.all_items())
        self._items = items
        self._refused, self._pause, self.failure = None, 1.0, ""

    def _refuse(self, wanted: str | None, error: NextupError) -> None:
        self._refused = wanted
        self._try_again_at = monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self.failure = str(error)

    def _refresh_or_report(self) -> None:
        try:
            self.refresh()
        except NextupError as error:
            log.warning("The model in service could not be loaded: %s", error)


def _read_artifact(files: Files, model_id: str | None) -> Artifact | None:
    if model_id is None:
        return None
    try:
        return load_artifact(files, model_id)
    except (LookupError, TypeError, AttributeError) as error:  # parts that do not fit together
        raise CorruptData(
            f"Model '{model_id}' cannot be read: {error!r}.",
            cure="`nextup model rollback` returns to the one before.",
        ) from error


def repeat(
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
