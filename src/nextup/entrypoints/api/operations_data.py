"""What an operator asks about data: quarantine, lake, backends, and how busy the process is."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request

from nextup.bootstrap import PORTS
from nextup.domain.errors import InvalidInput
from nextup.domain.events import from_microseconds, to_microseconds
from nextup.domain.tables import Table
from nextup.entrypoints.api.access import Limit, Services
from nextup.entrypoints.api.bodies import Word
from nextup.entrypoints.api.cursors import Cursor, read_cursor, write_cursor
from nextup.entrypoints.api.operations_bodies import (
    BackendFinding,
    BackendsAnswer,
    LakeAnswer,
    LakeColumn,
    LakeTable,
    Name,
    QuarantineAnswer,
    QuarantinedAnswer,
    ReadmitAnswer,
    ReadmitRequest,
    StatsAnswer,
    StatsPoint,
)
from nextup.entrypoints.api.problems import problems
from nextup.entrypoints.api.pulse import Pulse
from nextup.ports.lake import TableStatus
from nextup.services.doctor import examine

router = APIRouter(prefix="/v1/operations", tags=["operations"])

Rule = Annotated[Word | None, Query(description="Only records that broke this rule.")]


@router.get("/quarantine", responses=problems(422, 503), summary="What broke a contract")
def list_quarantine(
    services: Services,
    rule: Rule = None,
    readmitted: Annotated[bool, Query(description="Also those that were re-admitted.")] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> QuarantineAnswer:
    """The latest first, whole, with the rule that each broke."""
    from nextup.services import quarantine

    lake, after = services.ports.lake, None
    if cursor is not None:
        moment, rejected_id = read_cursor(cursor, tuple[int, str])
        after = (from_microseconds(moment), rejected_id)
    page = quarantine.list_quarantine(
        lake, rule=rule, readmitted=readmitted, limit=limit + 1, after=after
    )
    shown = page.rows[:limit]
    more = len(page.rows) > limit
    last = (to_microseconds(shown[-1].rejected_at), shown[-1].rejected_id) if shown else None
    return QuarantineAnswer(
        total=page.total,
        by_rule=quarantine.count_by_rule(lake, readmitted=readmitted),
        waiting=quarantine.count_waiting(services.ports.event_log, lake),
        records=[QuarantinedAnswer(**one._asdict()) for one in shown],
        next_cursor=write_cursor(last) if more else None,
    )


@router.post(
    "/quarantine/readmit",
    responses=problems(400, 409, 413, 422, 503, 507),
    summary="Judge records again",
)
def readmit(body: ReadmitRequest, services: Services) -> ReadmitAnswer:
    """Those that a fix made valid go into the log, each counted once however often it is tried."""
    from nextup.services import quarantine

    if body.rejected_ids is None and body.rule is None and not body.all:
        raise InvalidInput(
            "It is not said which records.", cure="Give rejected_ids, a rule, or all: true."
        )
    ports = services.ports
    done = quarantine.readmit(
        ports.lake,
        ports.event_log,
        services.contract,
        rule=body.rule,
        rejected_ids=body.rejected_ids,
    )
    return ReadmitAnswer(
        looked_at=done.looked_at,
        readmitted=done.readmitted,
        already_there=done.already_there,
        still_broken=dict(done.still_broken),
    )


@router.get(
    "/quarantine/{rejected_id}", responses=problems(404, 422, 503), summary="One broken record"
)
def get_quarantined(rejected_id: Name, services: Services) -> QuarantinedAnswer:
    """Whole, as it arrived."""
    from nextup.services.quarantine import find_quarantined

    found = find_quarantined(services.ports.lake, rejected_id)
    return QuarantinedAnswer(**found._asdict())


@router.get("/lake", responses=problems(503), summary="The lake's tables")
def list_tables(services: Services) -> LakeAnswer:
    """Each table with its columns, and its version, rows and bytes where it was written."""
    written = {status.table: status for status in services.ports.lake.status()}
    return LakeAnswer(tables=[_table(table, written.get(table)) for table in Table])


@router.get("/backends", responses=problems(503), summary="Look at every backend")
def list_backends(services: Services) -> BackendsAnswer:
    """Opens each configured backend and asks it something harmless, as `nextup doctor` does."""
    findings = [
        examine(
            port,
            str(getattr(services.settings, f"{port}_url")),
            partial(getattr, services.ports, port),
        )
        for port in PORTS
    ]
    return BackendsAnswer(
        healthy=all(finding.healthy for finding in findings),
        backends=[
            BackendFinding(
                port=finding.port,
                url=finding.url,
                healthy=finding.healthy,
                milliseconds=finding.milliseconds,
                says=finding.says,
                cure=finding.cure,
            )
            for finding in findings
        ],
    )


@router.get("/stats", responses=problems(422, 503), summary="What happened in the last minutes")
def get_stats(
    request: Request,
    seconds: Annotated[
        float,
        Query(gt=0, le=900, description="How far to look back."),
    ] = 60.0,
) -> StatsAnswer:
    """Events, answers, levels and latencies of this process, and a point for each second. It
    costs the requests nothing: the counters of `/metrics` are read once a second."""
    pulse = request.app.state.pulse
    assert isinstance(pulse, Pulse)
    window = pulse.window(seconds)
    return StatsAnswer(
        window_seconds=window.seconds,
        events=dict(window.events),
        events_per_second=_rate(list(window.events.values()), window.seconds),
        requests=dict(window.requests),
        requests_per_second=_rate(list(window.requests.values()), window.seconds),
        served=dict(window.served),
        clicks=dict(window.clicks),
        quarantined=dict(window.quarantined),
        latency_seconds=dict(window.latency),
        series=[StatsPoint(**point._asdict()) for point in window.series],
    )


def _table(table: Table, status: TableStatus | None) -> LakeTable:
    from nextup.schemas.table_schemas import table_schema

    schema = table_schema(table)
    answer = LakeTable(
        table=table.value,
        description=schema.description,
        columns=[
            LakeColumn(
                name=column.name,
                type=column.type.value,
                nullable=column.nullable,
                description=column.description,
            )
            for column in schema.columns
        ],
    )
    if status is None:
        return answer
    return answer.model_copy(
        update={
            "written": True,
            "version": status.version,
            "rows": status.rows,
            "files": status.files,
            "bytes": status.bytes,
            "changed_at": status.changed_at,
        }
    )


def _rate(counts: Sequence[int], seconds: float) -> float:
    return round(sum(counts) / seconds, 3) if seconds > 0 else 0.0
