"""The pages in a browser: `python -m benchmarks.web [--json] [--rounds N]`. Needs Chromium.

A server over a fresh sample platform, and a visitor who was never here: seconds until the browser
has drawn the first content, and until what the page is for stands on it, and what it weighs with
all that it loads. Held against the budgets that the project gave itself; the median of the rounds.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment
from playwright.sync_api import sync_playwright

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

    from playwright.sync_api import Browser, Response

BUDGET = 1.0  # seconds until the first content; held against the whole page too
WEIGHT_BUDGET = 300_000  # bytes of a page with all that it loads
PATIENCE_MILLISECONDS = 60_000
PHONE = {"width": 390, "height": 844}


class Page(NamedTuple):
    """Where it is, and what stands on it when it is whole."""

    name: str
    path: str
    whole: str


class Visit(NamedTuple):
    """What one visitor waited, in seconds, and what came over the wire."""

    painted: float
    whole: float
    bytes: int


PAGES = [
    Page("storefront", "/", "section.shelf .card:not(.waits)"),
    Page("an item", "/#/item/film%3Aalien-1979", "article.item"),
    Page("console", "/console", ".tile"),
    Page("models", "/console#/models", ".chart svg"),
]
PAINTED = """() => new Promise((seen) => {
  const found = performance.getEntriesByName("first-contentful-paint")[0];
  if (found) return seen(found.startTime);
  new PerformanceObserver((all, observer) => {
    for (const one of all.getEntriesByName("first-contentful-paint")) {
      observer.disconnect();
      seen(one.startTime);
    }
  }).observe({ type: "paint", buffered: true });
})"""
NOW = "() => performance.now()"


@contextmanager
def demo(people: int) -> Iterator[str]:
    """The address of a sample platform with a trained model, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(Path(folder), access={"auth": "none"})
        with open_platform(settings) as platform:
            put_sample(platform.catalog)
            midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            audience = AudienceConfig(people=people, days=60)
            simulate(platform.event_log, platform.catalog, audience, ends_at=midnight, seed=7)
            run_pipeline(context_of(platform, today(platform.settings)), platform.control)
            with ApiServer(create_app(platform), host="127.0.0.1", port=0) as server:
                yield server.url


def visit(browser: Browser, url: str, page: Page) -> Visit:
    """With an empty cache, in a phone's width."""
    weights: list[int] = []

    def weigh(response: Response) -> None:
        sizes = response.request.sizes()
        weights.append(sizes["responseBodySize"] + sizes["responseHeadersSize"])

    with browser.new_context(viewport=PHONE) as context:  # type: ignore[arg-type]
        opened = context.new_page()
        opened.on("requestfinished", lambda request: weigh(request.response()))
        opened.goto(f"{url}{page.path}")
        opened.locator(page.whole).first.wait_for(timeout=PATIENCE_MILLISECONDS)
        whole = opened.evaluate(NOW) / 1000
        painted = opened.evaluate(PAINTED) / 1000
        opened.wait_for_load_state("networkidle")
    return Visit(painted, whole, sum(weights))


def measure(browser: Browser, url: str, rounds: int) -> list[harness.Row]:
    """All pages in turns; the first round warms the server up and does not count."""
    visits: dict[str, list[Visit]] = {page.name: [] for page in PAGES}
    for turn in range(rounds + 1):
        for page in PAGES:
            made = visit(browser, url, page)
            if turn:
                visits[page.name].append(made)
    rows = []
    for name, made in visits.items():
        painted = statistics.median(one.painted for one in made)
        whole = statistics.median(one.whole for one in made)
        weight = max(one.bytes for one in made)
        rows += [
            harness.row(f"{name}, first content", painted, BUDGET, "the budget", 1.0),
            harness.row(f"{name}, whole", whole, BUDGET, "the budget", 1.0),
            harness.row(f"{name}, bytes", weight, WEIGHT_BUDGET, "the budget", 1.0),
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser")
    harness.add_output_options(parser)
    options = parser.parse_args()
    if options.chromium is None:
        harness.say("Needs Chromium: apt-get install chromium, or --chromium; left out")
        harness.publish([], options)
        return
    with demo(options.people) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        rows = measure(browser, url, options.rounds)
        browser.close()
    harness.publish(rows, options)


if __name__ == "__main__":
    main()
