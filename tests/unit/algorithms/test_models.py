from __future__ import annotations

import pytest

from nextup.algorithms.models import by_name as models
from nextup.algorithms.models.trending import Trending
from nextup.domain.errors import InvalidInput


def test_a_component_is_made_with_its_settings():
    """Settings reach the component, the others keep their defaults."""
    assert models.component("trending", half_life_seconds=5.0) == Trending(half_life_seconds=5.0)


def test_an_unknown_model_names_the_known():
    """A wrong name is answered with the right ones."""
    for ask in (models.component, models.fitted_class, models.settings_of):
        with pytest.raises(InvalidInput, match="popularity"):
            ask("deep-thought")


def test_an_unknown_setting_names_the_known():
    """A wrong setting is answered with the right ones."""
    with pytest.raises(InvalidInput, match="half_life_seconds"):
        models.component("trending", half_live=3)


def test_a_setting_of_the_wrong_kind_is_refused():
    """A word where a number belongs is the caller's mistake, not a crash."""
    with pytest.raises(InvalidInput, match="trending"):
        models.component("trending", half_life_seconds="soon")


@pytest.mark.parametrize("name", models.names())
def test_every_name_is_its_classes_name(name):
    """Component and fitted class carry the name they are found under."""
    assert models.component_class(name).name == name
    assert models.fitted_class(name).name == name
