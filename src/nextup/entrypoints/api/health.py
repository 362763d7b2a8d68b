"""Is it alive, can it work, and how is it doing?"""

from fastapi import APIRouter, Response

from nextup.entrypoints.api.access import Measured, OwnServices
from nextup.entrypoints.api.bodies import BackendAnswer, Readiness
from nextup.entrypoints.api.metrics import MEDIA_TYPE
from nextup.services.operating.vitals import QUESTIONS, ask
from nextup.services.serving import ServingPorts

router = APIRouter(tags=["health"])

NEEDED = {"event_log", "catalog"}  # without the others answers get simpler, and still come


@router.get("/healthz", summary="Is the process alive?")
def get_health() -> dict[str, str]:
    """Asks nobody else: a restart would not help a backend that is down."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Events cannot be taken in."}},
    summary="Does each backend answer?",
)
def get_readiness(services: OwnServices, metrics: Measured, response: Response) -> Readiness:
    """Each backend by name. 503 when one is down that events need; when another one is down
    answers are degraded, and said to be."""
    backends = {port: _asked(port, services.ports) for port in QUESTIONS}
    for port, backend in backends.items():
        metrics.backend_up.labels(port).set(backend.ok)
    down = {port for port, backend in backends.items() if not backend.ok}
    if down & NEEDED:
        response.status_code = 503
    return Readiness(
        status="unavailable" if down & NEEDED else "degraded" if down else "ready",
        backends=backends,
        model_id=services.watcher.current().model_id,
        model_failure=services.watcher.failure,
    )


@router.get("/metrics", response_class=Response, summary="For Prometheus")
def get_metrics(metrics: Measured) -> Response:
    """In Prometheus' text format."""
    return Response(metrics.text(), media_type=MEDIA_TYPE)


def _asked(port: str, ports: ServingPorts) -> BackendAnswer:
    found = ask(port, ports)
    return BackendAnswer(ok=found.ok, seconds=found.seconds, detail=found.detail)
