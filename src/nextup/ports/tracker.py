"""Where experiments are recorded for people who compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is told of one model: how it was made, from what, and how good it is."""

    model_id: str
    created_at: datetime
    settings: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)  # an interval's ends: .low, .high
    data: Mapping[str, str] = field(default_factory=dict)  # the version of each table it read
    notes: Mapping[str, str] = field(default_factory=dict)  # such as the gate's verdict
    texts: Mapping[str, str] = field(default_factory=dict)  # plots and reports, by file name
    folder: Callable[[], Path] | None = None  # of the artifact; asked only if it is wanted


class Tracker(Protocol):
    """Keeps what is told of models, and which of them an alias means.

    The registry in the control data is the truth; losing a tracker never fails a training, and
    telling it everything again brings it back. It raises BackendUnavailable where it is away.
    """

    def record(self, training: Training) -> None:
        """Insert what is told of a model, or bring it up to date. The same again changes
        nothing; what a kill left half told is completed."""
        ...

    def point(self, alias: str, model_id: str | None) -> None:
        """Let the alias mean the model, or with None nothing. Raises NotFound for a model that
        was never recorded."""
        ...

    def pointed(self, alias: str) -> str | None:
        """The id of the model that the alias means."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        ...
