"""MLflow's client, opened when it is first used, and its errors in our words."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from nextup.adapters.sql import open_database
from nextup.domain.errors import BackendUnavailable, ConfigurationError, NextupError
from nextup.settings import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.settings_servers import Connections

DEFAULT: Final = "sqlite:///data/mlflow.db"
UPLOAD_SECONDS: Final = 30.0  # a server answers a large file only when it has all of it
QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody else is told what runs here
    "MLFLOW_CONFIGURE_LOGGING": "false",  # our own log says what there is to say
}
_CURE: Final = "Check tracker_url and that MLflow runs; `nextup model track` makes up for it."


class MlflowConnection:
    """One client, for the tracking server or the database behind the URL."""

    def __init__(self, url: str, home: Path, connections: Connections) -> None:
        kind, _, rest = url.partition("://")
        inner = kind.removeprefix("mlflow").removeprefix("+")
        self._url = f"{inner}://{rest}" if inner else DEFAULT
        if inner not in {"", "sqlite", "postgresql", "http", "https"}:
            raise ConfigurationError(
                f"tracker_url: MLflow is not reached by '{kind}://'.",
                cure="Write mlflow://, mlflow+postgresql://... or mlflow+http://....",
            )
        self._home = home
        self._connections = connections
        self.is_http = inner.startswith("http")
        self.shown = without_credentials(self._url)

    @cached_property
    def client(self) -> Any:
        """MLflow's own; the first use imports the library and brings its tables up to date."""
        self._quieten()
        from mlflow import MlflowClient

        place = self._url if self.is_http else self._database()
        return MlflowClient(tracking_uri=place, registry_uri=place)

    def close(self) -> None:
        """Give back the connections to a database. Closing twice does nothing."""
        client = self.__dict__.pop("client", None)
        if client is None or self.is_http:
            return
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

        for store in (Tracking, Registry):  # each keeps an engine for every database, for ever
            engine = store._engine_map.pop(client.tracking_uri, None)
            if engine is not None:
                engine.dispose()

    def _quieten(self) -> None:
        """MLflow reads all of this from the environment only."""
        patience = max(UPLOAD_SECONDS, self._connections.answer_seconds)
        limits = {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(round(patience)),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(self._connections.retries),
        }
        for name, value in {**QUIET, **limits}.items():
            os.environ.setdefault(name, value)
        logging.getLogger("mlflow").setLevel(logging.WARNING)

    def _database(self) -> str:
        """The database's URL as MLflow wants it, once it is known to answer: MLflow itself would
        go on trying for minutes."""
        database = open_database(self._url, self._home, connections=self._connections)
        try:
            database.first_row("SELECT 1")
        finally:
            database.close()
        url = make_url(self._url)
        if url.get_backend_name() == "sqlite":
            return f"sqlite:///{(self._home / str(url.database)).resolve()}"
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


@contextmanager
def translated(server: MlflowConnection) -> Iterator[None]:
    """Errors of MLflow and of what it stands on leave as BackendUnavailable, without the URL's
    credentials; what it warns of is its authors' concern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except NextupError:
            raise
        except Exception as error:
            said = _said(error)
            if said is None:
                raise
            away = BackendUnavailable(f"MLflow at {server.shown} {said}.", cure=_CURE)
            if urlsplit(server._url).password:  # which a driver's message may quote
                raise away from None
            raise away from error


def _said(error: Exception) -> str | None:
    """What is wrong, in our words; None for an error of ours."""
    with suppress(ModuleNotFoundError):
        from mlflow.exceptions import MlflowException

        if isinstance(error, MlflowException):
            return _refusal(error)
    if isinstance(error, SQLAlchemyError):
        return f"did not answer ({type(error).__name__})"
    if isinstance(error, OSError):  # requests' errors among them
        return f"cannot be reached ({error.strerror or type(error).__name__})"
    return None


def _refusal(error: Any) -> str:
    status = error.get_http_status_code()
    if status in {401, 403}:
        return "refuses the user or the password"
    if "Max retries exceeded" in str(error) or "API request to" in str(error):
        return "cannot be reached"
    return f"refuses ({error.error_code})"
