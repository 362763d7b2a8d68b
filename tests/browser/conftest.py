"""A person in front of the pages: a real browser, and a small platform that is really served."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright
from stack.errors import Unavailable
from stack.fetching import debian

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.bootstrap import open_platform
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.entrypoints.cli.context import context_of
from nextup.services.pipeline import run_pipeline, today
from nextup.services.simulate import put_sample, simulate
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from nextup.bootstrap import Platform

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PEOPLE, DAYS = 300, 45
PATIENCE_MILLISECONDS = 60_000
SETTLED = """() => {
  const ends = (one) => Number.isFinite(one.effect.getComputedTiming().endTime);
  return Promise.allSettled(document.getAnimations().filter(ends).map((one) => one.finished));
}"""
SAYS = "the server responded with a status of"

expect.set_options(timeout=PATIENCE_MILLISECONDS)


class Shop(NamedTuple):
    """A served platform."""

    url: str
    platform: Platform


def findings(page: Page) -> list[tuple[str, str]]:
    """What an accessibility scan of the whole page finds, however small: the rule, and where."""
    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


def settle(page: Page) -> None:
    """Wait until nothing fades in or walks to its place any more."""
    page.evaluate(SETTLED)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Open to everybody on this machine: the sample catalogue, an audience and a trained model."""
    home = tmp_path_factory.mktemp("shop")
    with open_platform(load_settings(home, access={"auth": "none"})) as platform:
        put_sample(platform.catalog)
        simulate(
            platform.event_log,
            platform.catalog,
            AudienceConfig(people=PEOPLE, days=DAYS),
            ends_at=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
            seed=7,
        )
        run_pipeline(context_of(platform, today(platform.settings)), platform.control)
        with ApiServer(create_app(platform), host="127.0.0.1", port=0) as server:
            yield Shop(server.url, platform)


@pytest.fixture(scope="module")  # while it is there, nothing else can run a loop in this thread
def browser() -> Iterator[Browser]:
    """Chromium of the distribution, without a window."""
    try:
        program = debian("chromium", program="chromium")
    except Unavailable as error:
        if os.environ.get("NEXTUP_REQUIRE_SERVERS") == "1":
            pytest.fail(f"The pages must be tested: {error}", pytrace=False)
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(program), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def refusals() -> set[int]:
    """The HTTP errors that a test provokes: a browser tells its console of each."""
    return set()


@pytest.fixture
def page(browser: Browser, refusals: set[int]) -> Iterator[Page]:
    """A visitor who was never here. The page must say nothing to the browser's console."""
    said: list[str] = []
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    yield page
    context.close()
    expected = tuple(f"error: Failed to load resource: {SAYS} {status}" for status in refusals)
    assert [line for line in said if not line.startswith(("log", "info", *expected))] == []
