"""How Kafka's brokers are reached: the URL, the settings, and the driver's errors in our words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    InvalidInput,
    NextupError,
    StorageFull,
)

if TYPE_CHECKING:
    from pathlib import Path

    from nextup.settings_servers import KafkaLog

try:
    from confluent_kafka import KafkaError
except ImportError as missing:
    raise ConfigurationError(
        "Kafka needs its driver.", cure="pip install 'nextup[kafka]'"
    ) from missing

log = logging.getLogger(__name__)

DEFAULT_PORT: Final = 9092
DEFAULT_TOPIC: Final = "events"
LONGEST_TOPIC: Final = 249  # characters, Kafka's own limit
_CLEAN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_ASK_CURE: Final = "Check that the brokers run and that the URL is right; `nextup doctor` shows it."
_SIGN_IN_CURE: Final = "Check NEXTUP_KAFKA__USERNAME and NEXTUP_KAFKA__PASSWORD."


class Address(NamedTuple):
    """Where a log is: `kafka://host:port[,host:port]/topic`."""

    brokers: str  # host:port, joined by commas
    topic: str  # without a tenant's prefix

    def __str__(self) -> str:
        """For people."""
        return f"kafka://{self.brokers}/{self.topic}"


def parse_url(url: str) -> Address:
    """Raises ConfigurationError for what is no such URL, and for a password in it."""
    _, _, rest = url.partition("://")
    hosts, _, topic = rest.partition("/")
    if "@" in hosts:
        raise ConfigurationError(
            "event_log_url: a Kafka URL holds no user or password.",
            cure="Set NEXTUP_KAFKA__USERNAME and NEXTUP_KAFKA__PASSWORD instead.",
        )
    topic = unquote(topic.strip("/")) or DEFAULT_TOPIC
    brokers = [_broker(host.strip()) for host in hosts.split(",") if host.strip()]
    if not brokers:
        raise ConfigurationError(
            "event_log_url: it names no broker.", cure="Write kafka://host:9092/events."
        )
    check_topic(topic)
    return Address(",".join(brokers), topic)


def check_topic(name: str) -> None:
    """Raises ConfigurationError for a name that Kafka would not take."""
    if not name or len(name) > LONGEST_TOPIC or set(name) - _CLEAN or name in {".", ".."}:
        raise ConfigurationError(
            f"'{name}' cannot be a topic's name.",
            cure=f"Use up to {LONGEST_TOPIC} letters, digits, '.', '_' and '-'.",
        )


def _broker(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):  # no port, or an IPv6 address without one
        return f"{host}:{DEFAULT_PORT}"
    if not name or not port.isdecimal():
        raise ConfigurationError(
            f"event_log_url: '{host}' is no broker.", cure="Write kafka://host:9092/events."
        )
    return host


class KafkaClient:
    """Makes producers, consumers and administrators, and explains what they say.

    librdkafka tells why a connection fails only by a callback, so the last reason is kept for
    the error that follows.
    """

    def __init__(self, address: Address, settings: KafkaLog, home: Path) -> None:
        self.address = address
        self.timeout = settings.timeout_seconds
        self._common: dict[str, Any] = {
            "bootstrap.servers": address.brokers,
            "client.id": "nextup",
            "allow.auto.create.topics": False,
            "socket.timeout.ms": _milliseconds(max(1.0, settings.timeout_seconds)),
            "socket.connection.setup.timeout.ms": _milliseconds(max(1.0, settings.timeout_seconds)),
            "socket.keepalive.enable": True,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,  # so that a restarted broker is found at once
            "log_level": 0,  # what matters comes as an error, and is told as one
            "error_cb": self._remember,
            **_security(settings, home),
        }
        self._reason: KafkaError | None = None

    def configuration(self, **special: Any) -> dict[str, Any]:
        """What every client needs, and what this one does: keys with `_` for `.`."""
        return self._common | {key.replace("_", "."): value for key, value in special.items()}

    def explain(self, error: KafkaError | None, doing: str) -> NextupError:
        """An error of the driver, or its silence, in our words."""
        code = None if error is None else error.code()
        reason = error
        if (
            code in (None, KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT)
            and self._reason
        ):
            reason = self._reason
        said = _said(reason) if reason is not None else "no answer"
        if reason is not None:
            code = reason.code()
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            return InvalidInput("An event is larger than the brokers take.")
        if code == KafkaError.KAFKA_STORAGE_ERROR:
            return StorageFull(
                f"{self.address} cannot write: {said}.", cure="See to the brokers' disks."
            )
        return BackendUnavailable(f"{self.address} {doing}: {said}.", cure=_cure(code))

    def forget_reason(self) -> None:
        """It answered: what went wrong before is past."""
        self._reason = None

    def _remember(self, error: KafkaError) -> None:
        if (
            error.code() != KafkaError._ALL_BROKERS_DOWN or self._reason is None
        ):  # the least precise one
            self._reason = error
        log.debug("%s: %s", self.address, error)


def _cure(code: int | None) -> str:
    if code in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return _SIGN_IN_CURE
    if code in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    ):
        return "Give the user the right to create, read and write the topics and groups."
    if code in (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    ):
        return "`nextup topics create` makes the topic."
    if code == KafkaError._SSL:
        return "Check kafka.security and kafka.ca_file."
    if code == KafkaError.INVALID_REPLICATION_FACTOR:
        return "Set kafka.replication to no more than there are brokers."
    return _ASK_CURE


def _said(error: KafkaError) -> str:
    """The driver's sentence, without its prefixes of threads and clients."""
    text = error.str().strip().splitlines()[0] if error.str() else error.name()
    return text.rpartition("]: ")[2].partition(" (after ")[0].rstrip(".")


def _security(settings: KafkaLog, home: Path) -> dict[str, Any]:
    options: dict[str, Any] = {"security.protocol": settings.security}
    if settings.security.startswith("sasl"):
        if not settings.username:
            raise ConfigurationError("kafka.username is missing.", cure=_SIGN_IN_CURE)
        options |= {
            "sasl.mechanism": settings.mechanism,
            "sasl.username": settings.username,
            "sasl.password": _password(settings, home),
        }
    if settings.security.endswith("ssl"):
        files = {
            "ssl.ca.location": settings.ca_file,
            "ssl.certificate.location": settings.certificate_file,
            "ssl.key.location": settings.key_file,
        }
        for option, file in files.items():
            if file:
                options[option] = str(_existing(home / file))
        if settings.key_password:
            options["ssl.key.password"] = settings.key_password
    return options


def _password(settings: KafkaLog, home: Path) -> str:
    if settings.password_file:
        return _existing(home / settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    return settings.password


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise ConfigurationError(f"There is no file {file}.", cure="See the section [kafka].")
    return file


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
