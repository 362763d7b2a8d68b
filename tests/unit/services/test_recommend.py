"""Recommending: levels, rules, pages, reasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.services.serving_world import Down, World

from nextup.domain.errors import BackendUnavailable, CorruptData, InvalidInput, NotFound
from nextup.domain.recommendations import Level, PublishedList, Scored, Touch
from nextup.services.recommending.request import Request


@pytest.fixture
def world() -> World:
    return World()


def ids(page) -> list[str]:
    return [place.item_id for place in page.places]


def all_pages(recommender, page, limit, user_id="u") -> list[str]:
    found = ids(page)
    while page.next is not None:
        page = recommender.next_page(page.next, limit=limit, user_id=user_id)
        found += ids(page)
    return found


class TestLevels:
    def test_one_like_makes_a_newcomer_personal(self, world):
        """A new person's answer is fresh right after their first like."""
        recommender = world.recommender()
        before = recommender.recommend(Request("u"))
        world.act("u", "i007")
        after = recommender.recommend(Request("u"))
        assert before.served.level is Level.POPULAR
        assert after.served.level is Level.FRESH
        assert ids(before) != ids(after)

    def test_strangers_get_what_trends(self, world):
        """Without a history, what others touch lately comes first, and the level says so."""
        world.act("other", "i050")
        page = world.recommender().recommend(Request("u"))
        assert page.served.level is Level.TRENDING
        assert page.places[0].item_id == "i050"
        assert page.places[0].source == "trending"

    def test_nothing_trends_then_popular(self, world):
        """Where nobody touched anything, the most popular comes first."""
        page = world.recommender().recommend(Request("u", diversity=0.0, limit=5))
        assert page.served.level is Level.POPULAR
        assert ids(page) == ["i000", "i001", "i002", "i003", "i004"]

    def publish(self, world, user_id, *item_ids):
        scored = tuple(
            Scored(item_id, 1.0 - n / 10, "factors") for n, item_id in enumerate(item_ids)
        )
        world.lists.write("g1", [PublishedList(user_id, scored)])
        world.lists.switch("g1")

    def test_state_down_gives_the_published_list(self, world):
        """When the history cannot be read, the last published list answers, in its order."""
        self.publish(world, "u", "i030", "i010", "i020")
        world.state = Down()
        page = world.recommender().recommend(Request("u"))
        assert page.served.level is Level.PUBLISHED
        assert ids(page) == ["i030", "i010", "i020"]
        assert "online_state" in page.missing
        assert page.next is None

    def test_without_a_model_the_published_list_answers_and_goes_on(self, world):
        """Rules hold for a published list, and what trends or is popular continues it."""
        self.publish(world, "u", "i030", "i010", "i020")
        world.without_model()
        world.act("u", "i010")
        recommender = world.recommender()
        page = recommender.recommend(Request("u", limit=2))
        assert page.served.level is Level.PUBLISHED
        assert ids(page) == ["i030", "i020"]
        assert page.missing == ["model"]
        everything = all_pages(recommender, page, 10)
        assert len(everything) == len(set(everything)) == world.size - 1

    def test_everything_down(self, world):
        """With every store down and no model the answer is still a list, and says what it lacks."""
        world.without_model()
        world.state = world.lists = world.catalog = Down()
        page = world.recommender().recommend(Request("u", limit=10))
        assert page.served.level is Level.POPULAR
        assert len(page.places) == 10
        assert set(page.missing) == {"model", "online_state", "recommendation_store", "catalog"}

    def test_a_damaged_store_is_done_without(self, world):
        """Corrupt data in a store degrades the answer as an absent store does."""

        class Damaged:
            def read(self, user_id):
                raise CorruptData("A list is damaged.")

        world.lists = Damaged()
        page = world.recommender().recommend(Request("u"))
        assert page.served.level is Level.POPULAR
        assert page.missing == ["recommendation_store"]

    def test_an_empty_catalogue_gives_an_empty_list(self):
        """Nothing to recommend is an answer, not an error."""
        page = World(size=0).recommender().recommend(Request("u"))
        assert list(page.places) == []
        assert page.next is None

    def test_only_unknown_items_touched(self, world):
        """A history that the model knows nothing of does not make the answer fresh."""
        world.act("u", "not-in-the-model")
        page = world.recommender().recommend(Request("u"))
        assert page.served.level in {Level.TRENDING, Level.POPULAR}

    def test_an_item_newer_than_the_model_can_trend(self, world):
        """An item that came after the training trends once people touch it."""
        newcomer = replace(world.items[0], item_id="new")
        world.items.append(newcomer)
        world.catalog.known["new"] = newcomer
        world.another_model(3)
        artifact_size = world.model.n_known
        world.model = replace(world.model, n_known=artifact_size)
        world.act("other", "new")
        page = world.recommender().recommend(Request("u"))
        assert page.places[0].item_id == "new"


