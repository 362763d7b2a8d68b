"""An application of your own between people, Kafka and Nextup.

    NEXTUP_API=http://localhost:8000 NEXTUP_TOKEN=... uvicorn examples.fastapi_kafka_integration:app

`POST /watched` writes a view to Kafka and answers when the brokers have it; `nextup stream` brings
it in. `GET /home/{user_id}` asks Nextup what this person should see next.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import httpx
from confluent_kafka import KafkaException, Producer
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field


class Watched(BaseModel):
    """Somebody watched a film."""

    user_id: str = Field(min_length=1, max_length=500)
    item_id: str = Field(min_length=1, max_length=500)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connections are made once, and closed at the end."""
    app.state.producer = Producer(
        {"bootstrap.servers": os.environ.get("KAFKA", "localhost:9092"), "acks": "all"}
    )
    token = os.environ.get("NEXTUP_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    url = os.environ.get("NEXTUP_API", "http://localhost:8000")
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        app.state.nextup = client
        yield
    app.state.producer.flush(30)
    del app.state.producer  # ends its connections


app = FastAPI(title="An application", lifespan=lifespan)


@app.post("/watched", status_code=202)
def watched(body: Watched, request: Request) -> dict[str, str]:
    """Durable when it is answered; 503 while no broker takes it."""
    event = {
        "event_id": str(uuid4()),
        "type": "view",
        "user_id": body.user_id,
        "item_id": body.item_id,
        "occurred_at": datetime.now(UTC).isoformat(),
    }
    failed: list[str] = []
    producer: Producer = request.app.state.producer
    try:
        producer.produce(
            os.environ.get("VIEW_TOPIC", "view_events"),
            key=body.user_id,
            value=json.dumps(event),
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )
        left = producer.flush(10)
    except (KafkaException, BufferError) as error:
        raise HTTPException(503, f"Kafka does not take events: {error}") from error
    if left or failed:
        raise HTTPException(503, "Kafka does not take events; send it again")
    return {"event_id": event["event_id"]}


@app.get("/home/{user_id}")
async def home(user_id: str, request: Request) -> list[str]:
    """Titles, best first."""
    client: httpx.AsyncClient = request.app.state.nextup
    answer = await client.get(f"/v1/users/{user_id}/recommendations", params={"limit": 5})
    if answer.is_error:
        raise HTTPException(502, f"Nextup answered {answer.status_code}")
    return [place["title"] or place["item_id"] for place in answer.json()["items"]]
