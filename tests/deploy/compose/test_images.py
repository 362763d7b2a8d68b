"""The images themselves: what they carry, as whom they run, and how they start and end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from stack.processes import free_port
from tests.deploy.compose import engine

TARGETS = ("nextup", "spark", "airflow", "notebooks", "mlflow")
LARGEST = {  # bytes over the base image, with a tenth to spare: what is more is a mistake
    "nextup": 790_000_000,
    "spark": 1_840_000_000,
    "airflow": 2_150_000_000,
    "notebooks": 2_500_000_000,
    "mlflow": 1_200_000_000,
}
STARTS = {  # what each image is there for, as far as it goes without other servers
    "nextup": "nextup --help",
    "spark": "java -version && python3 -c 'import pyspark.sql'",
    "airflow": "python3 -c 'import airflow.providers.celery.executors.celery_executor'",
    "notebooks": "jupyter lab --version",
    "mlflow": "mlflow --version",
}
SECRET = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|_authToken|://[^/\s:@]+:[^/\s@]+@")


@pytest.fixture(scope="module", params=TARGETS)
def image(request: pytest.FixtureRequest) -> str:
    """Each of them."""
    return engine.build(request.param)


def shell(image: str, script: str) -> str:
    """What a shell in a new container prints, with nothing to write to but /tmp."""
    return engine.podman(
        *("run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop=all"),
        *("--network=none", "--entrypoint=sh", image, "-c", script),
    )


def test_nobody_is_root(image: str) -> None:
    """The user is not root, may not become it, and cannot change what is installed."""
    assert engine.inspect(image)["Config"]["User"] == "10001:10001"
    assert shell(image, "id -u").strip() == "10001"
    written = shell(image, "find /opt /usr /etc -xdev -writable -not -type l 2>/dev/null | head")
    assert not written.strip()


def test_no_secret_in_a_layer(image: str) -> None:
    """What the build was told in secret is in no file of any layer, no .env and no repository is;
    neither its history nor its environment has a password."""
    layers = engine.folders_of(image)
    assert len(layers) > 2
    found = subprocess.run(
        ["grep", "-rlF", engine.told_in_secret(), *layers],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")  # grep's word for none
    names = {".env", ".git", ".netrc", "pip.conf"}
    files = (
        Path(at, name)
        for layer in layers
        for at, folders, others in os.walk(layer)
        for name in (*folders, *others)
    )
    assert not [str(one) for one in files if one.name in names or one.match("run/secrets/*")]
    assert not [one for one in engine.history(image) if SECRET.search(one.encode())]
    environment = engine.inspect(image)["Config"]["Env"]
    assert not [one for one in environment if re.search(r"PASSWORD|TOKEN|SECRET", one)]


def test_licences(image: str) -> None:
    """Their texts are in it: each Debian package's, and those that distributions come with."""
    script = """
        for one in $(dpkg-query --show --showformat '${Package} '); do
          [ -e /usr/share/doc/$one/copyright ] || echo "deb $one"
        done
        for one in /opt/*/lib/python3*/site-packages/*.dist-info; do
          ls $one $one/licenses 2> /dev/null | grep -qiE 'licen[cs]e|copying|notice' \
            && echo "with $one" || echo "without $one"
        done
    """
    said = [line.split() for line in shell(image, script).splitlines()]
    texts = [kind for kind, _ in said]
    assert "deb" not in texts, [one for kind, one in said if kind == "deb"]
    assert texts.count("with") >= 0.9 * len(texts) > 30


def test_what_was_stripped_still_loads(image: str) -> None:
    """Each compiled module lost its symbols for debuggers; the loader takes all of them still."""
    script = (
        "import ctypes, os, sys\n"
        "for one in sys.stdin: ctypes.CDLL(one.strip()); print(one, flush=True)\n"
        "os._exit(0)"  # some cannot end in a process that only loaded them
    )
    said = shell(
        image,
        "find /opt/*/lib/python3*/site-packages -name '*.so' -size +100k"
        f" ! -path '*/pyarrow/*' | env PATH=$(ls -d /opt/*/bin | head -1) python3 -c '{script}'",
    )
    assert len(said.split()) > 10


def test_what_is_required_is_there(image: str) -> None:
    """Each distribution has those that it asks for; pins are installed without looking."""
    script = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({one.name: one.requires or [] for one in m.distributions()}))"
    )
    said = shell(image, f"for one in /opt/*/bin/python3; do $one -c '{script}'; done")
    for environment in map(json.loads, said.splitlines()):
        there = {canonicalize_name(name) for name in environment}
        asked = [Requirement(one) for some in environment.values() for one in some]
        missing = {
            canonicalize_name(one.name)
            for one in asked
            if one.marker is None or one.marker.evaluate({"extra": ""})
        } - there
        assert not missing