class TestRules:
    def test_never_what_was_consumed_or_dismissed(self, world):
        """Viewed, clicked, liked, rated and dismissed items never come, on no page."""
        acts = {
            "i001": "view",
            "i002": "click",
            "i003": "like",
            "i004": "rating",
            "i005": "dismiss",
        }
        for item_id, kind in acts.items():
            world.act("u", item_id, kind, 5.0 if kind == "rating" else None)
        recommender = world.recommender()
        page = recommender.recommend(Request("u"))
        assert not set(all_pages(recommender, page, 20)) & set(acts)
        assert {"seen", "dismissed"} <= set(page.served.rules)

    def test_kind_and_genres(self, world):
        """Only the wanted kind, and only items with one of the wanted genres, whatever case."""
        world.act("u", "i001")
        recommender = world.recommender()
        page = recommender.recommend(Request("u", kind="Film", genres=("HORROR", "classic")))
        found = all_pages(recommender, page, 20)
        assert found
        for item_id in found:
            item = world.catalog.known[item_id]
            assert item.kind == "film"
            assert {"horror", "classic"} & set(item.genres)
        assert {"kind", "genres"} <= set(page.served.rules)

    def test_an_unknown_kind_gives_an_empty_list(self, world):
        """Nothing is of a kind that does not exist."""
        page = world.recommender().recommend(Request("u", kind="opera"))
        assert list(page.places) == []

    def test_exclude_wins_over_pinned(self, world):
        """Pins come first in their order, but lift nothing that another rule keeps out."""
        world.act("u", "i009")
        request = Request("u", pinned=("i050", "i009", "i041", "i050", "i002"), exclude=("i002",))
        page = world.recommender().recommend(request)
        assert ids(page)[:2] == ["i050", "i041"]
        assert page.places[0].rules == ("pinned",)
        assert not {"i009", "i002"} & set(ids(page))

    def test_withdrawn_items_vanish_at_once(self, world):
        """An item that became unavailable or was deleted is skipped, even in a served list."""
        recommender = world.recommender()
        first = recommender.recommend(Request("u", limit=5, diversity=0.0))
        world.catalog.known["i005"] = replace(world.items[5], available=False)
        del world.catalog.known["i007"]
        second = recommender.next_page(first.next, limit=5, user_id="u")
        assert ids(second) == ["i006", "i008", "i009", "i010", "i011"]
        assert second.ranks == [7, 9, 10, 11, 12]

    def test_dismissed_meanwhile(self, world):
        """What a person dismisses does not come on a later page of the same list."""
        recommender = world.recommender()
        first = recommender.recommend(Request("u", limit=5, diversity=0.0))
        world.act("u", "i006", "dismiss")
        assert "i006" not in ids(recommender.next_page(first.next, limit=5, user_id="u"))

    def test_diversity_spreads_genres(self, world):
        """More diversity shows more genres among the first places, and marks lifted ones."""
        world.act("u", "i001")
        recommender = world.recommender()

        def genres(strength):
            page = recommender.recommend(Request("u", limit=14, diversity=strength))
            pairs = {world.catalog.known[item_id].genres for item_id in ids(page)}
            return len(pairs), page

        plain, plain_page = genres(0.0)
        spread, spread_page = genres(0.9)
        assert spread > plain
        assert not any(place.rules for place in plain_page.places)
        assert any("diversified" in place.rules for place in spread_page.places)


