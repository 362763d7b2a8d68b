"""What an operator does in the console, in a real browser, with credentials asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import expect
from tests.browser.conftest import PHONE, WIDE, Shop, findings
from tests.integration.api_world import catalogue, train

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.bootstrap import open_platform
from nextup.domain.clients import ALL_SCOPES, Scope
from nextup.domain.items import Item
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.services.access.accounts import Accounts
from nextup.services.simulate import simulate
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

PASSWORD = "correct-horse-battery-staple-7"
RUN_MILLISECONDS = 180_000
FIRST, SECOND = "first-model", "second-model"
FIGURES = {  # of a test that never was, in the gate's shape
    FIRST: {"candidate": {"ndcg@10": [0.10, 0.09, 0.11], "coverage": 0.2}},
    SECOND: {
        "candidate": {"ndcg@10": [0.14, 0.13, 0.15], "coverage": 0.3},
        "popularity": {"ndcg@10": [0.05, 0.04, 0.06]},
        "over_popularity": {"mean": 0.09, "low": 0.08, "high": 0.10, "p_value": 0.0005},
    },
}
RECIPE = {"components": {"popularity": {}}, "blend": {"popularity": 1.0}}
PAGES = [
    *("", "runs", "models", f"models/{SECOND}", "compare", "experiments", "data", "what-if/u-1"),
    *("replay", "clients"),
]


class Works(Shop):
    """A served platform that asks who is there, and the key of its admin."""

    key: str

    def client(self) -> httpx.Client:
        """The admin, without a browser."""
        return httpx.Client(base_url=self.url, headers={"X-API-Key": self.key}, timeout=60)


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """A small catalogue, a small audience and two models; an admin, and one who only reads."""
    settings = load_settings(
        tmp_path_factory.mktemp("works"), access={"auth": "keys", "logins_per_minute": 1000}
    )
    with open_platform(settings) as platform:
        platform.catalog.put_items(catalogue())
        simulate(
            platform.event_log,
            platform.catalog,
            AudienceConfig(people=40, days=10),
            ends_at=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
            seed=7,
        )
        for seed, model_id in enumerate((FIRST, SECOND)):
            train(platform, model_id, seed=seed)
            model = platform.control.model(model_id)
            assert model is not None
            lineage = {"recipe": RECIPE}
            platform.control.save_model(replace(model, metrics=FIGURES[model_id], lineage=lineage))
        accounts = Accounts(platform.clients, settings)
        admin = accounts.register("admin", scopes=ALL_SCOPES, password=PASSWORD)
        accounts.register("reader", scopes=[Scope.READ], password=PASSWORD)
        with ApiServer(create_app(platform), host="127.0.0.1", port=0) as server:
            made = Works(server.url, platform)
            made.key = admin.secret
            yield made


@pytest.fixture
def console(page: Page, works: Works, refusals: set[int]) -> Page:
    """The admin has signed in, and sees the overview."""
    refusals.add(401)  # which the page asks its way out of
    page.goto(f"{works.url}/console")
    sign_in(page)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    return page


def sign_in(page: Page, client: str = "admin", secret: str = PASSWORD) -> None:
    dialog = page.locator("#sign-in")
    dialog.get_by_label("Client", exact=True).fill(client)
    dialog.get_by_label("Password or key").fill(secret)
    dialog.get_by_role("button", name="Sign in").click()


def go(page: Page, works: Works, path: str, heading: str | None = None) -> None:
    page.goto(f"{works.url}/console#/{path}")
    if heading:
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)


def row(page: Page, text: str) -> Locator:
    return page.locator("tbody tr", has_text=text).first


def agree(page: Page, act: str) -> None:
    """What changes something asks first."""
    page.get_by_role("dialog").get_by_role("button", name=act, exact=True).click()


def test_a_wrong_password_is_told_and_the_right_one_opens(
    page: Page, works: Works, refusals: set[int]
) -> None:
    """Nothing is shown before; a reload keeps the visitor signed in; signing out ends it."""
    refusals.add(401)
    page.goto(f"{works.url}/console")
    sign_in(page, secret="not the password")
    expect(page.locator("#sign-in [role=alert]")).to_contain_text("do not fit")
    expect(page.locator(".tile")).to_have_count(0)
    sign_in(page)
    expect(page.locator(".tile").first).to_be_visible()
    page.reload()
    expect(page.locator(".tile").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in")).to_be_visible()


def test_a_key_opens_too(page: Page, works: Works, refusals: set[int]) -> None:
    """The key that registration shows can be given where a password is asked for."""
    refusals.add(401)
    page.goto(f"{works.url}/console")
    sign_in(page, secret=works.key)
    expect(page.locator(".tile").first).to_be_visible()


def test_who_may_not_operate_is_told_so(page: Page, works: Works, refusals: set[int]) -> None:
    """A reader gets a sentence, not an empty page, and may come in as somebody else."""
    refusals.update({401, 403})
    page.goto(f"{works.url}/console")
    sign_in(page, "reader")
    expect(page.locator("main [role=alert]")).to_contain_text("operate")
    page.get_by_role("button", name="Sign in as another client").click()
    sign_in(page)
    expect(page.locator(".tile").first).to_be_visible()


def test_an_ended_token_is_renewed_and_a_lost_one_asked_for(console: Page, works: Works) -> None:
    """While the page is open nobody notices; afterwards it says why it asks again."""
    console.evaluate("sessionStorage.setItem('nextup.token', 'ended')")
    go(console, works, "data", "Data")
    expect(console.get_by_role("heading", name="Lake")).to_be_visible()
    expect(console.locator("#sign-in")).to_have_count(0)
    console.evaluate("sessionStorage.setItem('nextup.token', 'ended')")
    console.reload()
    expect(console.locator("#sign-in")).to_contain_text("Your sign-in has ended")
    sign_in(console)
    expect(console.get_by_role("heading", name="Lake")).to_be_visible()


def test_the_overview_lives(console: Page, works: Works) -> None:
    """Events that arrive are counted on the page without reloading it."""
    tile = console.locator(".tile", has_text="Events per second")
    with works.client() as client:
        for number in range(3):
            body = {"type": "like", "user_id": f"live-{number}", "item_id": "film-1"}
            assert client.post("/v1/events", json=body).status_code == 202
    expect(tile.locator(".more")).to_contain_text("accepted")
    expect(console.locator(".chart svg")).to_be_visible()


def test_a_chart_can_be_walked_with_the_keyboard(console: Page, works: Works) -> None:
    """Each point tells its figure, its interval and its day."""
    go(console, works, "models", "Models")
    chart = console.locator(".chart")
    expect(chart.locator(".ci path").first).to_be_attached()
    chart.focus()
    chart.press("ArrowRight")
    expect(chart.locator(".tip")).to_contain_text("candidate, 0.0900 to 0.1100")
    chart.press("Escape")
    expect(chart.locator(".tip")).to_be_hidden()


def test_a_run_is_watched_to_its_end(console: Page, works: Works) -> None:
    """Asked first; each step shows, and the page says by itself that it succeeded."""
    go(console, works, "runs", "Pipeline")
    console.get_by_role("button", name="Run", exact=True).click()
    agree(console, "Run")
    expect(console.get_by_role("heading", level=1)).to_contain_text("Run 20")
    done = console.locator("main p .state").first
    expect(done).to_have_text("succeeded", timeout=RUN_MILLISECONDS)
    with works.client() as client:
        steps = client.get("/v1/operations/steps").json()["steps"]
    expect(console.locator("tbody tr", has_text="succeeded")).to_have_count(len(steps))


def test_promote_and_roll_back(console: Page, works: Works) -> None:
    """The model before serves again, then the later one; what is refused changes nothing."""
    control = works.platform.control
    control.set_current_model(FIRST)
    control.set_current_model(SECOND)
    go(console, works, "models", "Models")
    console.get_by_role("button", name="Roll back", exact=True).click()
    agree(console, "Leave it")
    assert control.current_model() == SECOND
    console.get_by_role("button", name="Roll back", exact=True).click()
    agree(console, "Roll back")
    expect(row(console, FIRST)).to_contain_text("in service")
    assert control.current_model() == FIRST
    row(console, SECOND).get_by_role("button", name="Promote").click()
    agree(console, "Promote")
    expect(row(console, SECOND)).to_contain_text("in service")
    assert control.current_model() == SECOND


def test_two_models_side_by_side(console: Page, works: Works) -> None:
    """Figures with intervals, and whether the difference is clear."""
    go(console, works, f"compare/{SECOND}/{FIRST}", "Compare")
    figures = row(console, "ndcg@10")
    expect(figures).to_contain_text("0.14 (0.13 to 0.15)")
    expect(figures).to_contain_text("+0.04")
    expect(figures).to_contain_text("clear")
    expect(row(console, "over popularity")).to_contain_text("+0.09 (+0.08 to +0.1)")


def test_every_model_is_an_experiment(console: Page, works: Works) -> None:
    """Against what it was tried, by how much it differs, what that proves; a new one shows by
    itself."""
    go(console, works, "experiments", "Experiments")
    trial = row(console, SECOND)
    expect(trial).to_contain_text("popularity")
    expect(trial).to_contain_text("+0.09 ndcg@10 (+0.08 to +0.1)")
    expect(trial).to_contain_text("better")
    chart = console.locator(".chart")
    chart.focus()
    chart.press("ArrowRight")
    expect(chart.locator(".tip")).to_contain_text("over popularity, 0.0800 to 0.1000")
    chart.press("Escape")
    control = works.platform.control
    first = control.model(FIRST)
    assert first is not None
    worse = {"mean": -0.04, "low": -0.05, "high": -0.03, "p_value": 0.001}
    control.save_model(replace(first, metrics={**first.metrics, "over_in_service": worse}))
    expect(row(console, FIRST)).to_contain_text("worse")
    control.save_model(first)


def test_a_quarantined_record_is_readmitted(console: Page, works: Works) -> None:
    """An event of an item that nobody knew counts once the item is there."""
    with works.client() as client:
        event = {"type": "like", "user_id": "early", "item_id": "not-yet"}
        assert client.post("/v1/events", json=event).status_code == 422
        run = client.post("/v1/operations/runs", json={"last": "collect"})
        assert run.status_code == 202, run.text
        go(console, works, f"runs/{run.json()['run_id']}")
        expect(console.locator("main p .state").first).to_have_text("succeeded")
        works.platform.catalog.put_items([Item("not-yet", "film", "Now it is there")])
        go(console, works, "data", "Data")
        row(console, "not-yet").get_by_role("button", name="Judge again").click()
        agree(console, "Judge again")
        expect(console.locator("#toast")).to_contain_text("1 of 1 are in the log now")
        expect(console.locator("tbody", has_text="not-yet")).to_have_count(0)


def test_what_if_takes_a_list_apart(console: Page, works: Works) -> None:
    """Every source's candidates, the list, and what the model before would have shown."""
    go(console, works, "what-if", "What if")
    console.get_by_label("Person").fill("u-1")
    console.get_by_label("Beside").select_option("previous")
    console.get_by_role("button", name="Take apart").click()
    expect(console.get_by_role("heading", name="The list now")).to_be_visible()
    expect(console.get_by_role("heading", name="Under the model before")).to_be_visible()
    expect(console.get_by_role("heading", name="popularity, weight")).to_be_visible()
    expect(console.get_by_label("Person")).to_have_value("u-1")


