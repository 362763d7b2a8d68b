"""The settings of this recipe alone: `[options]` in nextup.toml."""

from __future__ import annotations

from nextup.settings_servers import Section


class Options(Section):
    """Folders in `files_url`."""

    input: str = "input"  # rating files are put here
    processed: str = "processed"  # those that were used, by run
    errors: str = "errors"  # those that cannot be read, each with its reason
