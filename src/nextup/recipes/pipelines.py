"""The pipelines of a deployment: those of its recipe, or those of every platform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nextup.domain.errors import ConfigurationError
from nextup.recipes.folders import module_of
from nextup.services.pipeline import PIPELINES, Pipeline, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.settings import Settings


def pipelines_of(settings: Settings) -> Sequence[Pipeline]:
    """In the order in which they are listed, each at the time that the settings give it.

    Raises ConfigurationError for a time of a pipeline that there is not, and for a time zone that
    is none.
    """
    zone_of(settings)
    steps = module_of(settings.recipe, "steps")
    found: tuple[Pipeline, ...] = PIPELINES if steps is None else steps.PIPELINES
    times = settings.schedule.pipelines
    names = [pipeline.name for pipeline in found]
    for name in times:
        if name not in names:
            raise ConfigurationError(
                f"Setting 'schedule.pipelines': there is no pipeline '{name}'.",
                cure=f"Pipelines: {', '.join(names)}.",
            )
    return [replace(one, at=times.get(one.name, one.at)) for one in found]
