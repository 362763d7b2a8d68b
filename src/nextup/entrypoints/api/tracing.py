"""Traces with OpenTelemetry: one span for each request, in the caller's trace if it names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextup.domain.errors import ConfigurationError
from nextup.entrypoints.api.access import CALLER

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextup.settings import Telemetry


class Tracing:
    """Sends spans to a collector, in batches from a thread of its own; `close` sends the rest."""

    def __init__(self, settings: Telemetry, exporter: Any = None) -> None:
        """`exporter` takes the spans instead of the collector at `settings.endpoint`.

        Raises ConfigurationError where the libraries are not installed.
        """
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise ConfigurationError(
                "telemetry.endpoint: the libraries for traces are not installed.",
                cure="Traces need: pip install 'nextup[telemetry]'.",
            ) from error
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": settings.service}),
            sampler=ParentBased(TraceIdRatioBased(settings.share)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or _otlp(settings.endpoint)))
        self._tracer = self._provider.get_tracer("nextup")
        self._context = TraceContextTextMapPropagator()

    async def traced(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request within a span."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in _own(scope)}
        with self._tracer.start_as_current_span(
            scope["method"], context=self._context.extract(carrier), kind=SpanKind.SERVER
        ) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await app(scope, receive, watched)
            route = getattr(scope.get("route"), "path", None)
            span.update_name(f"{scope['method']} {route}" if route else scope["method"])
            span.set_attribute("http.request.method", scope["method"])
            span.set_attribute("http.route", route or "")
            span.set_attribute("nextup.request_id", str(scope.get("request_id", "")))
            span.set_attribute("nextup.client_id", getattr(scope.get(CALLER), "client_id", ""))

    def close(self) -> None:
        """Send what is left. Closing twice does nothing."""
        self._provider.shutdown()


def _own(scope: Scope) -> list[tuple[bytes, bytes]]:
    return [one for one in scope["headers"] if one[0] in {b"traceparent", b"tracestate"}]


def _otlp(endpoint: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)