def test_it_starts(image: str) -> None:
    """What was pinned fits together."""
    name = image.rpartition("/")[2].partition(":")[0]
    assert shell(image, f"export HOME=/tmp; ({STARTS[name]}) > /tmp/said 2>&1 && echo fine").strip()


def test_no_compiler(image: str) -> None:
    """What builds is not in it: no compiler, no cache of packages, no other program's tests."""
    found = shell(
        image,
        "command -v gcc g++ cc make ld;"
        " ls -A /var/lib/apt/lists /var/cache ~root/.cache 2>/dev/null | grep -v :;"
        " find /opt -path '*/site-packages/*/tests/*' ! -type d ! -path '*/nextup/*'; true",
    )
    assert not found.strip()


def test_ask_a_server_that_is_not_there(image: str) -> None:
    """The health check fails where nobody answers."""
    said = shell(image, "python3 /usr/local/lib/nextup/alive.py; echo rc=$?")
    assert said.strip().endswith("rc=1")


def test_what_it_consists_of(image: str) -> None:
    """The bill of materials names every distribution with its version and licence."""
    said = json.loads(shell(image, "cat /usr/share/nextup/bom.cdx.json"))
    parts = {one["name"].lower(): one for one in said["components"]}
    assert said["bomFormat"] == "CycloneDX"
    assert "openssl" in parts or "libssl3" in parts  # Debian's, too
    python = [one for one in said["components"] if one["purl"].startswith("pkg:pypi/")]
    told = [one for one in python if one.get("licenses")]
    assert len(told) >= 0.9 * len(python) > 30
    if not image.startswith(f"{engine.IMAGES}/mlflow"):
        assert parts["nextup"]["licenses"] == [{"expression": "Apache-2.0"}]


def test_size(image: str) -> None:
    """Nothing got in by mistake."""
    name = image.rpartition("/")[2].partition(":")[0]
    base = engine.inspect(engine.BASE)["Size"]
    size = engine.inspect(image)["Size"] - base
    print(f"{image}: {size / 1e6:.0f} MB over a base of {base / 1e6:.0f} MB")
    assert size < LARGEST[name]


class TestTheApi:
    def test_it_starts_answers_and_ends(self, tmp_path: Path) -> None:
        """On the embedded default, with a read-only root: healthy, a recommendation of what was
        liked, SIGTERM answered within seconds, and nothing lost by a restart."""
        image = engine.build("nextup")
        port = free_port()
        (tmp_path / "nextup.toml").write_text(
            '[access]\nauth = "none"\n[contracts]\nunknown_items = "create"\n'
        )
        tmp_path.chmod(0o755)
        name = f"nextup-test-{port}"
        engine.podman(
            *(
                "run",
                "--detach",
                "--name",
                name,
                "--read-only",
                "--tmpfs",
                "/tmp",
                "--cap-drop=all",
            ),
            *("--security-opt=no-new-privileges", "--init", f"--publish=127.0.0.1:{port}:8000"),
            *("--env=NEXTUP_SERVER__ONLY_HERE=true", "--volume", f"{name}:/platform"),
            *("--volume", f"{tmp_path}/nextup.toml:/platform/nextup.toml:ro", image),
        )
        try:
            wait_healthy(name)
            for number in range(3):
                ask(port, "/v1/events", {"type": "like", "user_id": "ada", "item_id": f"i{number}"})
            engine.podman("stop", "--time", "30", name)
            state = engine.inspect(name, kind="container")["State"]
            assert state["ExitCode"] == 0, engine.podman("logs", name)
            engine.podman("start", name)
            wait_healthy(name)
            assert len(ask(port, "/v1/users/ada/history")["history"]) == 3
            ask(port, "/v1/events", {"type": "like", "user_id": "bob", "item_id": "i0"})
            items = ask(port, "/v1/users/bob/recommendations")["items"]
            assert {one["item_id"] for one in items} == {"i1", "i2"}
        finally:
            engine.podman("rm", "--force", "--volumes", name)
            engine.podman("volume", "rm", "--force", name)


def wait_healthy(container: str) -> None:
    """Until its own health check says so."""
    deadline = time.monotonic() + 300
    while not engine.healthy(container):
        assert time.monotonic() < deadline, engine.podman("logs", container)
        time.sleep(0.5)


def ask(port: int, path: str, body: object = None) -> dict[str, list[dict[str, object]]]:
    """One request to the API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        said: dict[str, list[dict[str, object]]] = json.load(answer)
    return said
