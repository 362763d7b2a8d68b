"""Write down what an image consists of: `/usr/share/nextup/bom.cdx.json`, in CycloneDX.

    bill_of_materials.py NAME FOLDER...

A folder is an environment of Python or one of jars. Debian's packages are listed, too. Their
licences' texts stay where they came: in each distribution's `.dist-info`, in the jars' `META-INF`,
and in `/usr/share/doc/*/copyright`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TO = Path("/usr/share/nextup/bom.cdx.json")
DPKG = Path("/var/lib/dpkg/status")
JAR = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.+-]*)\.jar$")
LICENCE = "License :: OSI Approved :: "


def components(folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Everything in the folders, and Debian's packages."""
    for folder in folders:
        for place in sorted(folder.glob("lib/python3*/site-packages")):
            yield from python_packages(place)
        for jar in sorted(folder.glob("*.jar")):
            yield described_jar(jar)
    yield from debian_packages()


def python_packages(place: Path) -> Iterator[dict[str, Any]]:
    """Distributions in an environment."""
    for found in sorted(distributions(path=[str(place)]), key=lambda one: one.name.lower()):
        name = re.sub(r"[-_.]+", "-", found.name).lower()
        yield _component(f"pkg:pypi/{name}@{found.version}", found.name, found.version) | _licences(
            found.metadata
        )


def described_jar(jar: Path) -> dict[str, Any]:
    """A jar, by what Maven wrote into it, or else by its name."""
    named = JAR.match(jar.name)
    name, version = (named["name"], named["version"]) if named else (jar.stem, "")
    group = ""
    with zipfile.ZipFile(jar) as archive:
        texts = [one for one in archive.namelist() if one.endswith("/pom.properties")]
        if len(texts) == 1:  # of several, any could be what was put into it
            said = dict(
                line.strip().split("=", 1)
                for line in archive.read(texts[0]).decode().splitlines()
                if "=" in line and not line.startswith("#")
            )
            group = said.get("groupId", "")
            name, version = said.get("artifactId", name), said.get("version", version)
    checksum = hashlib.sha256(jar.read_bytes()).hexdigest()
    return _component(f"pkg:maven/{group or '-'}/{name}@{version}", name, version) | {
        "hashes": [{"alg": "SHA-256", "content": checksum}]
    }


def debian_packages() -> Iterator[dict[str, Any]]:
    """Those that the system's package manager knows; none where it is another system."""
    text = DPKG.read_text() if DPKG.exists() else ""
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture): (.+)$", paragraph, re.M))
        if len(fields) == 3:
            name, version = fields["Package"], fields["Version"]
            yield _component(
                f"pkg:deb/debian/{name}@{version}?arch={fields['Architecture']}", name, version
            )


def _component(purl: str, name: str, version: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _licences(metadata: Any) -> dict[str, Any]:
    expression = metadata.get("License-Expression")
    if expression:
        return {"licenses": [{"expression": expression}]}
    said = [one for one in metadata.get_all("Classifier") or () if one.startswith("License ::")]
    names = [one.removeprefix(LICENCE).rpartition(" :: ")[2] for one in said]
    if not names and (text := (metadata.get("License") or "").strip()):
        names = [text.splitlines()[0]]
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def main() -> None:
    """Write the file."""
    name, *folders = sys.argv[1:]
    unique = {one["bom-ref"]: one for one in components([Path(folder) for folder in folders])}
    TO.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": f"nextup/{name}"}},
        "components": list(unique.values()),
    }
    TO.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{len(unique)} components in {TO}")


if __name__ == "__main__":
    main()
