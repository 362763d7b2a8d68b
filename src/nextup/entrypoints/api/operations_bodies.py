"""What the operations routes carry, as the OpenAPI document shows them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nextup.entrypoints.api.bodies import Body, Id, Place, Word
from nextup.entrypoints.api.paths import whole

Name = Annotated[Word, BeforeValidator(whole), Path()]
Day = date  # a field of that name would hide the type


class StepAnswer(BaseModel):
    """What one step of a run did."""

    step: str = Field(examples=["train"])
    outcome: str = Field(description="running, succeeded, failed or interrupted.")
    started_at: datetime
    seconds: float
    counts: dict[str, int] = Field(description="Rows in and out, by name.")
    message: str = Field("", description="An error and its cure, or a remark.")


class ProgressAnswer(BaseModel):
    """How far the work under way has come."""

    what: str = Field(examples=["lists"])
    done: int
    total: int


class RunAnswer(BaseModel):
    """One pass of a pipeline for one date."""

    run_id: str
    pipeline: str = Field(examples=["nextup_daily"])
    date: str = Field(description="The day that it describes.", examples=["2026-11-20"])
    outcome: str = Field(description="running, succeeded, failed or interrupted.")
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None = Field(description="From its start to its end; null while it runs.")
    steps: list[StepAnswer]
    progress: ProgressAnswer | None = Field(
        None, description="Of a run under way in this very process."
    )


class RunsAnswer(BaseModel):
    """Runs, the latest first."""

    runs: list[RunAnswer]
    next_cursor: str | None


class RunRequest(Body):
    """Which run to start. Everything has a default: the first pipeline, today, all steps."""

    pipeline: Word | None = Field(None, description="Which pipeline; default: the first one.")
    date: Day | None = Field(None, description="The day to describe; default: today.")
    first: Word | None = Field(None, description="The first step to run.", examples=["collect"])
    last: Word | None = Field(None, description="The last step to run.", examples=["publish"])

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"first": "evaluate"}]})


class StepShape(BaseModel):
    """One station of the pipeline."""

    step: str
    reads: list[str]
    writes: list[str]


class StepsAnswer(BaseModel):
    """A pipeline's steps, in order, and which pipelines there are."""

    pipeline: str
    pipelines: list[str]
    steps: list[StepShape]


class ExperimentAnswer(BaseModel):
    """The new model less a rival, ranked for the same people on a past that neither has seen."""

    against: str = Field(
        description="`popularity`, `in_service` (the recipe that served then) or `fixed_blend`."
    )
    metric: str = Field(examples=["ndcg@10"])
    mean: float
    low: float = Field(description="Of the interval within which chance moves the mean.")
    high: float
    people: int | None = Field(description="null: it was not recorded.")
    found: str = Field(description="`better`, `worse` or `no difference shown`.")


class ModelAnswer(BaseModel):
    """A trained model in the registry."""

    model_id: str = Field(examples=["2026-11-20-45253fa9"])
    in_service: bool
    created_at: datetime
    promoted_at: datetime | None = Field(description="When it last came into service.")
    component: str = Field(examples=["als+item_item+content+popularity"])
    passed: bool = Field(description="Whether the gate lets it serve.")
    verdict: str = Field(description="What the gate said.")
    quality: dict[str, dict[str, float]] = Field(
        description="Per contender of the gate each metric; `candidate` is the model itself."
    )
    experiments: list[ExperimentAnswer] = Field(
        description="What the gate tried it against, and what came of it."
    )


class ModelDetail(ModelAnswer):
    """A model with everything that is recorded of it."""

    metrics: dict[str, Any] = Field(description="As the gate measured them, with intervals.")
    lineage: dict[str, Any] = Field(description="Settings, log offsets, table versions.")


class ModelsAnswer(BaseModel):
    """Models, the latest first."""

    current: str | None
    previous: list[str] = Field(description="Where a rollback goes, the next one first.")
    models: list[ModelAnswer]
    next_cursor: str | None


class GenerationAnswer(BaseModel):
    """A published set of lists."""

    generation: str
    model_id: str | None
    lists: int
    published_at: datetime
    stored: bool = Field(description="Its lists are still in the store: one can switch to it.")
    in_service: bool


class GenerationsAnswer(BaseModel):
    """Generations, the latest first."""

    current: str | None
    generations: list[GenerationAnswer]


class LagAnswer(BaseModel):
    """A reader of the log, and how many events it has still before it."""

    group: str = Field(examples=["online"])
    events: int | None = Field(description="null: its backend does not answer.")


class FreshnessAnswer(BaseModel):
    """How old everything is. null: there is none, or its backend does not answer."""

    at: datetime
    events: int | None = Field(description="Offsets that the log has used.")
    lags: list[LagAnswer]
    model_id: str | None
    model_created_at: datetime | None
    model_promoted_at: datetime | None
    model_age_seconds: float | None
    generation: str | None
    generation_published_at: datetime | None
    generation_age_seconds: float | None
    lists: int | None = Field(description="In the generation in service.")
    last_run: RunAnswer | None
    last_success: RunAnswer | None


