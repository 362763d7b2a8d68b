"""A page as bytes, and as the model that the OpenAPI document shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from nextup.domain.items import Item
from nextup.domain.recommendations import Because, Level, Recommendation, ServedList
from nextup.entrypoints.api.bodies import Recommendations
from nextup.entrypoints.api.encoding import encoded
from nextup.entrypoints.api.recommendations import answer
from nextup.services.recommending.request import Page

SHARE = st.floats(0, 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ITEM = st.builds(
    Item,
    TEXT,
    kind=TEXT,
    title=TEXT,
    genres=st.tuples(TEXT, TEXT),
    attributes=st.dictionaries(st.sampled_from(["isbn", "rating", "secret"]), TEXT),
)
ATTRIBUTES = st.lists(st.sampled_from(["isbn", "rating", "pages"]), unique=True)
PLACE = st.builds(
    Recommendation,
    st.sampled_from(["a", "b", "c"]),
    st.floats(-1e6, 1e6),
    TEXT,
    st.dictionaries(TEXT, SHARE, max_size=3),
    st.lists(st.builds(Because, st.sampled_from(["a", "d"]), SHARE), max_size=2).map(tuple),
    st.tuples(TEXT),
)


@given(
    st.lists(PLACE, max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "d"]), ITEM),
    st.none() | st.just("token.3"),
    st.datetimes(timezones=st.just(UTC)),
    TEXT,
    ATTRIBUTES,
)
def test_both_say_the_same(
    places: list[Recommendation],
    details: dict[str, Item],
    following: str | None,
    served_at: datetime,
    token: str,
    attributes: list[str],
) -> None:
    """The fast way gives what the documented model gives, and the model accepts it."""
    served = ServedList(token, "ada", served_at, Level.FRESH, None, tuple(places), ("seen",))
    page = Page(served, places, range(1, len(places) + 1), details, following, ["model"])
    fast = encoded(page, "/v1/x", 20, attributes)
    model = answer(page, "/v1/x", 20, attributes)
    assert json.loads(fast) == json.loads(model.model_dump_json())
    assert Recommendations.model_validate_json(fast) == model
    told = [set(place.get("attributes", {})) for place in json.loads(fast)["items"]]
    assert all(names <= set(attributes) for names in told)
