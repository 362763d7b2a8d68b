"""The manual's pages as a test sees them: what they show, and what they name.

A page asks for a platform with a comment, and everything shown in ```console blocks from there
to its end is typed in that platform's folder, in order:

    <!-- run: empty -->            a folder with nothing in it
    <!-- run: sample -->           a platform with items and events, before its first run
    <!-- run: built -->            the same after a run of the pipeline
    <!-- run: built, served -->    the same, with a server behind http://127.0.0.1:8000
    <!-- run: built, guarded -->   the same, with a server that asks for keys
    <!-- file: orders.csv -->      the next block is a file's content
    <!-- shape -->                 the next block's output is one example: only its form counts
    <!-- not run -->               the next block is shown, and not typed

`...` stands for any text; on a line of its own, for any lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000"
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if not {"_build", "generated"} & set(page.parts)
)

_PART = re.compile(
    r"^<!-- (?P<order>[^>]*?) -->$|^```(?P<language>[\w-]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_FRAME = str.maketrans(dict.fromkeys("━┏┳┓┡╇┩─└┴┘╷╵", " "))


@dataclass
class Typed:
    """One command and the output that the page shows."""

    command: str
    shown: list[str] = field(default_factory=list)
    shape: bool = False


@dataclass
class Session:
    """What happens in one folder."""

    platform: str
    served: bool
    guarded: bool = False
    steps: list[Typed | tuple[str, str]] = field(default_factory=list)  # (file, its content)


def sessions(text: str) -> list[Session]:
    """What a page does, folder by folder."""
    found: list[Session] = []
    order = ""
    for part in _PART.finditer(text):
        if part["order"] is not None:
            order = part["order"].strip()
            if order.startswith("run: "):
                platform, *more = order.removeprefix("run: ").split(", ")
                found.append(Session(platform, bool(more), more == ["guarded"]))
            continue
        if found and order.startswith("file: "):
            found[-1].steps.append((order.removeprefix("file: "), part["text"]))
        elif found and part["language"] == "console" and order != "not run":
            found[-1].steps += _typed(part["text"], shape=order == "shape")
        order = ""
    return found


def code(text: str) -> list[str]:
    """Commands and other code of a page, without the output of the commands."""
    lines: list[str] = []
    for part in _PART.finditer(text):
        typed = _typed(part["text"], shape=False) if part["language"] == "console" else None
        whole = (part["text"] or "").splitlines()
        lines += whole if typed is None else [step.command.replace("\n", " ") for step in typed]
    outside = _PART.sub("", text)
    return [*lines, *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside))]


def differs(step: Typed, output: str) -> str | None:
    """What of the shown output did not come; None where all did."""
    if step.shape:
        return _differs_in_shape(step.shown, output)
    pattern = r"\s*"
    for line in filter(str.strip, map(_bare, step.shown)):
        pattern += r"(?:.*\n)*?" if line == "..." else _loose(line) + r"\s*?\n\s*"
    if re.fullmatch(pattern, "\n".join(map(_bare, output.splitlines())) + "\n"):
        return None
    return f"shown:\n{chr(10).join(step.shown)}\n\ncame:\n{output}"


def _differs_in_shape(shown: list[str], output: str) -> str | None:
    """Keys of JSON, heads of tables, and lines but for their numbers and quoted texts."""
    wanted = set(re.findall(r'"(\w+)":', "\n".join(shown)))
    if wanted:
        missing = wanted - set(re.findall(r'"(\w+)":', output))
        return f"no {', '.join(sorted(missing))} in:\n{output}" if missing else None
    came = "\n".join(map(_bare, output.splitlines())) + "\n"
    for line in filter(str.strip, map(_bare, (one for one in shown if not one.startswith("│")))):
        pattern = _loose(re.sub(r'"[^"]*"', '"..."', line))
        pattern = re.sub(r"\d[\d,.:]*", r"[-+\\d,.:]+", pattern)
        if line != "..." and not re.search(f"^{pattern}\\s*$", came, re.MULTILINE):
            return f"no line like: {line}\n\ncame:\n{output}"
    return None


def _typed(block: str, *, shape: bool) -> list[Typed]:
    steps: list[Typed] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append(Typed(line[2:], shape=shape))
        elif line.startswith("> ") or (steps and steps[-1].command.endswith("\\")):
            steps[-1].command += "\n" + line.removeprefix("> ")
        elif steps:
            steps[-1].shown.append(line)
    return steps


def _bare(line: str) -> str:
    """Without the frame of a table, with single spaces, and with one hash for all."""
    plain = re.sub("[│┃]", " | ", line.translate(_FRAME))
    return " ".join(re.sub(r"\b[0-9a-f]{8}\b", "0a1b2c3d", plain).split())


def _loose(line: str) -> str:
    return r"\s+".join(re.escape(word).replace(r"\.\.\.", ".*?") for word in line.split())
