"""Where settings come from besides the environment: the TOML file, and files with one secret."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from pydantic_settings import TomlConfigSettingsSource

from nextup.domain.errors import ConfigurationError

ENV_FILE: Final = ".env"  # beside the nextup.toml
_NAME: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class TomlFile(TomlConfigSettingsSource):
    """The nextup.toml. `${NAME}` in a text stands for a variable of the environment, or of the
    `.env` beside the file, so that a URL needs no password in it."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        """Raises ConfigurationError for a variable that is nowhere set."""
        path = Path(str(file_path))
        variables = variables_of(path.parent)

        def value(found: re.Match[str]) -> str:
            given = variables.get(found[1])
            if given is None:
                raise ConfigurationError(
                    f"{path} needs the variable {found[1]}, which is not set.",
                    cure=f"Set it in the environment, or in {path.parent / ENV_FILE}.",
                )
            return given

        def filled(one: Any) -> Any:
            if isinstance(one, str):
                return _NAME.sub(value, one)
            if isinstance(one, dict):
                return {key: filled(item) for key, item in one.items()}
            return [filled(item) for item in one] if isinstance(one, list) else one

        read: dict[str, Any] = filled(super()._read_file(file_path))
        return read


def variables_of(home: Path) -> dict[str, str]:
    """The environment's variables, over those of the `.env` beside the nextup.toml."""
    given = {**dotenv_values(home / ENV_FILE), **os.environ}
    return {name: value for name, value in given.items() if value is not None}


def url_files() -> dict[str, str]:
    """`NEXTUP_CONTROL_URL_FILE` names a file that holds the URL, as a container's secret."""
    return {
        name.removeprefix("NEXTUP_").removesuffix("_FILE").lower(): Path(file).read_text().strip()
        for name, file in os.environ.items()
        if name.startswith("NEXTUP_") and name.endswith("_URL_FILE")
    }
