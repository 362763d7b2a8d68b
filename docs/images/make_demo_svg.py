"""Run `nextup demo --check` and draw what it prints: python docs/images/make_demo_svg.py"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COMMAND = "nextup demo --check"
PICTURE = Path(__file__).with_name("demo.svg")
WIDTH = 126  # characters
THEME = TerminalTheme(
    (24, 26, 33),
    (205, 210, 220),
    [
        (24, 26, 33),
        (240, 110, 110),
        (130, 200, 140),
        (230, 190, 110),
        (110, 165, 240),
        (200, 150, 230),
        (110, 200, 210),
        (205, 210, 220),
    ],
)
STYLES = {
    r"^\$ .*": "bold",
    r"^For .*|^After .*": "bold cyan",
    r"^(collect|refine|features|train|evaluate|publish)\b": "bold",
    r"\bsucceeded\b|\bpassed\b(?=,)": "green",
    r"because of .*": "italic #8f98ad",
    r"^\s+\d\. ": "yellow",
    r"^\d+ of \d+ places changed.*": "bold green",
    r"^Took [\d.]+ s to the first recommendation": "bold",
}


def main() -> None:
    """Draw a fresh run; fails where the demo fails."""
    nextup = Path(sys.executable).with_name("nextup")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [nextup, *COMMAND.split()[1:]], cwd=folder, capture_output=True, text=True, check=True
        )
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    for line in (f"$ {COMMAND}", *done.stdout.splitlines()):
        text = Text(line)
        for pattern, style in STYLES.items():
            text.highlight_regex(pattern, style)
        console.print(text, overflow="fold")
    drawn = console.export_svg(title="nextup", theme=THEME)
    offline = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # any monospace will do
    PICTURE.write_text(offline, encoding="utf-8")
    sys.stderr.write(f"Wrote {PICTURE}\n")


if __name__ == "__main__":
    main()
