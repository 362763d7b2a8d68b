"""Runs of the pipeline: looked at, and started from a server in the background."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextup.domain.errors import Conflict, NextupError, NotFound
from nextup.domain.operations import Outcome
from nextup.services.pipeline import choose_steps, end_of_day, pipeline_named, run_pipeline, today
from nextup.services.steps import Context

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from nextup.domain.operations import Run, StepRecord
    from nextup.ports.control import Control
    from nextup.services.pipeline import Pipeline
    from nextup.services.serving import ServingPorts

log = logging.getLogger(__name__)

REMEMBERED = 1_000  # runs that can be leafed through: at one a day, three years
STOPPING_SECONDS = 30.0  # that a stopping server waits for the run under way


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work under way has come, as it last said itself."""

    what: str = ""  # such as "lists"
    done: int = 0
    total: int = 0


class Stopped(Conflict):
    """The run was told to end."""


def page_of_runs(control: Control, *, limit: int, after: str | None = None) -> Sequence[Run]:
    """The latest first; `after` is the last run of the page before. One more than `limit`, where
    there are more."""
    if after is None:
        return control.runs(limit + 1)
    runs = control.runs(REMEMBERED)
    names = [run.run_id for run in runs]
    start = names.index(after) + 1 if after in names else len(names)
    return runs[start : start + limit + 1]


def find_run(control: Control, run_id: str) -> Run:
    """Raises NotFound."""
    for run in control.runs(REMEMBERED):
        if run.run_id == run_id:
            return run
    raise NotFound(f"There is no run '{run_id}'.", cure="GET /v1/operations/runs lists them.")


class PipelineRunner:
    """One run at a time, in a thread of its own. Safe to share between threads."""

    def __init__(self, ports: ServingPorts, pipelines: Sequence[Pipeline]) -> None:
        self._ports = ports
        self._pipelines = pipelines
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._run_id = ""
        self._progress = Progress()

    def start(
        self,
        day: date | None = None,
        *,
        pipeline: str = "",
        first: str | None = None,
        last: str | None = None,
    ) -> Run:
        """Begin a run and return it as it begins. Raises Conflict while another is under way,
        here or elsewhere, and InvalidInput for a pipeline or steps that are none."""
        chosen = pipeline_named(pipeline, self._pipelines)
        choose_steps(first, last, chosen)
        settings = self._ports.settings
        with self._starting:
            self._refuse_a_second()
            self._cancelled.clear()
            self._progress = Progress()
            attempt = _Attempt(chosen, day or today(settings), first, last)
            self._thread = threading.Thread(
                target=self._carry_out, args=(attempt,), name="nextup-pipeline", daemon=True
            )
            self._thread.start()
            return attempt.begun()

    def progress(self, run_id: str) -> Progress | None:
        """How far the run has come; None for one that is not under way in this process."""
        if run_id != self._run_id or self._thread is None or not self._thread.is_alive():
            return None
        return self._progress

    def cancel(self, run_id: str) -> None:
        """Tell the run to end; it does when it next reports. Raises Conflict for one that is not
        under way in this process."""
        if self.progress(run_id) is None:
            raise Conflict(
                f"Run '{run_id}' is not under way in this process.",
                cure="GET /v1/operations/runs shows how it stands.",
            )
        self._cancelled.set()

    def stop(self) -> None:
        """End the run under way, if there is one: running it again resumes it."""
        self._cancelled.set()
        thread = self._thread
        if thread is not None:
            thread.join(STOPPING_SECONDS)

    def _refuse_a_second(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            raise Conflict(
                f"Run '{self._run_id}' is under way.", cure="Wait for its end, or cancel it."
            )

    def _carry_out(self, attempt: _Attempt) -> None:
        """In the thread. What goes wrong in a step is in the run's record, too."""
        try:
            self._run_pipeline(attempt)
        except NextupError as error:
            log.warning("The pipeline ended: %s", error)
            attempt.fail(error)
        except BaseException as error:
            log.exception("The pipeline failed")
            attempt.fail(error)

    def _run_pipeline(self, attempt: _Attempt) -> None:
        ports = self._ports
        context = Context(
            settings=ports.settings,
            day=attempt.day,
            until=end_of_day(attempt.day, ports.settings),
            event_log=ports.event_log,
            catalog=ports.catalog,
            engine=ports.engine,
            lake=ports.lake,
            files=ports.files,
            recommendation_store=ports.recommendation_store,
            online_state=ports.online_state,
            control=ports.control,
            tracker=ports.tracker,
            report=self._report,
            reopen_store=ports.store_opener,
        )

        def begun(run: Run) -> None:
            self._run_id = run.run_id
            attempt.succeed(run)

        run_pipeline(
            context,
            ports.control,
            pipeline=attempt.pipeline,
            first=attempt.first,
            last=attempt.last,
            watch=self._watch,
            begun=begun,
        )

    def _report(self, what: str, done: int, total: int) -> None:
        self._stop_if_cancelled()
        self._progress = Progress(what, done, total)

    def _watch(self, record: StepRecord) -> None:
        self._progress = Progress()
        if record.outcome is not Outcome.FAILED:
            self._stop_if_cancelled()

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Stopped("The run was cancelled.", cure="Start it again; it resumes.")


class _Attempt:
    """One start: whoever asked for it waits until the run has begun, or could not."""

    def __init__(self, pipeline: Pipeline, day: date, first: str | None, last: str | None) -> None:
        self.pipeline = pipeline
        self.day = day
        self.first = first
        self.last = last
        self._settled = threading.Event()
        self._run: Run | None = None
        self._failure: BaseException | None = None

    def succeed(self, run: Run) -> None:
        """The run has begun."""
        self._run = run
        self._settled.set()

    def fail(self, failure: BaseException) -> None:
        """It has not, or it has and ended badly."""
        self._failure = failure
        self._settled.set()

    def begun(self) -> Run:
        """The run, once it has begun; raises what kept it from beginning."""
        self._settled.wait()
        if self._run is None:
            assert self._failure is not None
            raise self._failure
        return self._run
