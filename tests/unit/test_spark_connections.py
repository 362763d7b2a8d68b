"""How Spark is told to reach Kafka and PostgreSQL, in the words of their Java drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nextup.domain.errors import BackendUnavailable, ConfigurationError, InvalidInput
from nextup.settings_servers import KafkaLog

pytest.importorskip("pyspark")

from nextup.adapters.engine.spark_jdbc import explained, jdbc_options
from nextup.adapters.engine.spark_stream_kafka import kafka_options

if TYPE_CHECKING:
    from pathlib import Path


def test_a_password_is_quoted_for_java(tmp_path: Path) -> None:
    """Whatever is in it, it ends where it ends."""
    settings = KafkaLog(security="sasl_plaintext", mechanism="SCRAM-SHA-256", username="ada")
    options = kafka_options("broker:9092", settings, 'a"b\\c; d', tmp_path)
    assert options["kafka.sasl.jaas.config"] == (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="ada" password="a\\"b\\\\c; d";'
    )
    assert options["kafka.security.protocol"] == "SASL_PLAINTEXT"


def test_certificates_travel_as_text(tmp_path: Path) -> None:
    """Executors have no files of ours."""
    for name in ("ca", "certificate", "key"):
        (tmp_path / f"{name}.pem").write_text(f"the {name}")
    settings = KafkaLog(
        security="ssl",
        ca_file="ca.pem",
        certificate_file="certificate.pem",
        key_file="key.pem",
        key_password="secret",
    )
    options = kafka_options("broker:9092", settings, "", tmp_path)
    assert options["kafka.ssl.truststore.certificates"] == "the ca"
    assert options["kafka.ssl.keystore.certificate.chain"] == "the certificate"
    assert options["kafka.ssl.keystore.key"] == "the key"
    assert options["kafka.ssl.key.password"] == "secret"


def test_a_url_in_the_words_of_jdbc() -> None:
    """User and password are apart from the address, options are kept, times are read in UTC."""
    options = jdbc_options("postgresql+psycopg://u%40x:p%2Fw@db/books?sslmode=require")
    assert options["url"] == (
        "jdbc:postgresql://db:5432/books?sslmode=require&options=-c+TimeZone%3DUTC"
    )
    assert (options["user"], options["password"]) == ("u@x", "p/w")


@pytest.mark.parametrize("url", ["", "mysql://host/db", "postgresql:///db", "books"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """With the form to write."""
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        jdbc_options(url)


def test_what_the_server_said() -> None:
    """A refused query is the caller's, everything else the server's; both in its words."""
    stack = "o.p.util.PSQLException: ERROR: column a.deed does not exist\n  Position: 5\n at x.y"
    refused = explained(RuntimeError(stack), "postgresql://u:secret@db/books")
    assert isinstance(refused, InvalidInput)
    assert "column a.deed does not exist" in refused.message
    lost = explained(
        RuntimeError("org.postgresql.util.PSQLException: Connection refused."), "x://h"
    )
    assert isinstance(lost, BackendUnavailable)
    assert "Connection refused" in lost.message
