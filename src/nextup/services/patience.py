"""Stores that are out of order when a server starts: it starts without them and tries again.

The log and the control data are excepted: without them nothing can be taken in, and nobody let in.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from nextup.domain.errors import BackendUnavailable, CorruptData, NextupError, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

DONE_WITHOUT = frozenset({"catalog", "online_state", "recommendation_store", "files", "lake"})
PASSING = (BackendUnavailable, CorruptData, StorageFull)  # a wrong setting does not mend itself
RETRY_SECONDS = 1.0


class PatientPorts:
    """An open platform whose stores may come later; all else is the platform's."""

    def __init__(self, ports: Any) -> None:
        self._ports = ports

    def __getattr__(self, name: str) -> Any:
        if name not in DONE_WITHOUT:
            return getattr(self._ports, name)
        try:
            return getattr(self._ports, name)
        except PASSING as error:
            log.warning("Serving begins without %s: %s", name, error)
            return Late(lambda: getattr(self._ports, name), error)


class Late:
    """A port that could not be opened yet. Whatever is asked for opens it, once in a while;
    while it cannot be opened, all its methods raise why."""

    def __init__(self, open_port: Callable[[], Any], error: NextupError) -> None:
        self._open_port = open_port
        self._error = error
        self._again_at = monotonic() + RETRY_SECONDS
        self._port: Any = None
        self._opening = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        with self._opening:
            if self._port is None and monotonic() >= self._again_at:
                self._try()
        return self._refuse if self._port is None else getattr(self._port, name)

    def _refuse(self, *_: object, **__: object) -> Any:
        raise type(self._error)(self._error.message, cure=self._error.cure)

    def _try(self) -> None:
        try:
            self._port = self._open_port()
        except PASSING as error:
            self._error = error
            self._again_at = monotonic() + RETRY_SECONDS
