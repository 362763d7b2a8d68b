"""Podman as the tests use it: with a storage of its own, on a base of its own.

There is no registry to pull from, so a base image is made of Debian's packages, Nextup's own images
are built on it from the Dockerfile that everybody uses, and stand-ins for public images are built
for the same servers. All of it is kept in the stack's cache, and built again only where a file
changed. It needs root, and installs podman where it is missing, after saying so.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack.errors import Unavailable
from stack.fetching import CACHE, debian, go_program, jars, python_environment
from stack.servers.mongodb import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[3]
STANDINS = ROOT / "tests" / "deploy" / "standins"
FOLDER = Path(os.environ.get("NEXTUP_TEST_CONTAINERS") or CACHE / "containers")
BASE, JAVA = "localhost/nextup-test-base:latest", "localhost/nextup-test-java:latest"
IMAGES, VERSION = "localhost/nextup", "test"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BASE_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"

AS_BUILT = bool(os.environ.get("NEXTUP_TEST_AS_BUILT"))  # while one works on the tests alone

CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]  # cannot be raised in a container
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
FROM_JARS = {"kafka": "kafka", "hadoop": "hdfs", "cassandra": "cassandra", "mongodb": "mongodb"}


def environment() -> dict[str, str]:
    """What makes podman and buildah use the storage and the settings of the tests."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in (("containers.conf", CONTAINERS), ("storage.conf", STORAGE)):
        (FOLDER / name).write_text(text.format(folder=FOLDER))
    return os.environ | {
        "CONTAINERS_CONF": str(FOLDER / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(FOLDER / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "NEXTUP_IMAGES": IMAGES,
        "NEXTUP_VERSION": VERSION,
    }


def require() -> None:
    """Raises Unavailable where containers cannot be run, with the cure."""
    if os.geteuid() != 0:
        raise Unavailable("The containers of the tests need root.")
    debian("containers", program="podman")
    debian("containers", program="buildah")
    debian("debootstrap", program="debootstrap")


def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What it prints; raises with what it complained about."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**environment(), **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-4000:]
        raise RuntimeError(
            f"{' '.join(map(str, command[:6]))} ended with {done.returncode}: {said}"
        )
    return done.stdout


def podman(*arguments: str | Path) -> str:
    """One of podman's commands."""
    return run("podman", *arguments)


def healthy(container: str) -> bool:
    """Ask its health check now: nobody does so by the clock where there is no systemd."""
    asked = subprocess.run(
        ["podman", "healthcheck", "run", container],
        env=environment(),
        capture_output=True,
        check=False,
    )
    return asked.returncode == 0


def build(target: str) -> str:
    """One of Nextup's own images; returns its name."""
    make_base()
    if target not in {"nextup", "mlflow"}:
        _connectors()
    name = f"{IMAGES}/{target}:{VERSION}"
    if AS_BUILT:
        return name
    _buildah(name, ROOT, "deploy/images/Dockerfile", "--target", target)
    return name


def stand_in(name: str) -> str:
    """One of the images of tests/deploy/standins; returns its name."""
    image = f"localhost/nextup-test-{name}:latest"
    if AS_BUILT:
        return image
    make_base()
    if name in FROM_JARS:
        stand_in("java")
    contexts = {"jars": jars(FROM_JARS[name])} if name in FROM_JARS else {}
    if name == "mongodb":
        contexts["program"] = _mongodb_program()
    if name == "statsd":
        contexts["program"] = _statsd_program()
    options = [f"--build-context={key}={path}" for key, path in contexts.items()]
    _buildah(image, STANDINS, f"{name}.Dockerfile", f"--build-arg=JAVA={JAVA}", *options)
    return image


def make_base() -> None:
    """Debian with Python, as the machine's own packages have it."""
    require()
    known = subprocess.run(["podman", "image", "exists", BASE], env=environment(), check=False)
    if known.returncode == 0:
        return
    tree = FOLDER / "base"
    shutil.rmtree(tree, ignore_errors=True)
    wanted = "$(REPO_URI) $(RELEASE)"
    said = run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages")
    mirror, suite = next(line.split() for line in said.splitlines() if "/debian/ " in f"{line} ")
    run("debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", suite, tree, mirror)
    shutil.rmtree(tree / "var/cache/apt", ignore_errors=True)
    archive = FOLDER / "base.tar"
    run("tar", "-C", tree, "--one-file-system", "-cf", archive, ".")
    podman("import", "-q", archive, BASE)
    archive.unlink()
    shutil.rmtree(tree)


def _buildah(name: str, context: Path, file: str, *options: str) -> None:
    told_in_secret()
    secret = [f"--secret=id=pip,src={FOLDER / 'pip.conf'}"]
    secret += [f"--secret=id=ca,src={CERTIFICATES}"] if CERTIFICATES.exists() else []
    run(
        *("buildah", "build", "--quiet", "--layers", "--format", "docker", "--network", "host"),
        *(f"--build-arg=BASE={BASE}", *secret, *options, "--file", file, "--tag", name, "."),
        cwd=context,
    )


def _connectors() -> None:
    """As `make images` does."""
    run("make", "--quiet", "build/connectors", cwd=ROOT)


def _mongodb_program() -> Path:
    """The stack's own server, which listens to the whole network of its container."""
    folder = FOLDER / "mongodb"
    folder.mkdir(exist_ok=True)
    source = folder / "Server.java"
    text = PROGRAM.replace('"127.0.0.1"', '"0.0.0.0"')
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
        compiler = debian("jdk", program="javac")
        run(compiler, "--release", "17", "-cp", f"{jars('mongodb')}/*", "-d", folder, source)
    return folder


def _statsd_program() -> Path:
    """The stack's own, under the name that its image gives it."""
    folder = FOLDER / "statsd"
    folder.mkdir(exist_ok=True)
    shutil.copy(go_program("statsd_exporter"), folder / "statsd_exporter")
    return folder


def compose_program() -> Path:
    """podman-compose, in an environment of its own."""
    return python_environment("compose") / "podman-compose"


def inspect(thing: str, *, kind: str = "image") -> Any:
    """What podman knows of it."""
    return json.loads(podman(kind, "inspect", thing))[0]


def folders_of(image: str) -> Sequence[str]:
    """Where the storage keeps its layers, the base first."""
    data = inspect(image)["GraphDriver"]["Data"]
    return [*reversed(data.get("LowerDir", "").split(":")), data["UpperDir"]]


def told_in_secret() -> str:
    """A word that every build gets as a secret: in the pip.conf, which pip reads."""
    file = FOLDER / "pip.conf"
    if not file.exists():
        file.write_text(f"# {secrets.token_hex(20)}\n")
    return file.read_text().strip("# \n")


def history(image: str) -> Sequence[str]:
    """The commands that made it."""
    return podman("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).splitlines()
