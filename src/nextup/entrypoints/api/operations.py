"""What an operator asks and does: runs, models, generations, freshness."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query

from nextup.domain.errors import Conflict, NotFound
from nextup.domain.operations import ModelRecord, Outcome, Run
from nextup.entrypoints.api.access import Limit, Services
from nextup.entrypoints.api.bodies import Word
from nextup.entrypoints.api.cursors import Cursor, read_cursor, write_cursor
from nextup.entrypoints.api.operations_bodies import (
    ExperimentAnswer,
    FreshnessAnswer,
    GenerationAnswer,
    GenerationsAnswer,
    LagAnswer,
    ModelAnswer,
    ModelDetail,
    ModelsAnswer,
    Name,
    ProgressAnswer,
    RunAnswer,
    RunRequest,
    RunsAnswer,
    StepAnswer,
    StepsAnswer,
    StepShape,
)
from nextup.entrypoints.api.problems import problems
from nextup.services import registry, tracking
from nextup.services.operating.experiments import experiments
from nextup.services.operating.freshness import freshness, generations, model_quality
from nextup.services.serving import Serving

router = APIRouter(prefix="/v1/operations", tags=["operations"])


@router.get("/runs", responses=problems(422, 503), summary="Runs of the pipeline")
def list_runs(services: Services, limit: Limit = 20, cursor: Cursor = None) -> RunsAnswer:
    """The latest first, with what each step did. The latest 1,000 can be leafed through."""
    from nextup.services.operating.runs import page_of_runs

    after = None if cursor is None else read_cursor(cursor, str)
    found = page_of_runs(services.ports.control, limit=limit, after=after)
    shown = found[:limit]
    return RunsAnswer(
        runs=[_run(run, services) for run in shown],
        next_cursor=write_cursor(shown[-1].run_id) if len(found) > limit else None,
    )


@router.post(
    "/runs",
    status_code=202,
    responses=problems(400, 409, 413, 422, 503),
    summary="Start a run of the pipeline",
)
def start_run(body: RunRequest, services: Services) -> RunAnswer:
    """In the background of this process; the answer comes when it has begun. 409 while another
    run is under way, here or elsewhere."""
    run = services.operating.runner.start(
        body.date, pipeline=body.pipeline or "", first=body.first, last=body.last
    )
    return _run(run, services)


@router.get("/runs/{run_id}", responses=problems(404, 422, 503), summary="One run")
def get_run(run_id: Name, services: Services) -> RunAnswer:
    """How a run stands, and how far its step has come where it runs in this process."""
    from nextup.services.operating.runs import find_run

    return _run(find_run(services.ports.control, run_id), services)


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    responses=problems(404, 409, 422, 503),
    summary="Cancel a run",
)
def cancel_run(run_id: Name, services: Services) -> RunAnswer:
    """The run ends at its next report and is recorded as failed; starting it again resumes it.
    Only a run that was started here can be cancelled."""
    from nextup.services.operating.runs import find_run

    run = find_run(services.ports.control, run_id)
    services.operating.runner.cancel(run_id)
    return _run(run, services)


@router.get("/steps", responses=problems(422, 503), summary="A pipeline's steps")
def list_steps(
    services: Services,
    pipeline: Annotated[
        Word | None, Query(description="Which pipeline's; default: the first one's.")
    ] = None,
) -> StepsAnswer:
    """In the order in which they run, with what they read and write."""
    from nextup.services.pipeline import pipeline_named

    pipelines = services.operating.pipelines
    chosen = pipeline_named(pipeline or "", pipelines)
    return StepsAnswer(
        pipeline=chosen.name,
        pipelines=[one.name for one in pipelines],
        steps=[
            StepShape(step=step.name, reads=list(step.reads), writes=list(step.writes))
            for step in chosen.steps
        ],
    )


@router.get("/models", responses=problems(422, 503), summary="Models in the registry")
def list_models(services: Services, limit: Limit = 20, cursor: Cursor = None) -> ModelsAnswer:
    """The latest first, with what the gate said of each."""
    control = services.ports.control
    current = control.current_model()
    models = control.models()
    start = 0
    if cursor is not None:
        after = read_cursor(cursor, str)
        names = [model.model_id for model in models]
        start = names.index(after) + 1 if after in names else len(names)
    shown = models[start : start + limit]
    more = len(models) > start + limit
    return ModelsAnswer(
        current=current,
        previous=list(control.previous_models()),
        models=[_model(model, current) for model in shown],
        next_cursor=write_cursor(shown[-1].model_id) if more else None,
    )


@router.get("/models/{model_id}", responses=problems(404, 422, 503), summary="One model")
def get_model(model_id: Name, services: Services) -> ModelDetail:
    """With everything that is recorded of it: settings, log offsets, table versions, metrics."""
    model = services.ports.control.model(model_id)
    if model is None:
        raise NotFound(
            f"There is no model '{model_id}'.", cure="GET /v1/operations/models lists all."
        )
    return _detail(model, services)


@router.post(
    "/models/{model_id}/promote",
    responses=problems(404, 409, 422, 503),
    summary="Put a model in service",
)
def promote_model(model_id: Name, services: Services, later: BackgroundTasks) -> ModelDetail:
    """Whatever the gate said, with its lists where they are still stored. Servers take it up
    within a second."""
    ports = services.ports
    model = registry.promote(ports.control, ports.recommendation_store, model_id)
    later.add_task(tracking.follow_at, ports)
    return _detail(model, services)


@router.post(
    "/rollback", responses=problems(404, 409, 422, 503), summary="Back to the model before"
)
def roll_back(
    services: Services,
    later: BackgroundTasks,
    expected: Annotated[
        Word | None,
        Query(description="Only if this model is in service: a repeated request goes back once."),
    ] = None,
) -> ModelDetail:
    """Each call goes one model further back; 409 where none served before."""
    ports = services.ports
    current = ports.control.current_model()
    if expected is not None and current != expected:
        raise Conflict(
            f"Model '{current}' is in service, not '{expected}'.",
            cure="Nothing was changed; GET /v1/operations/models shows how things stand.",
        )
    model = registry.rollback(ports.control, ports.recommendation_store)
    later.add_task(tracking.follow_at, ports)
    return _detail(model, services)


@router.get("/generations", responses=problems(503), summary="Published sets of lists")
def list_generations(services: Services) -> GenerationsAnswer:
    """The latest first. Those that are still stored can be switched to."""
    found = [
        GenerationAnswer(
            generation=one.generation.generation,
            model_id=one.generation.model_id,
            lists=one.generation.lists,
            published_at=one.generation.published_at,
            stored=one.stored,
            in_service=one.in_service,
        )
        for one in generations(services.ports)
    ]
    return GenerationsAnswer(
        current=services.ports.recommendation_store.current(), generations=found
    )


@router.post(
    "/generations/{generation}/switch",
    responses=problems(404, 409, 422, 503),
    summary="Switch to a generation",
)
def switch_generation(generation: Name, services: Services) -> GenerationsAnswer:
    """All readers at once. Only lists switch; `promote` and `rollback` switch the model with
    its lists."""
    services.ports.recommendation_store.switch(generation)
    return list_generations(services)


@router.get("/freshness", responses=problems(503), summary="How far behind is everything?")
def get_freshness(services: Services) -> FreshnessAnswer:
    """How far each view stands behind the log, and how old model and lists are. What cannot be
    asked is null."""
    found = freshness(services.ports)
    return FreshnessAnswer(
        at=found.at,
        events=found.events,
        lags=[LagAnswer(group=lag.group, events=lag.events) for lag in found.lags],
        model_id=found.model_id,
        model_created_at=found.model_created_at,
        model_promoted_at=found.model_promoted_at,
        model_age_seconds=_age(found.model_created_at, found.at),
        generation=found.generation,
        generation_published_at=found.generation_published_at,
        generation_age_seconds=_age(found.generation_published_at, found.at),
        lists=found.lists,
        last_run=None if found.last_run is None else _run(found.last_run, services),
        last_success=None if found.last_success is None else _run(found.last_success, services),
    )


def _age(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else (now - since).total_seconds()


def _run(run: Run, services: Serving) -> RunAnswer:
    progress = services.operating.runner.progress(run.run_id)
    now = datetime.now(UTC)
    seconds = None if run.finished_at is None else _age(run.started_at, run.finished_at)
    return RunAnswer(
        run_id=run.run_id,
        pipeline=run.pipeline,
        date=run.date,
        outcome=run.outcome.value,
        started_at=run.started_at,
        finished_at=run.finished_at,
        seconds=seconds,
        steps=[
            StepAnswer(
                step=step.step,
                outcome=step.outcome.value,
                started_at=step.started_at,
                seconds=(
                    (now - step.started_at).total_seconds()
                    if step.outcome is Outcome.RUNNING
                    else step.seconds
                ),
                counts=dict(step.counts),
                message=step.message,
            )
            for step in run.steps
        ],
        progress=(
            None
            if progress is None
            else ProgressAnswer(what=progress.what, done=progress.done, total=progress.total)
        ),
    )


def _model(model: ModelRecord, current: str | None) -> ModelAnswer:
    return ModelAnswer(
        model_id=model.model_id,
        in_service=model.model_id == current,
        created_at=model.created_at,
        promoted_at=model.promoted_at,
        component=model.component,
        passed=model.passed,
        verdict=model.verdict,
        quality={who: dict(figures) for who, figures in model_quality(model).items()},
        experiments=[
            ExperimentAnswer(**one._asdict(), found=one.found) for one in experiments(model)
        ],
    )


def _detail(model: ModelRecord, services: Serving) -> ModelDetail:
    told = _model(model, services.ports.control.current_model())
    return ModelDetail(
        **told.model_dump(), metrics=dict(model.metrics), lineage=dict(model.lineage)
    )