class QuarantinedAnswer(BaseModel):
    """A record that broke a contract, whole."""

    rejected_id: str
    source: str = Field(examples=["api"])
    record: str = Field(description="What arrived, as text.")
    rule: str = Field(examples=["unknown_item"])
    reason: str
    rejected_at: datetime
    readmitted_at: datetime | None


class QuarantineAnswer(BaseModel):
    """Records in quarantine, the latest first."""

    total: int = Field(description="How many records fit the question from here on.")
    by_rule: dict[str, int]
    waiting: int = Field(
        description="Rejected records that were not collected from the log yet, and are not shown."
    )
    records: list[QuarantinedAnswer]
    next_cursor: str | None


class ReadmitRequest(Body):
    """Which records to judge again: by id, by rule, or all."""

    rejected_ids: list[Id] | None = Field(None, min_length=1, max_length=10_000)
    rule: Word | None = None
    all: Literal[True] | None = Field(None, description="Every record in quarantine.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"rule": "unknown_item"}]})


class ReadmitAnswer(BaseModel):
    """What became of the records that were judged again."""

    looked_at: int
    readmitted: int
    already_there: int
    still_broken: dict[str, int] = Field(description="By the rule that they break now.")


class LakeColumn(BaseModel):
    """A column of a table."""

    name: str
    type: str
    nullable: bool
    description: str


class LakeTable(BaseModel):
    """How one table of the lake stands."""

    table: str = Field(examples=["silver.interactions"])
    description: str
    written: bool = False
    version: int | None = None
    rows: int | None = None
    files: int | None = None
    bytes: int | None = None
    changed_at: datetime | None = None
    columns: list[LakeColumn]


class LakeAnswer(BaseModel):
    """Every table, by layer."""

    tables: list[LakeTable]


class BackendFinding(BaseModel):
    """How one backend answered."""

    port: str
    url: str = Field(description="Without user and password.")
    healthy: bool
    milliseconds: float
    says: str
    cure: str = ""


class BackendsAnswer(BaseModel):
    """What `nextup doctor` would say."""

    healthy: bool
    backends: list[BackendFinding]


class StatsPoint(BaseModel):
    """One second."""

    at: datetime
    events: int
    requests: int
    errors: int = Field(description="Answers with a status of 500 and above.")


class StatsAnswer(BaseModel):
    """What this process did lately."""

    window_seconds: float
    events: dict[str, int] = Field(description="Records taken in, by what became of them.")
    events_per_second: float
    requests: dict[str, int] = Field(description="Answers, by class of status: 2xx, 4xx, 5xx.")
    requests_per_second: float
    served: dict[str, int] = Field(description="Lists, by level.")
    clicks: dict[str, int] = Field(description="Clicks on served places, by source.")
    quarantined: dict[str, int] = Field(description="Records that broke a contract, by rule.")
    latency_seconds: dict[str, float | None] = Field(
        description="Of all requests: p50, p90, p99, each an upper bound; null without requests."
    )
    series: list[StatsPoint]


class WhatIfRequest(Body):
    """Whose list to take apart, and how it was asked for."""

    user_id: Id
    limit: int = Field(20, ge=1, le=200)
    kind: Word | None = None
    genres: list[Word] = Field([], max_length=50)
    filter: str | None = Field(None, max_length=2_000)
    exclude: list[Id] = Field([], max_length=10_000)
    pin: list[Id] = Field([], max_length=50)
    diversity: float | None = Field(None, ge=0, le=1)
    as_of: datetime | None = Field(None, description="What it would have been then.")
    model_id: Word | None = Field(
        None, description="Instead of the model in service; `previous` is the one before."
    )
    compare: Word | None = Field(
        None, description="Do the same under this model; `previous` is the one before."
    )

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "u-1", "limit": 5, "compare": "previous"}]}
    )


class CandidateAnswer(BaseModel):
    """An item as one source sees it."""

    item_id: str
    title: str = ""
    score: float = Field(description="The source's own.")
    part: float = Field(description="Of the common score.")
    allowed: bool = Field(description="Whether the rules let it in.")


class OpinionAnswer(BaseModel):
    """One source with its best candidates."""

    source: str
    weight: float
    scale: float = Field(description="Multiplied with its scores in the blend.")
    candidates: list[CandidateAnswer]


class ListAnatomy(BaseModel):
    """How one list comes about."""

    model_id: str | None
    level: str
    items: list[Place]
    rules: list[str] = Field(description="The rules that acted on the whole list.")
    missing: list[str]
    history: list[str] = Field(description="Items that the model takes into account, oldest first.")
    consumed: int = Field(description="Items that are not shown because the person knows them.")
    allowed: int = Field(description="Items that the rules let in.")
    catalogue: int
    sources: list[OpinionAnswer]


class WhatIfAnswer(BaseModel):
    """A list taken apart; and, where asked for, the same under another model."""

    user_id: str
    as_of: datetime | None
    list: ListAnatomy
    compared: ListAnatomy | None = None
