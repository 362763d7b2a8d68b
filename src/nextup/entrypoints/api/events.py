"""POST /v1/events: what people do comes in here."""

import json
from typing import Any

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from nextup.domain.errors import InvalidInput
from nextup.domain.events import EventType
from nextup.entrypoints.api.access import Asking, Services
from nextup.entrypoints.api.bodies import BatchAccepted, EventAccepted, EventRow
from nextup.entrypoints.api.hot_events import OUTCOME
from nextup.entrypoints.api.idempotency import Key, named
from nextup.entrypoints.api.problems import problem, problems, request_id
from nextup.services.event_schemas import event_schema
from nextup.services.intake import Fate, Outcome
from nextup.settings import Contracts

EXAMPLE = {"type": "like", "user_id": "u-1", "item_id": "film-alien-1979"}
EVENTS = "events"


def event_router(contracts: Contracts, max_batch: int) -> APIRouter:
    """The routes, with the contracts' own schemas in their documentation."""
    router = APIRouter(prefix="/v1/events", tags=["events"])
    one = {"anyOf": [event_schema(event_type, contracts) for event_type in EventType]}
    many = {"type": "array", "items": {"type": "object"}, "maxItems": max_batch}

    @router.post(
        "",
        status_code=202,
        response_model=EventAccepted,
        responses=problems(400, 413, 422, 503, 507),
        openapi_extra=_body(one, EXAMPLE),
        summary="Send one event",
    )
    async def post_event(
        request: Request, services: Services, caller: Asking, key: Key = None
    ) -> Response:
        """Durable when answered, and counted in that person's next answer. The same `event_id`
        twice is one event. What breaks the contract is a 422 and goes to quarantine."""
        try:
            outcome = _judged(request)
            if outcome is None:
                record: object = await request.body()
                if key is not None:
                    (record,) = named([_decoded(await request.body())], caller.client_id, key)
                outcome = await run_sync(services.intake.take, record)
        except RecursionError as error:
            raise _too_deep() from error
        if outcome.fate is Fate.REJECTED:
            return _refused(outcome, request)
        answer = EventAccepted(event_id=outcome.event_id, duplicate=outcome.fate is Fate.DUPLICATE)
        return Response(answer.model_dump_json(), 202, media_type="application/json")

    @router.post(
        "/batch",
        status_code=202,
        response_model=BatchAccepted,
        responses=problems(400, 413, 422, 503, 507),
        openapi_extra=_body(many, [EXAMPLE]),
        summary="Send many events",
    )
    async def post_events(
        request: Request, services: Services, caller: Asking, key: Key = None
    ) -> Response:
        """One result per row: good rows are kept, bad ones go to quarantine with their rule."""
        rows = _rows(_decoded(await request.body()), max_batch)
        records = named(rows, caller.client_id, key)
        outcomes = await run_sync(services.intake.take_many, records)
        return Response(_summary(outcomes), 202, media_type="application/json")

    return router


def _judged(request: Request) -> Outcome | None:
    """What became of the event before the framework, if it was judged there; raises why it could
    not be taken in."""
    found = request.scope.get(OUTCOME)
    if isinstance(found, Exception):
        raise found
    assert found is None or isinstance(found, Outcome)
    return found


def _body(schema: dict[str, Any], example: object) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decoded_leniently(body)
    except RecursionError as error:
        raise _too_deep() from error


def _decoded_leniently(body: bytes) -> object:
    """For bodies with, say, half a character in one row: the contract judges each row."""
    try:
        return json.loads(body)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # bad encodings too
        raise InvalidInput(
            f"The body is not JSON: {error}.", cure="Send one JSON document in UTF-8."
        ) from error


def _too_deep() -> InvalidInput:
    return InvalidInput("The body is nested too deeply.", cure="Events are flat.")


def _rows(body: object, max_batch: int) -> list[object]:
    rows = body.get(EVENTS) if isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise InvalidInput(
            "The body is not a JSON array of events.", cure=f'Send [...] or {{"{EVENTS}": [...]}}.'
        )
    if len(rows) > max_batch:
        raise InvalidInput(
            f"The batch has {len(rows)} rows, more than {max_batch}.",
            cure="Send several batches.",
        )
    return rows


def _refused(outcome: Outcome, request: Request) -> Response:
    return problem(
        422,
        outcome.reason,
        title="Contract broken",
        cure="The record is kept in quarantine; send a corrected one.",
        request_id=request_id(request),
        rule=outcome.rule,
        rejected_id=outcome.rejected_id,
    )


def _summary(outcomes: list[Outcome]) -> str:
    fates = [outcome.fate for outcome in outcomes]
    return BatchAccepted(
        accepted=fates.count(Fate.ACCEPTED),
        duplicates=fates.count(Fate.DUPLICATE),
        rejected=fates.count(Fate.REJECTED),
        rows=[
            EventRow(
                row=row,
                status=outcome.fate.value,
                event_id=outcome.event_id or None,
                rejected_id=outcome.rejected_id or None,
                rule=outcome.rule or None,
                reason=outcome.reason or None,
            )
            for row, outcome in enumerate(outcomes)
        ],
    ).model_dump_json()
