"""The metrics of all workers as one: whoever is asked adds what the others wrote down.

Each process writes its counters to a file of its own once a second, and at its end. The files of
those that ended stay, so that no sum ever falls.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    Key = tuple[str, tuple[tuple[str, str], ...]]

EVERY_SECONDS = 1.0
ADDED_UP = {"counter", "histogram"}  # a gauge is each process' own


class Together:
    """A registry whose sums are those of all processes that share a folder."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._own = folder / f"{os.getpid()}.json"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, settle: Callable[[], object]) -> None:
        """Write down once a second; `settle` is called before."""

        def work() -> None:
            while not self._stop.wait(EVERY_SECONDS):
                settle()
                self.write()

        self._thread = threading.Thread(target=work, name="nextup-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write down for the last time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.write()

    def write(self) -> None:
        """Our own sums, for the others."""
        sums = [
            (sample.name, sorted(sample.labels.items()), sample.value)
            for family in self._registry.collect()
            if family.type in ADDED_UP
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
        beside = self._own.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(sums))
        beside.replace(self._own)

    def collect(self) -> Iterator[Any]:
        """Our families, with what the others counted added."""
        others = self._others()
        for family in self._registry.collect():
            if family.type in ADDED_UP:
                family.samples = [
                    sample._replace(value=sample.value + others.pop(_key(sample), 0.0))
                    for sample in family.samples
                ]
                names = {family.name + end for end in ("_total", "_bucket", "_sum", "_count")}
                for name, labels in [key for key in others if key[0] in names]:
                    family.add_sample(name, dict(labels), others.pop((name, labels)))
            yield family

    def _others(self) -> dict[Key, float]:
        sums: dict[Key, float] = {}
        for file in self._folder.glob("*.json"):
            if file == self._own:
                continue
            for name, labels, value in msgspec.json.decode(file.read_bytes()):
                key = (name, tuple((label, text) for label, text in labels))
                sums[key] = sums.get(key, 0.0) + value
        return sums


def _key(sample: Any) -> Key:
    return sample.name, tuple(sorted(sample.labels.items()))
