"""What `.env` says to deploy/compose.yaml, besides what a recipe's own nextup.toml asks for:
passwords of servers that only run in containers, and ports that differ from the file's defaults."""

from __future__ import annotations

from typing import Final

_AIRFLOW: Final = ("POSTGRES_PASSWORD=", "REDIS_PASSWORD=", "AIRFLOW_PASSWORD=", "AIRFLOW_SECRET=")
_WATCHED: Final = ("GRAFANA_PASSWORD=",)

LINES: Final = {
    "book-platform": (*_AIRFLOW, *_WATCHED),
    "movielens-streaming": ("POSTGRES_PASSWORD=", "JUPYTER_PASSWORD="),
    "film-lakehouse": (*_AIRFLOW, *_WATCHED, "KAFKA_UI_PORT=8080"),
    "platform-api": (*_AIRFLOW, *_WATCHED),
    "rating-service": ("REDIS_PASSWORD=", "MONGO_PASSWORD=", *_WATCHED),
}


def with_containers(recipe: str, text: str) -> str:
    """The template of a recipe's `.env`, with what it lacks; an empty password is made up later."""
    said = {line.partition("=")[0] for line in text.splitlines()}
    lacking = [line for line in LINES.get(recipe, ()) if line.partition("=")[0] not in said]
    if not lacking:
        return text
    before = text if not text or text.endswith("\n") else f"{text}\n"
    return "\n".join((f"{before}# For deploy/compose.yaml.", *lacking, ""))
