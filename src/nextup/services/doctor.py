"""Look at every backend: does it open, does it answer, how fast, and what to do if not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nextup.domain.errors import CorruptData, NextupError
from nextup.ports.trial import SupportsTrial, Trial
from nextup.settings import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SKEW_SECONDS = 5.0  # clocks further apart than that are wrong, not only asked in passing
_CLOCK_CURE = "Let both machines set their clocks by NTP."
PROBE = ".doctor"  # written, read and removed


@dataclass(frozen=True, slots=True)
class Finding:
    """How one backend is."""

    port: str
    url: str
    healthy: bool
    milliseconds: float
    says: str  # what it holds, or what is wrong
    cure: str = ""
    product: str = ""  # what it is, with its version; empty where it cannot say


def examine(port: str, url: str, backend: Callable[[], Any]) -> Finding:
    """Open the backend, write, read and delete something where it can show that without a trace,
    and ask what it holds; an expected error becomes a finding.

    The finding's URL is without the user and password that it may hold. Its time is that of the
    trial, or of the question: what opening took says little.
    """
    url = without_credentials(url)
    started = time.perf_counter()
    try:
        opened = backend()
        started = time.perf_counter()
        trial = opened.trial() if isinstance(opened, SupportsTrial) else Trial("")
        spent = _milliseconds_since(started)
        says = _PROBES[port](opened)
    except NextupError as error:
        spent = _milliseconds_since(started)
        return Finding(port, url, False, spent, error.message, error.cure)
    if not trial.product:
        spent = _milliseconds_since(started)
    if ahead := _seconds_ahead(trial.clock):
        return Finding(port, url, False, spent, ahead, _CLOCK_CURE, trial.product)
    says = f"{says}. {trial.warning}" if trial.warning else says
    return Finding(port, url, True, spent, says, trial.cure, trial.product)


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _seconds_ahead(clock: datetime | None) -> str:
    """How wrong a server's clock or ours is; nothing where they agree."""
    if clock is None:
        return ""
    seconds = (clock - datetime.now(UTC)).total_seconds()
    if abs(seconds) < SKEW_SECONDS:
        return ""
    return f"Its clock is {abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} ours."


def _event_log(log: Any) -> str:
    return f"{sum(log.head().values()):,} offsets used"


def _catalog(catalog: Any) -> str:
    return f"{catalog.count_items():,} items"


def _lake(lake: Any) -> str:
    tables = lake.status()
    return f"{len(tables)} tables, {sum(table.rows for table in tables):,} rows"


def _files(files: Any) -> str:
    with files.create(PROBE) as stream:
        stream.write(b"probe")
    with files.open(PROBE) as stream:
        answered = stream.read() == b"probe"
    files.remove(PROBE)
    if not answered:
        raise CorruptData("Gave back other bytes than it was given.", cure="Check the disk.")
    return "written, read and removed"


def _store(store: Any) -> str:
    current = store.current()
    return f"{store.count(current):,} lists of {current}" if current else "no lists published yet"


def _state(state: Any) -> str:
    return f"applied up to {sum(state.position().values()):,}"


def _control(control: Any) -> str:
    return f"model in service: {control.current_model() or 'none yet'}"


def _engine(engine: Any) -> str:
    return f"{engine.name}"


def _tracker(tracker: Any) -> str:
    current = tracker.pointed("in_service")  # whatever is answered, somebody answered
    return f"{type(tracker).__name__}{f' with {current}' if current else ''}"


_PROBES: Mapping[str, Callable[[Any], str]] = {
    "event_log": _event_log,
    "catalog": _catalog,
    "lake": _lake,
    "files": _files,
    "recommendation_store": _store,
    "online_state": _state,
    "control": _control,
    "engine": _engine,
    "tracker": _tracker,
}
