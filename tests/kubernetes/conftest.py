"""A real cluster, the servers beside it, and the platform's image in two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stack.kubernetes.configuration import HOST
from tests.kubernetes.images import load_platform
from tests.kubernetes.release import Namespace
from tests.servers import own_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stack.servers.kubernetes import Kubernetes

READS_DATA = "NEXTUP_EVENT_LOG_URL", "NEXTUP_CATALOG_URL", "NEXTUP_CONTROL_URL"
READS_STATE = "NEXTUP_RECOMMENDATION_STORE_URL", "NEXTUP_ONLINE_STATE_URL"


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[..., object]]:
    """Starts servers, of which the cluster must be the first: it makes the bridge."""
    with own_servers() as start:
        yield start


@pytest.fixture(scope="session")
def cluster(servers: Callable[..., Kubernetes]) -> Kubernetes:
    """A cluster that has the image in all its versions."""
    cluster = servers("kubernetes")
    load_platform(cluster)
    return cluster


@pytest.fixture(scope="session")
def urls(cluster: Kubernetes, servers: Callable[..., object]) -> Mapping[str, str]:
    """What the chart's Secret says: PostgreSQL and Redis where pods reach them."""
    postgresql, redis = (
        servers(name, before=lambda server: setattr(server, "host", HOST))
        for name in ("postgresql", "redis")
    )
    return dict.fromkeys(READS_DATA, postgresql.url) | dict.fromkeys(READS_STATE, redis.url)  # type: ignore[attr-defined]


@pytest.fixture
def namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """One of the test's own, whose pods must satisfy Pod Security `restricted`."""
    name = request.node.name.partition("[")[0].replace("_", "-")[:40].strip("-")
    with Namespace.made(cluster, name) as namespace:
        yield namespace
