"""The pages without a browser: what is handed out, under which policy, and what is drawn."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from tests.integration.api_world import served, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

PAGES = ("/", "/console")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", re.IGNORECASE)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a server with a model that has figures."""
    home = tmp_path_factory.mktemp("pages")
    with served(home, access={"auth": "none"}) as (client, platform):
        train(platform, "measured")
        model = platform.control.model("measured")
        assert model is not None
        figures = {"candidate": {"ndcg@10": [0.2, 0.1, 0.3], "coverage": 0.5}}
        platform.control.save_model(replace(model, metrics=figures))
        yield client


def asset_names() -> list[str]:
    root = resources.files("nextup.entrypoints.web") / "assets"
    return [
        f"{folder.name}/{entry.name}"
        for folder in root.iterdir()
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.is_file()
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_nothing_but_our_own_scripts(client: httpx.Client, page: str) -> None:
    """The policy is strict, the page has nothing inline, and names nobody else's server."""
    answer = client.get(page)
    policy = dict(
        part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not INLINE.search(answer.text)
    assert "//" not in re.sub(r"<!doctype.*?>", "", answer.text)


def test_every_asset_is_handed_out_and_again_as_unchanged(client: httpx.Client) -> None:
    """With its type; asked again with its tag, it is not sent again."""
    for name in asset_names():
        first = client.get(f"/assets/{name}")
        assert first.status_code == 200, name
        assert first.headers["x-content-type-options"] == "nosniff"
        tag = {"If-None-Match": first.headers["etag"]}
        assert client.get(f"/assets/{name}", headers=tag).status_code == 304, name


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "../pages.py", "shop", "shop/", "shop.html", "%2e%2e/pages.py", "shop//main.js"],
)
def test_nothing_else_is_handed_out(client: httpx.Client, name: str) -> None:
    """No page, folder or file beside the assets."""
    assert client.get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize(
    "chart", ["traffic", "quality", "quality?metric=coverage", "runs", "experiments"]
)
def test_a_chart_brings_no_look_of_its_own(client: httpx.Client, chart: str) -> None:
    """It is drawn without style and script, so that it fits the policy and the theme."""
    answer = client.get(f"/console/charts/{chart}")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert ElementTree.fromstring(answer.text).tag.endswith("svg")
    assert not INLINE.search(answer.text)


def test_a_metric_is_drawn_with_its_interval(client: httpx.Client) -> None:
    """Both ends are told; a bare figure has none."""
    told = client.get("/console/charts/quality", params={"metric": "ndcg@10"}).text
    assert "candidate, 0.1000 to 0.3000" in told
    assert 'class="ci"' in told
    bare = client.get("/console/charts/quality", params={"metric": "coverage"}).text
    assert 'class="ci"' not in bare


def test_a_metric_that_nobody_measured_is_an_empty_chart(client: httpx.Client) -> None:
    """And no error."""
    assert client.get("/console/charts/quality", params={"metric": "<b>"}).status_code == 200
