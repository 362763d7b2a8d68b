"""The jars that Spark needs beside its own: fetched once, into a cache, through the machine's own
Maven and its settings. `spark_connectors.toml` names them, with their checksums."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import tomllib
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nextup.domain.errors import BackendUnavailable, ConfigurationError, CorruptData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LOG: Final = logging.getLogger(__name__)
_FETCH_SECONDS: Final = 900.0  # a slow registry may take that long for 25 MB
_LAST_LINES: Final = 8  # of what Maven says, in the error

_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>nextup</groupId><artifactId>spark-connectors</artifactId><version>1</version>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY: Final = """    <dependency>
      <groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>"""


class Pins(NamedTuple):
    """What fits together."""

    spark: str  # the version of PySpark
    jars: Mapping[str, str]  # SHA-256 by Maven coordinates

    def files(self) -> dict[str, str]:
        """SHA-256 by the name of the jar."""
        named = (coordinates.split(":") for coordinates in self.jars)
        return {
            f"{artifact}-{version}.jar": checksum
            for (_, artifact, version), checksum in zip(named, self.jars.values(), strict=True)
        }


def pins(*, s3: bool = False) -> Pins:
    """What `spark_connectors.toml` says; with `s3`, what a lake there needs as well."""
    content = _content()
    return Pins(content["spark"], content["jars"] | (content["s3"] if s3 else {}))


def _content() -> dict[str, Any]:
    file = resources.files("nextup.adapters.engine") / "spark_connectors.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def connector_jars(folder: str = "", *, s3: bool = False) -> Sequence[Path]:
    """The jars in the folder; without one those of the cache, fetched if they are not there yet.
    What only a lake on S3 needs is left out without `s3`.

    Raises ConfigurationError where there is no Maven to fetch them, or no jar in the folder.
    """
    if not folder:
        return sorted(fetch_connectors(s3=s3).glob("*.jar"))
    found = sorted(Path(folder).expanduser().glob("*.jar"))
    if not found:
        raise ConfigurationError(
            f"spark.connectors: there is no jar in {folder}.",
            cure="Empty it, and the jars are fetched; or copy them there.",
        )
    for_s3 = set() if s3 else pins(s3=True).files().keys() - pins().files().keys()
    return [jar for jar in found if jar.name not in for_s3]


def fetch_connectors(*, s3: bool = False) -> Path:
    """The folder of the cache with all of the jars; what is there already is not fetched again."""
    wanted = pins(s3=s3)
    fingerprint = hashlib.sha256(repr(sorted(wanted.jars.items())).encode()).hexdigest()[:12]
    folder = _cache() / f"connectors-{wanted.spark}-{fingerprint}"
    if folder.exists():
        return folder
    with _alone(folder):
        if not folder.exists():
            _fetch(wanted, folder)
    return folder


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "nextup" / "spark"


def _fetch(wanted: Pins, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(
            "The connectors of Spark are not there, and Maven is not installed to fetch them.",
            cure="On Debian: apt-get install maven; or copy the jars of another machine into a "
            "folder and name it in spark.connectors.",
        )
    _LOG.warning("Fetching the connectors of Spark through Maven, once, into %s.", folder)
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    pom = making / "pom.xml"
    dependencies = "\n".join(_DEPENDENCY.format(*one.split(":")) for one in wanted.jars)
    pom.write_text(_POM.format(dependencies=dependencies), encoding="utf-8")
    _run_maven(maven, "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={making}")
    pom.unlink()
    _verify(wanted, making)
    making.rename(folder)


def _run_maven(*command: str) -> None:
    program, *arguments = command
    try:
        done = subprocess.run(  # noqa: S603 - the machine's own Maven, with our arguments
            [program, "-B", "-q", "-Dstyle.color=never", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BackendUnavailable(
            f"Maven did not fetch the connectors of Spark in {_FETCH_SECONDS:.0f} s.",
            cure="See whether the repository in Maven's settings.xml answers, and run it again.",
        ) from error
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise BackendUnavailable(
            f"Maven cannot fetch the connectors of Spark:\n{last}",
            cure="Maven's settings.xml says where it looks; `nextup spark fetch` tries again.",
        )


def _verify(wanted: Pins, folder: Path) -> None:
    """Raise CorruptData where a jar is not the one that was tried."""
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*.jar")}
    if wrong := {name for name, _ in wanted.files().items() ^ found.items()}:
        shutil.rmtree(folder, ignore_errors=True)
        raise CorruptData(
            f"The repository gave other jars than those that are pinned: {', '.join(sorted(wrong))}"
            ".",
            cure="Have a look at the repository in Maven's settings.xml; nothing was kept.",
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, on this machine."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
