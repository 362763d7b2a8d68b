"""What a `cassandra://` URL says, and what it never tells."""

from __future__ import annotations

import pytest

from nextup.adapters.cassandra_url import PORT, parse
from nextup.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "hosts", "port", "keyspace"),
    [
        ("cassandra://node/reco", ["node"], PORT, "reco"),
        ("cassandra://node:1234/reco", ["node"], 1234, "reco"),
        ("cassandra://a,b,c:9043/reco/", ["a", "b", "c"], 9043, "reco"),
        ("cassandra://user:pw@10.0.0.1,10.0.0.2/reco", ["10.0.0.1", "10.0.0.2"], PORT, "reco"),
    ],
)
def test_where(url: str, hosts: list[str], port: int, keyspace: str) -> None:
    """Some nodes, one port, one keyspace."""
    parts = parse(url)
    assert (parts.hosts, parts.port, parts.keyspace) == (hosts, port, keyspace)


def test_who_asks_is_not_shown() -> None:
    """User and password are read, with their escapes, and stand in no text about the URL."""
    parts = parse("cassandra://ada:p%40ss%3Aword@node/reco")
    assert (parts.user, parts.password) == ("ada", "p@ss:word")
    assert "word" not in repr(parts) + parts.shown
    assert "ada" not in parts.shown


@pytest.mark.parametrize(
    "url",
    [
        "cassandra://",
        "cassandra://node",
        "cassandra:///reco",
        "cassandra://u:s3cret@node/",
        "cassandra://u:s3cret@node/re-co",
        'cassandra://u:s3cret@node/a"b',
        "cassandra://node/" + "k" * 49,
    ],
)
def test_what_cannot_be_read(url: str) -> None:
    """The error says how to write one, and does not repeat what may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        parse(url)
    assert "s3cret" not in str(caught.value)
    assert "cassandra://user:password@host:9042/keyspace" in caught.value.cure
