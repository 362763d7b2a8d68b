"""The platform's memory of itself: locks, runs, models and generations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from nextup.domain.operations import Generation, ModelRecord, Run, StepRecord


class Control(Protocol):
    """Small, durable facts; every call is one transaction."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold the named lock, across processes and machines; raises Conflict at once, naming
        the holder, if it is taken. The lock of a holder that died is free."""
        ...

    def save_run(self, run: Run) -> None:
        """Insert or replace the run, without its steps."""
        ...

    def save_step(self, run_id: str, step: StepRecord) -> None:
        """Insert or replace one step of a run. Raises NotFound for a run that was never saved."""
        ...

    def runs(self, limit: int = 20) -> Sequence[Run]:
        """The latest first, with their steps in the order they ran."""
        ...

    def save_model(self, model: ModelRecord) -> None:
        """Insert or replace; a `promoted_at` of None leaves the one that is known."""
        ...

    def model(self, model_id: str) -> ModelRecord | None: ...

    def models(self) -> Sequence[ModelRecord]:
        """The latest first."""
        ...

    def current_model(self) -> str | None:
        """The id of the model in service."""
        ...

    def set_current_model(self, model_id: str | None) -> str | None:
        """Switch, and note the time in the model's `promoted_at`; returns the one before. Raises
        NotFound for a model that is not registered."""
        ...

    def previous_models(self) -> Sequence[str]:
        """What was in service before, the latest first: where a rollback goes. Switching to the
        first of them is a rollback, which takes the one in service out of the history."""
        ...

    def save_generation(self, generation: Generation) -> None: ...

    def generations(self) -> Sequence[Generation]:
        """The latest first."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        ...
