"""What a request handler needs, handed to it by the app."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from nextup.entrypoints.api.bodies import Id, Word
from nextup.entrypoints.api.metrics import Metrics
from nextup.services.serving import Serving


def _serving(request: Request) -> Serving:
    serving = request.app.state.serving
    assert isinstance(serving, Serving)
    return serving


def _metrics(request: Request) -> Metrics:
    metrics = request.app.state.metrics
    assert isinstance(metrics, Metrics)
    return metrics


Services = Annotated[Serving, Depends(_serving)]
Measured = Annotated[Metrics, Depends(_metrics)]

UserId = Annotated[Id, Path(examples=["u-1"])]
ItemId = Annotated[Id, Path(examples=["film-alien-1979"])]
Limit = Annotated[int, Query(ge=1, le=200, description="Places on a page.")]
Kind = Annotated[Word | None, Query(description="Only items of this kind.", examples=["film"])]
Ids = Annotated[tuple[Id, ...], Query(max_length=200)]
