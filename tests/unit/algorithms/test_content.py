from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models.content import Content, ItemTerms, title_words
from nextup.domain.errors import InvalidInput

FILMS = {
    "genres": [["Horror"], ["Horror", "Comedy"], ["Comedy"], ["horror"], []],
    "makers": [["A"], ["B"], ["B"], ["A"], []],
}
NOBODY = Interactions.from_pairs([], [], n_users=1, n_items=5)


def films(**settings):
    return Content(features=ItemTerms.from_tokens(FILMS), **settings).fit(NOBODY)


def liked(*items):
    n = len(items)
    return History(np.array(items, np.int32), np.ones(n, np.float32), np.zeros(n, np.int64))


def test_items_that_say_the_same_are_the_most_alike():
    """Same genre and maker is a cosine of one; case does not matter."""
    found = films().similar(0, 5)
    assert found.items.tolist() == [3, 1]
    assert found.scores[0] == pytest.approx(1)


def test_an_item_nobody_touched_can_be_recommended():
    """Nothing was ever touched, yet a fan of item 0 gets item 3 first."""
    scores = films().score(liked(0))
    scores[0] = -np.inf
    assert int(np.argmax(scores)) == 3


def test_rare_terms_say_more():
    """Sharing a rare keyword makes two items more alike than sharing a common one."""
    keywords = [["war", "common"], ["war"], ["common"], ["common"], ["common"]]
    model = Content(features=ItemTerms.from_tokens({"keywords": keywords})).fit(NOBODY)
    assert model.similar(0, 5).items.tolist()[0] == 1


def test_a_field_without_weight_says_nothing():
    """With makers switched off, only genres count."""
    found = films(makers=0.0).similar(2, 5)
    assert found.items.tolist() == [1]
    assert films(genres=0.0).similar(2, 5).items.tolist() == [1]


def test_an_item_that_says_nothing_is_like_nothing():
    """No terms, no likeness: neither similar items nor scores."""
    assert films().similar(4, 5).items.tolist() == []
    assert films().score(liked(4)).tolist() == [0] * 5
    assert films().score(liked(0))[4] == 0


def test_cosines_equal_a_dense_reference():
    """Scores are cosines of TF-IDF rows, with each field brought to its share first."""
    model = films()
    dense = model.terms.toarray()
    assert np.linalg.norm(dense, axis=1) == pytest.approx([1, 1, 1, 1, 0])
    assert model.score(liked(0, 2)) == pytest.approx(dense @ (dense[0] + dense[2]))


def test_title_words_are_folded():
    """A title's words come without case and punctuation."""
    assert title_words("Amélie (Le Fabuleux…)") == ["amélie", "le", "fabuleux"]


def test_features_must_be_given_and_fit():
    """No features, fields of different lengths, or another catalogue's are refused."""
    with pytest.raises(InvalidInput, match="no features"):
        Content().fit(NOBODY)
    with pytest.raises(InvalidInput, match="same items"):
        ItemTerms.from_tokens({"genres": [["a"]], "makers": []})
    with pytest.raises(InvalidInput, match="same items"):
        ItemTerms.from_tokens({})
    other = Interactions.from_pairs([], [], n_users=1, n_items=6)
    with pytest.raises(InvalidInput, match="6"):
        Content(features=ItemTerms.from_tokens(FILMS)).fit(other)
