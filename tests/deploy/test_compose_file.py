"""deploy/compose.yaml as it is written; `make test-compose` starts what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nextup.recipes.container_env import with_containers

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "compose.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
PROFILES = (
    "book-platform",
    "movielens-streaming",
    "film-lakehouse",
    "platform-api",
    "rating-service",
)
OURS = "${NEXTUP_IMAGES:-nextup}/"
SPARK = {8081, 4040, 18080}
PUBLISHED = {  # what people who run these systems know
    "book-platform": {8000, *SPARK, 8082, 3000, 9090},
    "movielens-streaming": {8000, 9092, 8085, *SPARK, 8888},
    "film-lakehouse": {8000, 9092, 8080, *SPARK, 8082, 5000, 3000, 9090},
    "rating-service": {5000, 9092, 8085, *SPARK, 3000, 9090},
    "platform-api": {8000, 8082, 3000, 9090},
}
PORT = re.compile(r"\$\{BIND:-127\.0\.0\.1\}:\$\{([A-Z_]+):-(\d+)\}:\d+")
VARIABLE = re.compile(r"\$\{([A-Z_]*(?:PASSWORD|SECRET))\b")
UNCHECKED = {  # small images that come without a shell, and one that its own pages check
    *("statsd-exporter", "postgres-exporter", "redis-exporter", "kafka-ui"),
}


def services_of(profile: str) -> dict[str, dict[str, Any]]:
    """What a profile starts."""
    return {name: one for name, one in SERVICES.items() if profile in one["profiles"]}


def template_of(profile: str) -> dict[str, str]:
    """What `nextup init --recipe` writes into `.env`, before passwords are made up."""
    file = ROOT / "src" / "nextup" / "recipes" / profile.replace("-", "_") / "env.template"
    text = with_containers(profile, file.read_text() if file.exists() else "")
    return dict(one.split("=", 1) for one in text.splitlines() if "=" in one and one[0] != "#")


@pytest.mark.parametrize("profile", PROFILES)
def test_ports(profile: str) -> None:
    """A profile publishes the ports that its users know, on this machine alone, and each can be
    moved in `.env`."""
    template = template_of(profile)
    found = []
    for service in services_of(profile).values():
        for port in service.get("ports", ()):
            said = PORT.fullmatch(port)
            assert said, port
            found.append(int(template.get(said[1], said[2])))
    assert sorted(found) == sorted(PUBLISHED[profile])


@pytest.mark.parametrize("profile", PROFILES)
def test_passwords(profile: str) -> None:
    """`nextup init` makes up every password that a profile's services ask for."""
    wanted = set(VARIABLE.findall(yaml.safe_dump(services_of(profile))))
    passed_on = {"ADMIN_PASSWORD", "REDIS_PASSWORD", "POSTGRES_PASSWORD"}  # to all, used by some
    servers = {"POSTGRES_PASSWORD": "postgres", "REDIS_PASSWORD": "redis"}
    needed = wanted - passed_on
    needed |= {name for name, one in servers.items() if one in services_of(profile)}
    assert needed <= set(template_of(profile))


@pytest.mark.parametrize("name", SERVICES)
def test_each_service(name: str) -> None:
    """It has a health check or a reason, a limit of memory, a way to come back, and an image that
    says its version; ours have nothing to write to but volumes, and no capability."""
    service = SERVICES[name]
    image = service["image"]
    assert service["mem_limit"]
    assert service["restart"] in ("unless-stopped", "no")
    assert re.search(r":\S+$", image)
    assert "latest" not in image
    if image.startswith(OURS):
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["init"]
    else:
        assert "healthcheck" in service or name in UNCHECKED


@pytest.mark.parametrize("profile", PROFILES)
def test_needs(profile: str) -> None:
    """What a service waits for starts in the same profile, or need not."""
    started = services_of(profile)
    for service in started.values():
        for need, how in service.get("depends_on", {}).items():
            assert need in started or how.get("required") is False


def test_hdfs_comes_back() -> None:
    """A NameNode that has blocks leaves its safe mode when a DataNode reports them; since DataNodes
    wait for its health, that must not ask for more than an answer."""
    name, data = (SERVICES[one]["healthcheck"]["test"][-1] for one in ("namenode", "datanode"))
    assert SERVICES["datanode"]["depends_on"] == {"namenode": {"condition": "service_healthy"}}
    assert "Operational" not in name
    assert "Operational" in data
    waiting = [one for one in SERVICES.values() if "namenode" in one.get("depends_on", {})]
    assert all(
        "datanode" in one["depends_on"] for one in waiting if one is not SERVICES["datanode"]
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_memory(profile: str) -> None:
    """All limits of a profile together; they are limits, and most stay far below theirs."""
    units = {"m": 1, "g": 1024}
    total = 0
    for service in services_of(profile).values():
        limit = re.sub(r"^\$\{[A-Z_]+:-(\w+)\}$", r"\1", service["mem_limit"])
        total += int(limit[:-1]) * units[limit[-1]]
    assert total <= 24 * 1024


def test_stand_ins() -> None:
    """They replace images, and nothing that the tests are there to see."""
    text = (ROOT / "deploy" / "compose.tests.yaml").read_text()
    for name, service in yaml.safe_load(text)["services"].items():
        assert name in SERVICES
        assert set(service) <= {"image", "pull_policy", "entrypoint", "environment"}
        assert not SERVICES[name]["image"].startswith(OURS) or set(service) == {"environment"}
