"""What servers are made of, fetched once into a cache outside the repository.

Debian packages come from the system's own package manager, jars through Maven and Go programs
through Go, each with the machine's own settings. Two processes that need the same thing wait for
each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CACHE = Path(
    os.environ.get("NEXTUP_STACK_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nextup" / "stack"
)
REQUIREMENTS = Path(__file__).parents[1] / "requirements"
LAST_LINES = 15  # of a failed command's output, in the error

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>nextup.stack</groupId><artifactId>{name}</artifactId><version>1</version>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
DEPENDENCY = """    <dependency>
      <groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version>
    </dependency>"""


@cache
def versions() -> dict[str, Any]:
    """The pins."""
    return tomllib.loads((Path(__file__).parent / "versions.toml").read_text())


def debian(name: str, *, program: str) -> Path:
    """The path of a program, from the named group of Debian packages if it is missing.

    They are installed only by root on a machine that has `apt-get`, after saying so.
    """
    found = shutil.which(program, path=_path())
    if found is None:
        packages: list[str] = versions()["debian"][name]
        cure = f"apt-get install {' '.join(packages)}"
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise Unavailable(f"{program} is not installed; on Debian: {cure}")
        with _alone("apt"):
            found = shutil.which(program, path=_path())
            if found is None:
                say(f"installing {' '.join(packages)} ...")
                _install(packages)
                found = shutil.which(program, path=_path())
    if found is None:
        raise Unavailable(f"{program} is missing although its package is installed.")
    return Path(found)


def jars(name: str) -> Path:
    """A folder with the jars of a server and all that they need."""
    folder = CACHE / "jars" / f"{name}-{_fingerprint(versions()['jars'][name]['artifacts'])}"
    with _alone(f"jars-{name}"):
        if not folder.exists():
            say(f"fetching the jars of {name} ...")
            _copy_jars(name, folder)
    return folder


def go_program(name: str) -> Path:
    """A program built from a Go module."""
    module: str = versions()["go"][name]
    program = CACHE / "go" / f"{name}-{module.rpartition('@')[2]}"
    with _alone(f"go-{name}"):
        if not program.exists():
            go = debian("go", program="go")
            say(f"building {name} ...")
            making = program.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            run([go, "install", module], {"GOBIN": str(making)})
            built = next(making.iterdir())
            built.rename(program)
            making.rmdir()
    return program


def python_environment(name: str) -> Path:
    """An environment of its own with what `requirements/<name>.txt` pins; returns its programs'
    folder."""
    pins = REQUIREMENTS / f"{name}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = CACHE / "python" / f"{name}-{version}-{_fingerprint([pins.read_text()])}"
    with _alone(f"python-{name}"):
        if not (folder / "ready").exists():
            say(f"installing {name} ...")
            shutil.rmtree(folder, ignore_errors=True)
            _install_pins(folder, pins)
            (folder / "ready").touch()
    return folder / "bin"


def made_once(name: str, pins: Sequence[str], make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, as long as the pins stay the same."""
    folder = CACHE / name / _fingerprint(pins)
    with _alone(name):
        if not folder.exists():
            making = folder.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            make(making)
            making.rename(folder)
    return folder


def java() -> Path:
    """A Java runtime of version 17 or newer."""
    return debian("java", program="java")


def _copy_jars(name: str, folder: Path) -> None:
    maven = debian("maven", program="mvn")
    java()
    pins = versions()["jars"][name]
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    dependencies = "\n".join(DEPENDENCY.format(*pin.split(":")) for pin in pins["artifacts"])
    pom = making / "pom.xml"
    pom.write_text(POM.format(name=name, dependencies=dependencies))
    run(
        [
            maven,
            "-B",
            "-q",
            "-f",
            pom,
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={making}",
        ],
        {},
    )
    pom.unlink()
    found = checksum(making)
    if pins.get("sha256", found) != found:
        raise Unavailable(f"The jars of {name} are not those that were pinned: {found}.")
    making.rename(folder)


def checksum(folder: Path) -> str:
    """Of all files in a folder: the sum of their sums, by name."""
    total = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        total.update(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n".encode())
    return total.hexdigest()


def _install_pins(folder: Path, pins: Path) -> None:
    """With uv where it is at hand, which is several times faster."""
    run([sys.executable, "-m", "venv", folder], {})
    python = folder / "bin" / "python"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{_path()}")
    installer: list[str | Path] = [uv, "pip"] if uv else [python, "-m", "pip"]
    where: list[str | Path] = ["--python", python] if uv else []
    run([*installer, "install", *where, "--quiet", "--require-hashes", "-r", pins], {})


def _install(packages: Sequence[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], quiet)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], quiet)


def run(command: Sequence[str | Path], environment: dict[str, str]) -> None:
    """A short command without its output; raises Unavailable with its last lines if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise Unavailable(f"`{' '.join(map(str, command[:3]))}` failed:\n{last}")


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One process at a time, on this machine."""
    locks = CACHE / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fingerprint(pins: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(pins).encode()).hexdigest()[:12]


def _path() -> str:
    """Where programs lie: also where Debian puts PostgreSQL's, which are in nobody's PATH."""
    postgresql = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return os.pathsep.join([*map(str, postgresql), os.environ.get("PATH", ""), "/usr/sbin"])


def say(text: str) -> None:
    """Tell whoever waits."""
    print(f"stack: {text}", file=sys.stderr, flush=True)
