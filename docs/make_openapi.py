"""Write `docs/openapi.json`, after recording examples from a server over the sample platform.

`make openapi` runs it. With `--keep-examples` only the document is written anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.bootstrap import open_platform
from nextup.entrypoints.api import examples
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.entrypoints.cli.context import context_of
from nextup.services.pipeline import run_pipeline
from nextup.services.simulate import put_sample, simulate
from nextup.settings import load_settings

if TYPE_CHECKING:
    from nextup.bootstrap import Platform

HERE = Path(__file__).parent
DOCUMENT = HERE / "openapi.json"
EXAMPLES = Path(examples.__file__).with_name(examples.FILE)
SHOWN = 2  # members of a list that an example shows
USER, FILM = "u-00001", "film:alien-1979"


def main() -> None:
    """Record, then write."""
    if "--keep-examples" not in sys.argv:
        recorded = json.dumps(_record(), indent=1, ensure_ascii=False)
        EXAMPLES.write_text(recorded + "\n", encoding="utf-8")
    DOCUMENT.write_text(document(), encoding="utf-8")


def document() -> str:
    """The OpenAPI document of a server with default settings, as the file holds it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_platform(load_settings(folder)) as platform,
    ):
        return json.dumps(create_app(platform).openapi(), indent=1, ensure_ascii=False) + "\n"


def _record() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(folder, access={"auth": "none"}, models={"als": {"factors": 16}})
        with open_platform(settings) as platform:
            _fill(platform)
            with (
                ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
                httpx.Client(base_url=server.url, timeout=60) as client,
            ):
                return _Recorder(client).all()


def _fill(platform: Platform) -> None:
    put_sample(platform.catalog)
    ends_at = datetime(2026, 4, 1, tzinfo=UTC)
    audience = AudienceConfig(people=400, days=60)
    simulate(platform.event_log, platform.catalog, audience, ends_at=ends_at, seed=7)
    for day in (date(2026, 3, 30), date(2026, 3, 31)):
        run_pipeline(context_of(platform, day), platform.control)


class _Recorder:
    """Asks each route once and keeps what was asked and answered."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._kept: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        self._people()
        self._items()
        self._operations()
        return self._kept

    def _people(self) -> None:
        like = {"type": "like", "user_id": USER, "item_id": FILM, "event_id": "e-1"}
        rating = {"type": "rating", "user_id": USER, "item_id": "book:dracula", "value": 4.5}
        self.ask("POST", "/v1/events", body=like)
        self.ask("POST", "/v1/events/batch", body=[like, rating, {"type": "like"}], shown=3)
        user = {"user_id": USER}
        served = self.ask("GET", "/v1/users/{user_id}/recommendations", user, "?limit=2")
        history = [FILM, {"item_id": "film:aliens-1986", "type": "rating", "value": 4.5}]
        wish = {"history": history, "limit": 2, "filter": 'kind = "film" and year >= 1980'}
        page = self.ask("POST", "/v1/recommendations", body=wish)
        self.ask("GET", "/v1/recommendations", query=f"?page={page['next_page']}&limit=2")
        self.ask("GET", "/v1/served/{token}", {"token": served["token"]})
        brought = ["film:jaws-1975", FILM, "book:frankenstein-1818", "book:nobody-wrote-it"]
        self.ask("POST", "/v1/rerank", body={"user_id": USER, "items": brought})
        self.ask("PUT", "/v1/users/{user_id}", user, body={"attributes": {"country": "FR"}})
        self.ask("GET", "/v1/users/{user_id}", user)
        self.ask("GET", "/v1/users/{user_id}/history", user, "?limit=2")
        self.ask("DELETE", "/v1/users/{user_id}", {"user_id": "u-00002"})

    def _items(self) -> None:
        item = {
            "kind": "film",
            "title": "Brand new",
            "year": 2026,
            "genres": ["Horror"],
            "makers": ["Jo Doe"],
            "attributes": {"country": "FR", "minutes": 117},
        }
        named = {"item_id": "film:new-1"}
        self.ask("PUT", "/v1/items/{item_id}", named, body=item)
        self.ask("GET", "/v1/items/{item_id}", named)
        self.ask("POST", "/v1/items/batch", body={"items": [named | item, {"year": 1979}]})
        asked = quote('kind = "film" and year < 1980')
        self.ask("GET", "/v1/items", query=f"?q=alien&filter={asked}&limit=1")
        self.ask("GET", "/v1/items/{item_id}/similar", {"item_id": FILM}, "?limit=2")
        self.ask("GET", "/v1/trending", query="?window=24&kind=film&limit=2")
        self.ask("GET", "/v1/popular", query="?limit=2")

    def _operations(self) -> None:
        root = "/v1/operations"
        for name in ("steps", "freshness", "generations", "lake", "backends", "stats"):
            self.ask("GET", f"{root}/{name}")
        runs = self.ask("GET", f"{root}/runs", query="?limit=1")
        self.ask("GET", root + "/runs/{run_id}", {"run_id": runs["runs"][0]["run_id"]})
        models = self.ask("GET", f"{root}/models")
        named = {"model_id": models["models"][0]["model_id"]}
        self.ask("GET", root + "/models/{model_id}", named)
        body = {"user_id": USER, "limit": 2, "compare": "previous"}
        self.ask("POST", f"{root}/what-if", body=body)
        self.ask("POST", f"{root}/rollback")
        self.ask("POST", root + "/models/{model_id}/promote", named)
        generations = self.ask("GET", f"{root}/generations")["generations"]
        stored = {"generation": generations[0]["generation"]}
        self.ask("POST", root + "/generations/{generation}/switch", stored)
        run = self.ask("POST", f"{root}/runs", body={"first": "collect", "last": "features"})
        self._kept[f"POST {root}/runs/{{run_id}}/cancel"] = {"answer": run}
        self._wait(run["run_id"])
        found = self.ask("GET", f"{root}/quarantine")["records"]
        rejected = {"rejected_id": found[0]["rejected_id"]}
        self.ask("GET", root + "/quarantine/{rejected_id}", rejected)
        self.ask("POST", f"{root}/quarantine/readmit", body={"rule": "schema"})
        for path in ("/healthz", "/readyz"):
            self.ask("GET", path)

    def _wait(self, run_id: str) -> None:
        path = f"/v1/operations/runs/{run_id}"
        while self._client.get(path).json()["outcome"] == "running":
            pass

    def ask(
        self,
        method: str,
        path: str,
        names: dict[str, str] | None = None,
        query: str = "",
        *,
        body: Any = None,
        shown: int = SHOWN,
    ) -> Any:
        """Ask, keep, and return the whole answer."""
        filled = path.format(**{name: quote(one, safe="") for name, one in (names or {}).items()})
        answer = self._client.request(method, filled + query, json=body)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        kept = {} if body is None else {"request": body}
        self._kept[f"{method} {path}"] = kept | {"answer": _short(answer.json(), shown)}
        return answer.json()


def _short(value: Any, shown: int) -> Any:
    if isinstance(value, list):
        return [_short(one, shown) for one in value[:shown]]
    if isinstance(value, dict):
        return {name: _short(one, shown) for name, one in value.items()}
    return round(value, 6) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
