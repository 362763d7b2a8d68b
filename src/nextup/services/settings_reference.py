"""What each setting means, read from the comments beside the defaults in `settings.py`.

A setting is documented once, where it is declared; `nextup init` and the manual both take it
from here, so they cannot disagree with the code.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextup.algorithms.models import by_name as models
from nextup.settings import BLEND, MODELS, Settings
from nextup.settings_servers import Section

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

HIDDEN = frozenset({"home", "models", "blend"})  # no key of the file, or a table shown by itself
NOT_CHOSEN = frozenset({"features", "threads", "keep_users"})  # a component's, but not the user's


@dataclass(frozen=True, slots=True)
class SettingReference:
    """One key of the `nextup.toml`."""

    section: str  # empty for the top
    key: str
    type: str
    default: Any
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable that overrides the key."""
        return "NEXTUP_" + "__".join(part for part in (self.section, self.key) if part).upper()


def reference() -> list[SettingReference]:
    """Every setting, top-level keys first, in the order of the source."""
    top = list(_of(Settings, ""))
    sections = [
        one
        for name, field in Settings.model_fields.items()
        if _is_section(field)
        for one in _of(type(field.default), name)
    ]
    return top + sections + _blend() + [one for name in model_names() for one in of_model(name)]


def of_model(name: str) -> list[SettingReference]:
    """The settings of one kind of model: a table `[models.<name>]`."""
    made = models.component_class(name)
    comments = _comments(made, models.settings_of(name))
    return [
        SettingReference(
            f"models.{name}", field.name, str(field.type), field.default, comments[field.name]
        )
        for field in dataclasses.fields(made)  # type: ignore[arg-type]
        if field.name not in NOT_CHOSEN
    ]


def model_names() -> tuple[str, ...]:
    """The models that are trained by default."""
    return tuple(MODELS)


def _blend() -> list[SettingReference]:
    meaning = "weight in a list of what this source says; 0 leaves it out"
    return [
        SettingReference("blend", name, "float", weight, meaning) for name, weight in BLEND.items()
    ]


def section_meanings() -> dict[str, str]:
    """What each section is about, by its name."""
    meanings = {
        name: inspect.getdoc(type(field.default)) or ""
        for name, field in Settings.model_fields.items()
        if _is_section(field)
    }
    meanings["blend"] = "How much each source counts in a list. `trending` is counted live."
    for name in model_names():
        about = inspect.getdoc(models.component_class(name)) or ""
        meanings[f"models.{name}"] = about.splitlines()[0]
    return meanings


def example_toml(chosen: Mapping[str, Any] | None = None) -> str:
    """A `nextup.toml` with every default in it, commented out and explained. What is chosen, by
    names such as `access.auth`, is set."""
    lines = ["# Nextup's settings. A line that is commented out shows the default.", ""]
    chosen = chosen or {}
    meanings = section_meanings()
    section = ""
    for one in reference():
        if one.section != section:
            section = one.section
            lines += ["", f"# {meanings[section].splitlines()[0]}", f"[{section}]"]
        meaning = f"  # {one.meaning}" if one.meaning else ""
        name = f"{one.section}.{one.key}".lstrip(".")
        if name in chosen:
            lines.append(f"{one.key} = {_toml(chosen[name])}{meaning}")
        else:
            lines.append(f"# {one.key} = {_toml(one.default)}{meaning}")
    return "\n".join(lines) + "\n"


def _of(model: type[BaseModel], section: str) -> Iterator[SettingReference]:
    comments = _comments(model, tuple(model.model_fields))
    for key, field in model.model_fields.items():
        if key in HIDDEN or _is_section(field):
            continue
        yield SettingReference(
            section, key, _type_name(field), field.default, comments.get(key, "")
        )


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.default, Section)


def _comments(model: type, keys: Collection[str]) -> dict[str, str]:
    """The comment at the end of the line on which each key is declared."""
    found: dict[str, str] = {}
    key = ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(model)).readline):
        if token.type == tokenize.NAME and token.start[1] == 4 and token.string in keys:
            key = token.string
        elif token.type == tokenize.COMMENT and key:
            found[key] = token.string.lstrip("# ")
        elif token.type == tokenize.NEWLINE:
            key = ""
    return found


def _type_name(field: FieldInfo) -> str:
    annotation = field.annotation
    values = getattr(annotation, "__args__", None)
    if values and all(isinstance(value, str) for value in values):
        return " | ".join(values)
    return getattr(annotation, "__name__", str(annotation))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