def test_replay_shows_what_was_shown(console: Page, works: Works, refusals: set[int]) -> None:
    """By its token, in order, what its page showed; a wrong one leaves the form for another try."""
    with works.client() as client:
        served = client.get("/v1/users/watched/recommendations", params={"limit": 5}).json()
    refusals.add(404)
    go(console, works, "replay", "Replay")
    field = console.get_by_label("Token of a served list")
    field.fill("nothing")
    console.get_by_role("button", name="Show").click()
    expect(console.locator("main [role=alert]")).to_be_visible()
    field.fill(served["token"])
    console.get_by_role("button", name="Show").click()
    expect(console.get_by_role("heading", name="What watched was shown")).to_be_visible()
    shown = console.locator("ol.places li").all_inner_texts()
    for text, item in zip(shown, served["items"], strict=True):
        assert text.startswith(item["title"])


def test_a_client_comes_and_goes(console: Page, works: Works, refusals: set[int]) -> None:
    """Its key is shown once and works; revoked, it is refused."""
    go(console, works, "clients", "Clients")
    console.get_by_label("Name").fill("partner")
    console.get_by_role("button", name="Register").click()
    key = console.locator("#made code").inner_text()
    with httpx.Client(base_url=works.url, headers={"X-API-Key": key}) as partner:
        assert partner.get("/v1/popular").status_code == 200
        row(console, "partner").get_by_role("button", name="Revoke").click()
        agree(console, "Revoke")
        expect(row(console, "partner")).to_contain_text("revoked")
        assert partner.get("/v1/popular").status_code == 401
    console.reload()
    expect(console.get_by_role("heading", level=1)).to_have_text("Clients")
    expect(console.locator("#made code")).to_have_count(0)


def test_the_storefront_asks_once(page: Page, works: Works, refusals: set[int]) -> None:
    """Then it goes on by itself, and the console knows the visitor too."""
    refusals.add(401)
    page.goto(works.url)
    sign_in(page)
    expect(page.locator(".pick").first).to_be_visible()
    page.goto(f"{works.url}/console")
    expect(page.locator(".tile").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_everybody_can_use_it(
    browser: Browser, works: Works, size: dict[str, int], scheme: str
) -> None:
    """No finding of an accessibility scan, and no page that scrolls sideways."""
    with browser.new_context(viewport=size, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{works.url}/console")
        page.locator("#sign-in h2").wait_for()
        assert findings(page) == []
        sign_in(page)
        expect(page.locator(".tile").first).to_be_visible()
        for path in PAGES:
            go(page, works, path)
            page.locator("main .waiting").wait_for(state="detached")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert (path, findings(page)) == (path, [])
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
