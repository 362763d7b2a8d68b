"""The manual's build: hand-written pages, and reference pages generated from the code itself."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generate import write_reference  # noqa: E402

from nextup import __version__  # noqa: E402

project = "Nextup"
copyright = "2026, the Nextup authors"
release = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Nextup {release}"
html_static_path: list[str] = []
suppress_warnings: list[str] = []

write_reference(HERE / "reference" / "generated")
