"""What a person does in the storefront, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import PHONE, WIDE, findings, settle

from nextup.domain.items import Item

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page
    from tests.browser.conftest import Shop

PAGES = {  # and what stands on each
    "": "section.shelf .card:not(.waits)",
    "for-you": "main > .grid .card",
    "history": ".history li",
    "search/the": "main > .grid .card",
    "item/film%3Aalien-1979": "article.item",
}
MOST_BYTES = 300_000
TO_THE_END = """() => {
  const more = document.querySelector("main p > button.main");
  more?.scrollIntoView();
  return more?.hidden;
}"""


def enter(page: Page, shop: Shop, who: str = "A horror fan", path: str = "") -> None:
    """Come in as somebody, and wait for the shelves."""
    page.goto(f"{shop.url}/#/")
    page.select_option("#who", label=who)
    if who != "A newcomer":
        expect(shelf(page, "For you").locator(".card").first).to_be_visible()
        expect(page.locator("[data-shelf^=because]")).to_be_visible()
    if path:
        page.goto(f"{shop.url}/#/{path}")


def shelf(page: Page, title: str) -> Locator:
    return page.locator("section.shelf", has=page.get_by_role("heading", name=title, exact=True))


def titles(cards: Locator) -> list[str]:
    return cards.locator(".name").all_inner_texts()


def test_a_like_changes_the_shelves_at_once_and_undo_takes_it_back(page: Page, shop: Shop) -> None:
    """The liked title leaves the shelf for what fits it; undone, the old shelf is back."""
    enter(page, shop)
    mine = shelf(page, "For you")
    before = titles(mine)
    mine.get_by_role("button", name=f"Like {before[0]}").click()
    expect(mine.locator(".note")).to_contain_text("places changed just now")
    assert before[0] not in titles(mine)
    expect(shelf(page, f"Because you liked {before[0]}")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(mine.locator(".name").first).to_have_text(before[0])
    assert titles(mine) == before


def test_each_card_says_why(page: Page, shop: Shop) -> None:
    """The reasons on a horror fan's shelf are titles of their own history."""
    enter(page, shop, path="history")
    expect(page.locator(".history a").first).to_be_visible()
    known = set(page.locator(".history a").all_inner_texts())
    page.goto(f"{shop.url}/#/")
    card = shelf(page, "For you").locator(".card").first
    card.get_by_role("button", name="Why?").click()
    expect(card.locator(".why")).to_contain_text("Because of what you did with")
    reasons = card.locator(".why li").all_inner_texts()
    assert reasons
    assert all(any(reason.startswith(title) for title in known) for reason in reasons)


def test_hands_on_the_keyboard_keep_their_place(page: Page, shop: Shop) -> None:
    """What was pressed is drawn anew: the focus stays there, or where it was."""
    enter(page, shop)
    mine = shelf(page, "For you")
    first = mine.locator(".card").first
    before = titles(mine)[0]
    first.get_by_role("button", name="Like").focus()
    page.keyboard.press("Enter")
    expect(mine.locator(".name").first).not_to_have_text(before)
    expect(first.get_by_role("button", name="Like")).to_be_focused()
    why = first.get_by_role("button", name="Why?")
    why.focus()
    page.keyboard.press("Enter")
    expect(first.locator(".why")).to_be_visible()
    page.keyboard.press("Escape")
    expect(first.locator(".why")).to_be_hidden()
    expect(why).to_be_focused()
    page.goto(f"{shop.url}/#/item/film%3Ajaws-1975")
    stars = page.get_by_role("button", name="3 of 5")
    stars.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".stars button.lit")).to_have_count(3)
    expect(stars).to_be_focused()


def test_not_for_me_is_gone_for_good(page: Page, shop: Shop) -> None:
    """From every shelf of this person, also after coming back."""
    enter(page, shop)
    mine = shelf(page, "For you")
    unwanted = titles(mine)[1]
    mine.get_by_role("button", name=f"Not for me: {unwanted}").click()
    expect(mine.locator(".name", has_text=unwanted)).to_have_count(0)
    page.reload()
    expect(mine.locator(".card").first).to_be_visible()
    assert unwanted not in titles(mine)


def test_three_picks_are_a_beginning(page: Page, shop: Shop) -> None:
    """A newcomer picks three titles, and the shelves are theirs."""
    enter(page, shop, "A newcomer")
    expect(page.get_by_role("heading", name="What do you like?")).to_be_visible()
    for pick in range(3):
        page.locator(".pick").nth(pick * 2).click()
    expect(page.locator(".start")).to_have_count(0)
    expect(page.locator("[data-shelf^=because]")).to_be_visible()


def test_endless_paging_repeats_nothing(page: Page, shop: Shop) -> None:
    """To the end of the list, every book once."""
    enter(page, shop)
    page.get_by_role("link", name="Books").click()
    page.goto(f"{shop.url}/#/for-you")
    expect(page.locator(".grid .card").first).to_be_visible()
    page.wait_for_function(TO_THE_END, polling=50)
    keys = page.locator(".grid .card").evaluate_all("all => all.map((one) => one.dataset.key)")
    assert len(keys) == len(set(keys))
    assert shop.platform.catalog.count_items("book") - len(keys) < 20  # but those known already


def test_search_as_you_type(page: Page, shop: Shop) -> None:
    """Letters are enough; nothing found is said."""
    enter(page, shop)
    page.get_by_role("searchbox").press_sequentially("alien")
    expect(page.locator(".grid .name").first).to_contain_text("Alien")
    page.locator(".grid .name").first.click()
    expect(page.locator("article.item")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("alien")
    page.get_by_role("searchbox").fill("no such title")
    expect(page.locator("main")).to_contain_text("Nothing has such a title.")


def test_an_item_has_its_own_page(page: Page, shop: Shop) -> None:
    """Facts, reasons, similar titles; rating in place shows in the history."""
    enter(page, shop, path="item/film%3Athe-exorcist-1973")
    expect(page.get_by_role("heading", name="The Exorcist", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Similar to The Exorcist")).to_be_visible()
    page.get_by_role("button", name="4 of 5").click()
    expect(page.locator(".stars button.lit")).to_have_count(4)
    page.goto(f"{shop.url}/#/history")
    expect(page.locator(".history li").first).to_contain_text("Rated 4")


def test_a_title_is_never_markup(page: Page, shop: Shop) -> None:
    """What the catalogue holds is shown as it is."""
    title = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
    shop.platform.catalog.put_items([Item("trap", "film", title, 2001, ("Horror",))])
    enter(page, shop, path="item/trap")
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    assert page.title() != "taken"
    shop.platform.catalog.delete_item("trap")


def test_pages_are_light(page: Page, shop: Shop) -> None:
    """All that the first page loads, data included, is less than 300 kB."""
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(len(response.body())))
    enter(page, shop)
    assert sum(sizes) < MOST_BYTES


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_everybody_can_use_it(
    browser: Browser, shop: Shop, size: dict[str, int], scheme: str
) -> None:
    """No finding of an accessibility scan, and nothing to scroll sideways."""
    with browser.new_context(viewport=size, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        enter(page, shop, "A newcomer")
        expect(page.locator(".pick").first).to_be_visible()
        assert findings(page) == []
        enter(page, shop)
        for path, stands in PAGES.items():
            page.goto(f"{shop.url}/#/{path}")
            expect(page.locator(stands).first).to_be_visible()
            settle(page)
            assert (path, findings(page)) == (path, [])
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
