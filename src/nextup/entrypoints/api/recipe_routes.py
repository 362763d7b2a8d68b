"""The routes of the recipe that the settings name, beside those of /v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.domain.clients import Scope
from nextup.entrypoints.api.access import serving_of
from nextup.entrypoints.api.clients import token_router
from nextup.entrypoints.api.problems import problems
from nextup.recipes.folders import module_of
from nextup.recipes.parts import Parts

if TYPE_CHECKING:
    from fastapi import FastAPI

    from nextup.entrypoints.api.access import Doors
    from nextup.recipes.parts import Routers
    from nextup.settings import Settings


def include_recipe(app: FastAPI, doors: Doors, settings: Settings) -> None:
    """Mount them. A recipe without a router has none; no recipe, no routes."""
    module = module_of(settings.recipe, "router")
    if module is None:
        return
    app.state.recipe = Parts(
        settings=settings,
        serving=serving_of,
        problems=problems,
        token_router=token_router,
        accounts=app.state.accounts,
        guard=app.state.guard,
    )
    routers: Routers = module.make_routers(app.state.recipe)
    if routers.public is not None:
        doors.include_public(routers.public)
    doors.include(routers.guarded, Scope.READ, Scope.WRITE)
