"""Spark's session from the settings: one per process, shared by whoever opens it, and gone with
its JVM when the last one closes it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import resources
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from nextup.adapters.engine.spark_connect import draw_progress
from nextup.adapters.engine.spark_connectors import connector_jars
from nextup.adapters.engine.spark_s3 import is_on_s3, reach_s3
from nextup.domain.errors import BackendUnavailable, ConfigurationError
from nextup.settings import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from nextup.settings import Settings

_DELTA: Final = "org.apache.spark.sql.delta"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_END_SECONDS: Final = 30.0  # in which a JVM ends that was asked to
_IN_THIS_PROCESS: Final = ("local", "local[")

_lock = threading.RLock()
_shared: _Shared | None = None


class SharedSession(AbstractContextManager["SharedSession"]):
    """One use of the process's session. `spark` has SQL settings and temporary views of its own,
    except on Spark Connect. Whoever opens it closes it; closing twice does nothing."""

    def __init__(self, spark: SparkSession, url: str) -> None:
        self.spark = spark
        self.url = url
        self._open = True

    @property
    def is_remote(self) -> bool:
        """Whether it is Spark Connect: no JVM and no SparkContext here."""
        return self.url.startswith("sc://")

    @property
    def version(self) -> str:
        """Spark's."""
        return str(self.spark.version)

    def close(self) -> None:
        """The last one to close ends Spark and its JVM."""
        with _lock:
            if self._open:
                self._open = False
                _leave()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Shared:
    """The process's session, and how many use it."""

    def __init__(self, url: str, spark: SparkSession) -> None:
        self.url = url
        self.spark = spark
        self.users = 0


def open_session(settings: Settings) -> SharedSession:
    """Spark at `engine_url`; memory and jars are those of whoever in this process came first.

    Raises ConfigurationError where this process already uses another master, or where Java or a
    jar is missing; BackendUnavailable where nobody answers there.
    """
    global _shared  # noqa: PLW0603 - Spark allows one context per process
    url = settings.engine_url
    with _lock:
        if _shared is None:
            _shared = _Shared(url, _start(url, settings))
        elif _shared.url != url:
            raise ConfigurationError(
                f"This process already runs on Spark at {without_credentials(_shared.url)}, and "
                "Spark allows one at a time.",
                cure="Close that platform first, or use another process.",
            )
        _shared.users += 1
        shared = _shared
        spark = shared.spark if url.startswith("sc://") else shared.spark.newSession()
        _set_up(spark, settings)
        if is_on_s3(settings):
            reach_s3(spark, settings)
    return SharedSession(spark, url)


def _leave() -> None:
    global _shared
    assert _shared is not None
    _shared.users -= 1
    if _shared.users == 0:
        ending, _shared = _shared, None
        _end(ending)


def _start(url: str, settings: Settings) -> SparkSession:
    _require_answer(url, settings.connections.connect_seconds)
    builder = SparkSession.builder.appName(f"nextup {settings.tenant}")
    if url.startswith("sc://"):
        remote = _made(builder.remote(url), url)
        if _wants_progress(settings):
            remote.registerProgressHandler(draw_progress)  # type: ignore[arg-type]  # it is called
        return remote
    os.environ["PYSPARK_PYTHON"] = settings.spark.python or sys.executable
    for name, value in properties(settings).items():
        builder = builder.config(name, value)
    return _made(builder.master(url), url)


