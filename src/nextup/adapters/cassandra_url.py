"""What a `cassandra://` URL says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from nextup.domain.errors import ConfigurationError

PORT: Final = 9042
_KEYSPACE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,47}")


@dataclass(frozen=True, slots=True)
class CassandraUrl:
    """Where a keyspace is, and who asks."""

    hosts: list[str]  # some of the cluster's; the others are found through them
    port: int
    keyspace: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """For people: without credentials."""
        return f"cassandra://{','.join(self.hosts)}:{self.port}/{self.keyspace}"


def parse(url: str) -> CassandraUrl:
    """Read `cassandra://user:password@host,host:port/keyspace`.

    Raises ConfigurationError, which does not repeat the URL: it may hold a password.
    """
    parts = urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    names, _, port = place.partition(":") if place.rpartition(":")[2].isdigit() else (place, "", "")
    user, _, password = login.partition(":")
    keyspace = parts.path.strip("/")
    hosts = [name for name in names.split(",") if name]
    if not hosts or not _KEYSPACE.fullmatch(keyspace):
        raise ConfigurationError(
            "A Cassandra URL cannot be read.",
            cure="Write cassandra://user:password@host:9042/keyspace.",
        )
    return CassandraUrl(hosts, int(port or PORT), keyspace, unquote(user), unquote(password))
