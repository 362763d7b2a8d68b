"""What the operator sees: runs, models, generations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from nextup.domain.pipelines import DAILY


class Outcome(StrEnum):
    """How a run or a step stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its process died; running it again resumes


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one pipeline step did."""

    step: str
    outcome: Outcome
    started_at: datetime
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)  # rows in and out, by name
    message: str = ""  # an error and its cure, or a remark such as "gate: kept the old model"


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of a pipeline for one date."""

    run_id: str
    date: str  # ISO, the day whose end the run describes
    outcome: Outcome
    started_at: datetime
    finished_at: datetime | None = None
    steps: tuple[StepRecord, ...] = ()
    pipeline: str = DAILY


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A trained model in the registry. Its arrays are in the files under `models/<model_id>`."""

    model_id: str
    created_at: datetime
    component: str  # the algorithm's name
    metrics: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)  # settings, log offsets, versions
    promoted_at: datetime | None = None  # None: never in service
    verdict: str = ""  # what the gate said; empty: not asked yet
    passed: bool = False  # whether the gate lets it serve


@dataclass(frozen=True, slots=True)
class Generation:
    """A published set of lists."""

    generation: str
    model_id: str | None
    lists: int
    published_at: datetime
