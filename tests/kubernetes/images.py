"""The platform's image in two versions, built from the project's own Dockerfile, and others that
the tests need."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deploy.compose import engine

if TYPE_CHECKING:
    from stack.servers.kubernetes import Kubernetes

REPOSITORY = "localhost/nextup"
DATABASE = "postgresql"
NEXT = """FROM {now}
USER 0
RUN cd /opt/nextup/lib/python3*/site-packages/nextup \\
 && sed -i 's/^__version__ = .*/__version__ = "0.1.0+next"/' __init__.py \\
 && rm __pycache__/__init__.*  # bytecode of images is not compared with its source
USER 10001:10001
"""
POSTGRESQL = """FROM {debian}
RUN usermod --uid 999 postgres && groupmod --gid 999 postgres
"""


def load_platform(cluster: Kubernetes) -> None:
    """`now`, and `next`, which differs in what it says its version is."""
    now, following = f"{REPOSITORY}:now", f"{REPOSITORY}:next"
    engine.podman("tag", engine.build("nextup"), now)
    _build(following, NEXT.format(now=now))
    _load(cluster, now, following)


def load_database(cluster: Kubernetes) -> None:
    """Debian's PostgreSQL, run as the public image runs it."""
    name = f"{REPOSITORY}:{DATABASE}"
    _build(name, POSTGRESQL.format(debian=engine.stand_in("debian")))
    _load(cluster, name)


def _build(name: str, recipe: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(recipe)
        engine.run("buildah", "build", "--quiet", "--layers", "--tag", name, folder)


def _load(cluster: Kubernetes, *images: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "images.tar")
        engine.podman("save", "--quiet", "--multi-image-archive", "--output", archive, *images)
        cluster.load(archive)