class TestReasons:
    def test_parts_add_up(self, world):
        """A place's score is the sum of its sources' parts, and shares are of one whole."""
        for item_id in ("i001", "i002", "i003"):
            world.act("u", item_id)
        for place in world.recommender().recommend(Request("u")).places:
            assert sum(place.sources.values()) == pytest.approx(place.score, rel=1e-5)
            assert place.source == max(place.sources, key=place.sources.get)
            assert 0 < sum(reason.share for reason in place.because) <= 1 + 1e-6
            assert {reason.item_id for reason in place.because} <= {"i001", "i002", "i003"}

    def test_without_the_reason_the_place_is_worse(self, world):
        """Without the item named first in `because`, a recommendation scores lower."""
        touched = ["i001", "i012", "i023", "i034"]
        touches = tuple(Touch(item_id, "like", None, n, n) for n, item_id in enumerate(touched))
        recommender = world.recommender()
        whole = recommender.rank(Request(touches=touches))
        first = whole.items[0]
        strongest = first.because[0].item_id
        less = tuple(touch for touch in touches if touch.item_id != strongest)
        without = recommender.rank(Request(touches=less))
        order = [place.item_id for place in without.items]
        assert first.item_id not in order[:1]

    def test_explain_off(self, world):
        """Without explanations no reasons are worked out; the list is the same."""
        world.act("u", "i001")
        recommender = world.recommender()
        told = recommender.recommend(Request("u"))
        untold = recommender.recommend(Request("u", explain=False))
        assert ids(told) == ids(untold)
        assert not any(place.because for place in untold.places)

    def test_reasons_can_be_joined(self, world):
        """Items named in reasons come with the page's details, so that they can be shown."""
        world.act("u", "i001")
        page = world.recommender().recommend(Request("u"))
        assert page.details["i001"].title == "Title 1"


class TestPages:
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_no_repeat_and_no_gap_while_the_world_changes(self, data):
        """Pages of one list show each allowed item exactly once, in the list's order, while
        events arrive and models change between them."""
        world = World(size=data.draw(st.integers(5, 70), "items"))
        recommender = world.recommender()
        if data.draw(st.booleans(), "has a history"):
            world.act("u", "i001")
        page = recommender.recommend(Request("u", limit=data.draw(st.integers(1, 30))))
        token, found, touched = page.served.token, ids(page), {"i001"}
        while page.next is not None:
            change = data.draw(st.sampled_from(["none", "event", "model", "no model"]))
            if change == "event":
                item_id = f"i{data.draw(st.integers(0, world.size - 1)):03}"
                touched.add(item_id)
                world.act("u", item_id, "view")
            elif change == "model":
                world.another_model(data.draw(st.integers(2, 5)))
            elif change == "no model":
                world.without_model()
            limit = data.draw(st.integers(1, 30))
            page = recommender.next_page(page.next, limit=limit, user_id="u")
            found += ids(page)
        assert len(found) == len(set(found))
        assert {item.item_id for item in world.items} - touched <= set(found)
        assert found == [place.item_id for place in recommender.replay(token).places]

    def test_the_same_page_again(self, world):
        """Asking for a page twice gives the same page."""
        recommender = world.recommender()
        first = recommender.recommend(Request("u", limit=15))
        second = recommender.next_page(first.next, limit=15, user_id="u")
        world.another_model(5)
        again = recommender.next_page(first.next, limit=15, user_id="u")
        assert ids(again) == ids(second)
        assert again.next == second.next

    def test_continuing_keeps_the_wishes(self, world):
        """A list asked for as books stays a list of books, also where it is ranked further."""
        recommender = world.recommender()
        page = recommender.recommend(Request("u", limit=7, kind="book", exclude=("i001",)))
        found = all_pages(recommender, page, 7)
        assert len(found) == world.size / 2 - 1
        assert {world.catalog.known[item_id].kind for item_id in found} == {"book"}

    def test_an_anonymous_history_can_be_continued(self, world):
        """The list for a history that came with the request remembers that history."""
        recommender = world.recommender()
        touches = (Touch("i003", "like", None, 0, 0),)
        page = recommender.recommend(Request(limit=15, touches=touches))
        assert page.served.level is Level.FRESH
        found = all_pages(recommender, page, 15, user_id="")
        assert len(found) == world.size - 1
        assert "i003" not in found

    def test_replay(self, world):
        """A token shows what its pages showed, whatever has happened since."""
        world.act("u", "i001")
        recommender = world.recommender()
        page = recommender.recommend(Request("u", limit=5))
        world.act("u", "i002")
        world.another_model(9)
        assert list(recommender.replay(page.served.token).places) == list(page.places)
        more = recommender.next_page(page.next, limit=3, user_id="u")
        replayed = recommender.replay(page.served.token)
        assert list(replayed.places) == [*page.places, *more.places]

    def test_replay_without_what_was_passed_over(self, world):
        """What could not be shown when its page came is not replayed, and does not appear in the
        same page later; what was shown before it went is replayed."""
        recommender = world.recommender()
        del world.catalog.known["i001"]
        first = recommender.recommend(Request("u", limit=4, diversity=0.0))
        assert ids(first) == ["i000", "i002", "i003", "i004"]
        world.act("u", "i006", "dismiss")
        second = recommender.next_page(first.next, limit=2, user_id="u")
        assert ids(second) == ["i005", "i007"]
        world.catalog.known["i001"] = world.items[1]
        gone = world.catalog.known.pop("i005")
        again = recommender.next_page(first.next, limit=2, user_id="u")
        assert ids(again) == ["i007", "i008"]
        replayed = recommender.replay(first.served.token)
        assert ids(replayed) == ["i000", "i002", "i003", "i004", gone.item_id, "i007", "i008"]
        assert replayed.ranks == [1, 3, 4, 5, 6, 8, 9]

    @pytest.mark.parametrize(
        "text", ["", ".", "x", "x.", ".5", "x.-1", "x.1e3", "x.٣", "x." + "9" * 300]
    )
    def test_what_is_no_token(self, world, text):
        """A text that never was a page token is refused, with the cure."""
        with pytest.raises(InvalidInput) as refused:
            world.recommender().next_page(text, limit=5, user_id="u")
        assert "first page" in refused.value.cure

    def test_unknown_expired_and_other_peoples_lists(self, world):
        """A list that is unknown, expired or somebody else's is not found."""
        recommender = world.recommender()
        page = recommender.recommend(Request("u", limit=5))
        for text, user_id in (("unknown.5", "u"), (page.next, "v"), (page.next + "0000", "u")):
            with pytest.raises(NotFound):
                recommender.next_page(text, limit=5, user_id=user_id)
        world.now -= timedelta(days=300)  # served so long ago that it has expired by now
        old = recommender.recommend(Request("u", limit=5))
        with pytest.raises(NotFound):
            recommender.next_page(f"{old.served.token}.5", limit=5, user_id="u")

    def test_continuing_needs_the_state(self, world):
        """A page of a list that cannot be read is an error that says so."""
        recommender = world.recommender()
        page = recommender.recommend(Request("u", limit=5))
        world.state = Down()
        with pytest.raises(BackendUnavailable):
            world.recommender().next_page(page.next, limit=5, user_id="u")


