"""The papers of an imported data set: where it came from, and how it stood the checks."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nextup.ports.files import Files

MANIFEST: Final = "_manifest.json"
VALIDATION: Final = "_validation.json"


@dataclass(slots=True)
class ManifestFile:
    """One file of a data set."""

    name: str
    bytes: int
    rows: int
    sha256: str


@dataclass(slots=True)
class Manifest:
    """A data set and its files. Times are ISO 8601, UTC."""

    dataset: str
    url: str | None  # where it was downloaded from
    path: str  # where it was read from
    downloaded_at: str | None
    imported_at: str
    complete: bool = False  # False: the import was interrupted; running it again resumes
    files: list[ManifestFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    decisions: dict[str, str] = field(default_factory=dict)  # what a rerun must decide alike


def slug(text: str) -> str:
    """The text as part of a name: small letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "data"


def write_manifest(files: Files, folder: str, manifest: Manifest) -> None:
    """Put it into the folder, in the place of an older one."""
    _write(files, f"{folder}/{MANIFEST}", asdict(manifest))


def read_manifest(files: Files, folder: str) -> Manifest | None:
    """The folder's manifest; None if there is none, or none that can be read."""
    name = f"{folder}/{MANIFEST}"
    if not files.exists(name):
        return None
    with files.open(name) as stream:
        content = stream.read()
    try:
        raw = json.loads(content)
        return Manifest(**{**raw, "files": [ManifestFile(**one) for one in raw["files"]]})
    except (ValueError, TypeError, KeyError):  # of an older version, or damaged
        return None


def write_validation(files: Files, folder: str, report: dict[str, Any]) -> None:
    """Put the counts of an import beside its manifest."""
    _write(files, f"{folder}/{VALIDATION}", report)


def _write(files: Files, name: str, content: dict[str, Any]) -> None:
    with files.create(name) as stream:
        stream.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
