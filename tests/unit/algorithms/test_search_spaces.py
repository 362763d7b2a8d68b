from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.algorithms.models import by_name as models
from nextup.algorithms.models.search_spaces import (
    SPACES,
    OneOf,
    Whole,
    first_look,
    inside,
    searchable,
)


def values(dimension):
    if isinstance(dimension, OneOf):
        return st.sampled_from(dimension.options)
    if isinstance(dimension, Whole):
        return st.integers(dimension.low, dimension.high)
    return st.floats(dimension.low, dimension.high)


@pytest.mark.parametrize("name", SPACES)
@settings(deadline=None)
@given(data=st.data())
def test_whatever_is_drawn_is_a_model(name, data):
    """Every point of a space, and its first look, is a configuration the model accepts."""
    drawn = {key: data.draw(values(one)) for key, one in SPACES[name].items()}
    assert models.component(name, **drawn)
    cheap = first_look(name, drawn)
    if cheap is not None:
        assert cheap["factors"] < drawn["factors"]
        assert models.component(name, **cheap)


@pytest.mark.parametrize("name", SPACES)
@settings(deadline=None)
@given(anything=st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans()))
def test_the_nearest_value_lies_inside(name, anything):
    """Whatever a settings file says is brought into the space or left out."""
    for dimension in SPACES[name].values():
        near = inside(dimension, anything)
        if near is None:
            continue
        if isinstance(dimension, OneOf):
            assert near in dimension.options
        else:
            assert dimension.low <= near <= dimension.high
            assert isinstance(near, int if isinstance(dimension, Whole) else float)


def test_large_catalogues_get_the_sparse_form():
    """The closed form over all pairs of items is searched only where it fits."""
    assert "ease" in searchable(1_000)
    assert "sparse_ease" not in searchable(1_000)
    assert "ease" not in searchable(100_000)
    assert "sparse_ease" in searchable(100_000)
