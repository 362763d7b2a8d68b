"""Redis, PostgreSQL and Cassandra over TLS with a certificate that only its own file vouches for.
(Kafka's is in `test_kafka.py`.)"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from redis import Redis
from stack.processes import free_port
from tests.contract.backends import Place
from tests.servers import SHARED, Backend, reach
from tests.tls import certificate

from nextup.domain.errors import BackendUnavailable
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stack.server import Server

pytestmark = pytest.mark.timeout(900)

POSTGRESQL_USER = "postgres"  # as whom it runs where root starts it
A_LIST = PublishedList("ada", (Scored("i", 0.5, "als"),))


def assert_works(place: Place) -> None:
    """Lists go there and come back."""
    store = place.recommendation_store()
    assert store.write("g", [A_LIST]) == 1
    store.switch("g")
    assert store.read("ada") == A_LIST
    place.clean()


def assert_refused(place: Place) -> None:
    """In words about the certificate, without the password."""
    with pytest.raises(BackendUnavailable) as refused:
        place.recommendation_store().read("ada")
    said = f"{refused.value} {refused.value.cure}"
    assert "certificate" in said.lower()
    assert str(urlsplit(place.url).password) not in said
    place.close()


def test_redis(private_server: Callable[..., Server], tmp_path: Path) -> None:
    """`rediss://` believes whom connections.ca_file names, and nobody else."""
    redis = private_server("redis")
    signed, key = certificate(redis.folder)
    port = free_port()
    with Redis.from_url(redis.url) as client:
        client.config_set("tls-cert-file", str(signed))
        client.config_set("tls-key-file", str(key))
        client.config_set("tls-ca-cert-file", str(signed))
        client.config_set("tls-auth-clients", "no")
        client.config_set("tls-port", port)
    url = f"rediss://:{urlsplit(redis.url).password}@127.0.0.1:{port}/0"
    assert_works(Place(url, tmp_path, more={"connections": {"ca_file": str(signed)}}))
    assert_refused(Place(url, tmp_path))


def test_postgresql(private_server: Callable[..., Server], tmp_path: Path) -> None:
    """The driver's own options in the URL say whom to believe."""
    server = private_server("postgresql")
    signed, key = certificate(server.folder)
    key.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(key, POSTGRESQL_USER)
    with psycopg.connect(server.url, autocommit=True) as connection:
        for name, value in {"ssl_cert_file": signed, "ssl_key_file": key, "ssl": "on"}.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        connection.execute("SELECT pg_reload_conf()")
    url = f"{server.url}?sslmode=verify-full&sslrootcert="
    assert_works(Place(f"{url}{signed}", tmp_path))
    (tmp_path / "other").mkdir()
    stranger, _ = certificate(tmp_path / "other")
    assert_refused(Place(f"{url}{stranger}", tmp_path))


def test_cassandra(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With `cassandra.tls` it is spoken to in TLS; cassandra.ca_file says whom to believe."""
    if not reach(request, Backend("cassandra")).how.endswith("started here"):
        pytest.skip("who signed the certificate of a server that was there already is not known")
    running = request.config.stash[SHARED].get("cassandra")
    signed = f"{running.folder}/ca.pem"
    options: dict[str, Any] = {"tls": True, "timeout_seconds": 10.0}
    assert_works(Place(running.url, tmp_path, "tls", {"cassandra": options | {"ca_file": signed}}))
    assert_refused(Place(running.url, tmp_path, "tls", {"cassandra": options}))
