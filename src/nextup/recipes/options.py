"""A recipe's own settings: the table `[options]` of the nextup.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from nextup.settings import Settings
    from nextup.settings_servers import Section

Options = TypeVar("Options", bound="Section")


def options_of(settings: Settings, kind: type[Options]) -> Options:
    """What the settings say, over the recipe's defaults. Raises ConfigurationError, naming the
    key, for what does not fit."""
    try:
        return kind.model_validate(settings.options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.model_fields)
        unknown = first["type"] == "extra_forbidden"
        raise ConfigurationError(
            f"Setting 'options.{key}': {'is not one' if unknown else first['msg'].lower()}.",
            cure=f"The recipe '{settings.recipe}' has {known}.",
        ) from error