class TestShelves:
    def test_similar(self, world):
        """Similar items are never the item itself, and of the kind asked for."""
        shelf = world.shelves().similar("i003", limit=5, kind="book")
        assert len(shelf.places) == 5
        assert {shelf.details[place.item_id].kind for place in shelf.places} == {"book"}
        assert "i003" not in {place.item_id for place in shelf.places}

    def test_similar_without_a_model_is_by_genre(self, world):
        """An item that no model knows is similar to those of its genres."""
        world.without_model()
        shelf = world.shelves().similar("i003", limit=3)
        assert shelf.source == "genres"
        for place in shelf.places:
            assert set(shelf.details[place.item_id].genres) & set(world.items[3].genres)

    def test_similar_to_nothing_known(self, world):
        """An item that does not exist is not found."""
        with pytest.raises(NotFound):
            world.shelves().similar("nothing", limit=3)

    def test_trending_decays(self, world):
        """A touch of today outweighs as many touches of last week."""
        for n in range(2):
            world.act(f"a{n}", "i010", at=world.now - timedelta(days=7))
        for n in range(2):
            world.act(f"b{n}", "i020")
        shelf = world.shelves().trending(limit=5)
        assert [place.item_id for place in shelf.places] == ["i020", "i010"]
        assert shelf.source == "trending"

    def test_trending_within_a_window(self, world):
        """Touches from before the window do not count."""
        world.act("a", "i010", at=world.now - timedelta(days=7))
        world.act("b", "i020")
        shelf = world.shelves().trending(limit=5, window_hours=24)
        assert [place.item_id for place in shelf.places] == ["i020"]

    def test_a_window_that_is_not_kept(self, world):
        """A window beyond what is kept is refused with the limit."""
        with pytest.raises(InvalidInput, match="336"):
            world.shelves().trending(limit=5, window_hours=10_000)

    def test_trending_without_state_is_popular(self, world):
        """When the counters cannot be read, the popular answer, and it is said."""
        world.state = Down()
        shelf = world.shelves().trending(limit=3)
        assert shelf.source == "popular"
        assert shelf.missing == ("online_state",)
        assert [place.item_id for place in shelf.places] == ["i000", "i001", "i002"]
