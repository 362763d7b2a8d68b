"""What a server tells about its requests: logs without secrets, and traces."""

from __future__ import annotations

import json
import logging

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.integration.api_world import served

from nextup.entrypoints.api.requests import Requests
from nextup.entrypoints.api.tracing import Tracing
from nextup.entrypoints.logs import configure_logs
from nextup.settings import Logs, Telemetry

SECRET = "s3cret-value"


@pytest.fixture
def quiet_again():
    yield
    root = logging.getLogger("nextup")
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.setLevel(logging.NOTSET)
    root.propagate = True


@pytest.mark.usefixtures("quiet_again")
def test_requests_are_logged_without_secrets(tmp_path, capfd):
    """A line for each request, as JSON, with its id, client, route and status; no token, key,
    body or query is in any line."""
    wanted = {"format": "json", "requests": True}
    with served(tmp_path, access={"auth": "none"}, logs=wanted) as (client, platform):
        configure_logs(platform.settings.logs)
        headers = {"x-request-id": "r-1", "authorization": f"Bearer {SECRET}"}
        client.get("/v1/popular", headers=headers, params={"kind": SECRET})
        client.get(f"/v1/served/{SECRET}")
        client.post("/v1/events", content=SECRET, headers={"x-api-key": SECRET})
    told = capfd.readouterr().err
    assert SECRET not in told
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["logger"] == "nextup.requests"]
    first = requests[0]
    assert (first["request_id"], first["handler"], first["status"]) == ("r-1", "/v1/popular", 200)
    assert first["client_id"]
    assert first["milliseconds"] > 0
    assert [line["status"] for line in requests[1:]] == [404, 422]


@pytest.mark.usefixtures("quiet_again")
def test_lines_for_people(capfd):
    """The default is a plain line; what is less grave than the level is left out."""
    configure_logs(Logs(level="warning"))
    configure_logs(Logs(level="warning"))
    log = logging.getLogger("nextup.somewhere")
    log.info("not told")
    log.warning("told once")
    told = capfd.readouterr().err
    assert "not told" not in told
    assert told.count("told once") == 1


async def _answer(request):
    return PlainTextResponse("yes")


@pytest.mark.anyio
async def test_traces_continue_the_callers(anyio_backend):
    """A request becomes a span with its route, within the trace that the caller names."""
    exporter = InMemorySpanExporter()
    tracing = Tracing(Telemetry(endpoint="http://unused"), exporter)
    app = Requests(Starlette(routes=[Route("/x", _answer)]), logged=False, tracing=tracing)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        await client.get("/x", headers={"traceparent": parent})
    tracing.close()
    (span,) = exporter.get_finished_spans()
    assert format(span.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["http.request.method"] == "GET"


@pytest.fixture
def anyio_backend():
    return "asyncio"
