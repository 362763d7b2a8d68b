"""Build the demo, open its pages and take their pictures: python docs/images/make_screenshots.py

Needs Chromium (`apt-get install chromium`), which `--chromium` names where it lies elsewhere, and
Playwright, which is among the packages of the tests.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

PICTURES = Path(__file__).parent
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 800}
DAYS_AGO = (8, 6, 4, 2, 0)
SETTLED_MILLISECONDS = 1_500  # what fades in and walks to its place has arrived


class Picture(NamedTuple):
    """A page, and what is done on it first."""

    name: str
    path: str
    scheme: str = "light"
    size: dict[str, int] = WIDE
    first: Callable[[Page], None] = lambda page: None


def ask_why(page: Page) -> None:
    """Open the reasons of the second card."""
    page.get_by_role("button", name="Why?").nth(1).click()


PAGES = [
    Picture("storefront", "/#/", first=ask_why),
    Picture("storefront-phone", "/#/", scheme="dark", size=PHONE),
    Picture("storefront-item", "/#/item/film%3Aalien-1979"),
    Picture("console", "/console#/", scheme="dark"),
    Picture("console-models", "/console#/models"),
    Picture("console-experiments", "/console#/experiments"),
    Picture("console-what-if", "/console#/what-if/horror-fan"),
]


def main() -> None:
    """Take all pictures, of a fresh demo or of a server that runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="A server with the demo; without it one is made.")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="The browser.")
    given = parser.parse_args()
    if given.url:
        take(given.url, given.chromium)
        return
    with demo() as url:
        live_some_days(url)
        take(url, given.chromium)


@contextmanager
def demo() -> Iterator[str]:
    """The address of a demo of its own, until the block ends."""
    nextup = Path(sys.executable).with_name("nextup")
    with tempfile.TemporaryDirectory() as folder:
        command = [nextup, "demo", "--folder", f"{folder}/demo", "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
            yield next(match for match in found if match)[0]
        finally:
            process.terminate()
            process.wait()


def live_some_days(url: str) -> None:
    """Run the pipeline for some earlier days and then for today, so that there are models."""
    today = datetime.now(UTC).date()
    with httpx.Client(base_url=url, timeout=60) as client:
        for ago in DAYS_AGO:
            body = {"date": str(today - timedelta(days=ago))}
            run = client.post("/v1/operations/runs", json=body).raise_for_status().json()
            while run["outcome"] == "running":
                time.sleep(1)
                run = client.get(f"/v1/operations/runs/{run['run_id']}").raise_for_status().json()


def take(url: str, chromium: str | None) -> None:
    """Every picture in a context of its own, as a horror fan's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for picture in PAGES:
            context = browser.new_context(
                viewport=picture.size,  # type: ignore[arg-type]
                color_scheme=picture.scheme,  # type: ignore[arg-type]
            )
            page = context.new_page()
            page.goto(f"{url}/#/")
            page.select_option("#who", label="A horror fan")
            page.locator("[data-shelf^=because]").wait_for()
            page.goto(f"{url}{picture.path}")
            page.locator("main .card:not(.waits), main .panel").first.wait_for()
            page.wait_for_timeout(SETTLED_MILLISECONDS)
            picture.first(page)
            page.wait_for_timeout(SETTLED_MILLISECONDS)
            page.screenshot(path=PICTURES / f"{picture.name}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
