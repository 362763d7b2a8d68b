"""What a recipe does beside what every platform does: work in streams, people elsewhere, needs.

Each is a function of a module of the recipe's; a recipe without the module has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextup.recipes.folders import module_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextup.bootstrap import Platform
    from nextup.recipes.parts import Needing
    from nextup.services.doctor import Finding
    from nextup.services.shares import Share
    from nextup.settings import Settings


def shares_of(platform: Platform) -> Mapping[str, Callable[[], Share]]:
    """`streams.make_shares`: what makes each of its shares of `nextup stream`, by name."""
    module: Any = module_of(platform.settings.recipe, "streams")
    return {} if module is None else module.make_shares(platform)


def left_out(settings: Settings) -> frozenset[str]:
    """`streams.LEFT_OUT`: the usual work of `nextup stream` that nobody needs here."""
    module: Any = module_of(settings.recipe, "streams")
    return frozenset() if module is None else module.LEFT_OUT


def missing(needing: Needing) -> Sequence[Finding]:
    """`needs.missing`: the servers that it cannot do without, and that do not answer."""
    module: Any = module_of(needing.settings.recipe, "needs")
    return [] if module is None else module.missing(needing)


def erase_beside(needing: Needing, user_id: str) -> Mapping[str, int]:
    """`erasing.erase`: forgets a person where only the recipe knows them; how much, by place."""
    module: Any = module_of(needing.settings.recipe, "erasing")
    return {} if module is None else module.erase(needing, user_id)