def _made(builder: Any, url: str) -> SparkSession:
    place = without_credentials(url)
    try:
        with _own_signals():
            made: SparkSession = builder.getOrCreate()
    except ImportError as error:
        raise ConfigurationError(
            f"Spark at {place} needs what is not installed: {error.name}.",
            cure="Spark needs: pip install 'nextup[spark]'.",
        ) from error
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        raise _start_error(error, place) from error
    return made


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ctrl-C stays with whoever has it: PySpark would take it, and end in the middle of work."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _start_error(error: BaseException, place: str) -> ConfigurationError | BackendUnavailable:
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text or isinstance(error, FileNotFoundError):
        return ConfigurationError(
            "Spark's JVM does not start.",
            cure="Spark needs Java 17 or newer: set JAVA_HOME, or on Debian apt-get install "
            "openjdk-17-jre-headless; spark.driver_memory must be there, too.",
        )
    lines = [line for line in text.splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    for line in lines:
        if "Exception: " in line:
            reason = line.rpartition("Exception: ")[2]
            break
    return BackendUnavailable(
        f"Spark at {place} cannot be used: {reason.rstrip('.')}.",
        cure="See whether engine_url names its master, and the settings in [spark] fit it.",
    )


def _require_answer(url: str, seconds: float) -> None:
    """Ask the masters by ourselves: Spark would try for minutes, and then fail in the first job."""
    if not url.startswith(("spark://", "sc://")):
        return
    scheme, _, hosts = url.partition("://")
    for one in hosts.split(","):
        place = urlsplit(f"{scheme}://{one}")
        with suppress(OSError, ValueError):
            port = place.port or (15002 if scheme == "sc" else 7077)
            socket.create_connection((place.hostname or "", port), seconds).close()
            return
    raise BackendUnavailable(
        f"Nobody answers at {without_credentials(url)}.",
        cure="See whether Spark runs there; NEXTUP_ENGINE_URL names it.",
    )


def properties(settings: Settings) -> dict[str, str]:
    """What is decided before the JVM starts, as Spark's own properties."""
    spark = settings.spark
    jars = connector_jars(spark.connectors, s3=is_on_s3(settings))
    found = {
        "spark.driver.memory": spark.driver_memory,
        "spark.driver.maxResultSize": "0",  # touches to train on pass through it, part by part
        "spark.executor.memory": spark.executor_memory,
        "spark.executor.cores": str(spark.executor_cores),
        "spark.ui.enabled": _truth(spark.ui),
        "spark.ui.showConsoleProgress": _truth(_wants_progress(settings)),
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": f"{_DELTA}.catalog.DeltaCatalog",
        "spark.sql.warehouse.dir": str(settings.home / "data" / "spark" / "warehouse"),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_log_settings()}",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    }
    found.update(_optional(settings))
    return found | spark.config


def _optional(settings: Settings) -> Iterator[tuple[str, str]]:
    spark, url = settings.spark, settings.engine_url
    host = spark.driver_host
    if not host and (url.startswith(_IN_THIS_PROCESS) or urlsplit(url).hostname in _LOOPBACK):
        host = "127.0.0.1"
    if host:
        yield "spark.driver.host", host
    if host == "127.0.0.1":
        yield "spark.driver.bindAddress", host
    if spark.max_cores:
        yield "spark.cores.max", str(spark.max_cores)
    if spark.executors:
        yield "spark.executor.instances", str(spark.executors)
    if spark.packages:
        yield "spark.jars.packages", ",".join(spark.packages)
    if spark.event_log_folder:
        yield "spark.eventLog.enabled", "true"
        yield "spark.eventLog.dir", _event_log_folder(settings)


def _event_log_folder(settings: Settings) -> str:
    folder = settings.spark.event_log_folder
    if "://" in folder:
        return folder
    here = (settings.home / Path(folder).expanduser()).absolute()
    here.mkdir(parents=True, exist_ok=True)  # Spark makes none, and does not start without it
    return here.as_uri()


def _set_up(spark: SparkSession, settings: Settings) -> None:
    """What can be set for each session, on Spark Connect as well."""
    for name, value in {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # what Delta tables hold
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        "spark.sql.files.maxPartitionBytes": str(settings.spark.file_bytes),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.databricks.delta.snapshotPartitions": str(settings.spark.snapshot_partitions),
        "spark.sql.ansi.enabled": "false",  # Polars: what cannot be computed is null
        **{k: v for k, v in settings.spark.config.items() if k.startswith("spark.sql.")},
    }.items():
        with suppress(PySparkException):  # a server may keep some of them to itself
            spark.conf.set(name, value)


def _wants_progress(settings: Settings) -> bool:
    wish = settings.spark.progress
    return sys.stderr.isatty() if wish == "auto" else wish == "yes"


def _log_settings() -> str:
    return (resources.files("nextup.adapters.engine") / "spark_log4j2.properties").as_uri()  # type: ignore[attr-defined, no-any-return]


def _truth(value: bool) -> str:
    return str(value).lower()


def _end(shared: _Shared) -> None:
    """Stop Spark, and its JVM with it: the next one may have other memory and jars."""
    gateway: Any = None if shared.url.startswith("sc://") else SparkContext._gateway
    with suppress(PySparkException, Py4JError, OSError):
        shared.spark.stop()
    if gateway is None:
        os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)  # or the next would be remote as well
        return
    with suppress(Py4JError, OSError):
        gateway.shutdown()
    SparkContext._gateway = None
    SparkContext._jvm = None
    process = getattr(gateway, "proc", None)
    if process is not None:
        process.stdin.close()  # it ends when nobody is there any more
        try:
            process.wait(_END_SECONDS)
        except TimeoutExpired:
            process.kill()
            process.wait()
