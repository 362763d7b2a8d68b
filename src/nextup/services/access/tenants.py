"""From a caller to what answers them: each tenant's own, opened when first asked for.

Nothing else leads to a tenant's data, so that no handler can reach another tenant's by mistake.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from nextup.domain.clients import OPEN, Scope
from nextup.domain.errors import BackendUnavailable
from nextup.domain.people import source_of
from nextup.services.access.people import ClientPeople
from nextup.services.serving import ServingPorts

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextup.domain.clients import Caller
    from nextup.ports.clients import Clients
    from nextup.services.serving import Serving

PERSONAL = frozenset({Scope.READ, Scope.WRITE})  # what a client does among its own people


class DeploymentPorts(ServingPorts, Protocol):
    """An open platform, and the way to those of other tenants."""

    @property
    def clients(self) -> Clients:
        """Who may call, of all tenants."""
        ...

    def of_tenant(self, tenant: str) -> TenantPorts:
        """The platform of another tenant; whoever asks for it closes it."""
        ...


class TenantPorts(ServingPorts, Protocol):
    """Another tenant's platform, which is closed by whoever opened it."""

    def close(self) -> None:
        """Closing twice does nothing."""
        ...


class Tenants:
    """One Serving for each tenant that was asked for. Safe to share between threads."""

    def __init__(self, ports: DeploymentPorts, serve: Callable[[ServingPorts], Serving]) -> None:
        """`serve` makes a Serving of a platform; the deployment's own is made at once."""
        self._ports = ports
        self._serve = serve
        self._people_apart = ports.settings.access.people == "client"
        self._own_name = ports.settings.tenant
        self.own = serve(ports)
        self._opening = threading.Lock()
        self._stopped = False
        self._closing = ExitStack()
        self._opened: dict[str, Serving] = {}
        self._views: dict[tuple[str, str], Serving] = {}

    def start(self) -> None:
        """Begin the background work of the deployment's own tenant."""
        with self._opening:
            self._stopped = False
            self._opened_now(self._own_name)

    def stop(self) -> None:
        """End all background work and close what was opened here; the deployment's own platform
        is its owner's to close."""
        with self._opening:
            self._stopped = True
            self._views.clear()
            self._opened.clear()
            self._closing.close()

    def at_hand(self, caller: Caller, needed: Scope) -> Serving | None:
        """What answers the caller, if it is open already: a look into a dictionary. Operators
        and admins see the tenant as it is; others, where people are kept apart, their own."""
        if self._people_apart and needed in PERSONAL and caller.client_id != OPEN:
            return self._views.get((caller.tenant, caller.client_id))
        return self._opened.get(caller.tenant)

    def serving(self, caller: Caller, needed: Scope) -> Serving:
        """What answers the caller; opened first, with its model, where it has to be."""
        found = self.at_hand(caller, needed)
        while found is None:
            self._open(caller)
            found = self.at_hand(caller, needed)
        return found

    def _open(self, caller: Caller) -> None:
        with self._opening:
            serving = self._opened.get(caller.tenant)
            if serving is None:
                serving = self._opened_now(caller.tenant)
            if self._people_apart and caller.client_id != OPEN:
                mine = ClientPeople(serving.ports, caller.client_id)
                self._views[caller.tenant, caller.client_id] = serving.among(
                    mine, source=source_of(caller.client_id)
                )

    def _opened_now(self, tenant: str) -> Serving:
        if self._stopped:
            raise BackendUnavailable("The server is stopping.", cure="Try again in a moment.")
        with ExitStack() as opening:  # what cannot be opened as a whole is closed again
            serving = self.own
            if tenant != self._own_name:
                ports = self._ports.of_tenant(tenant)
                opening.callback(ports.close)
                serving = self._serve(ports)
            serving.start()
            opening.callback(serving.stop)
            self._closing.push(opening.pop_all())
        self._opened[tenant] = serving
        return serving
