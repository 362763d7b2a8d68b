"""What must hold before a server may listen: open or badly kept only where nobody else comes."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nextup.domain.errors import ConfigurationError
from nextup.services.access.passwords import WELL_KNOWN, weakness

if TYPE_CHECKING:
    from nextup.settings import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name can mean another address tomorrow
        return False


def require_safe(settings: Settings, host: str) -> None:
    """Raises ConfigurationError for a server on `host` that everybody could use, or whose secrets
    anybody could guess. On a loopback address everything is allowed, and with `server.only_here`
    it may be open: whoever sets it has seen to it that nobody else comes, as compose.yaml does."""
    if is_loopback(host):
        return
    if settings.access.auth == "none" and not settings.server.only_here:
        raise ConfigurationError(
            f'With auth = "none" everybody who reaches {host or "this machine"} could do '
            "everything; the server does not start.",
            cure='Set auth = "keys" in the section [access], or server.host = "127.0.0.1".',
        )
    password = settings.access.admin_password
    if password and (why := weakness(password, settings.access.admin)):
        raise ConfigurationError(
            f"Setting 'access.admin_password' is too weak: {why}.",
            cure="Choose a long one, or leave it empty: the first start makes one.",
        )
    for name in type(settings).model_fields:
        if name.endswith("_url") and _is_guessed(str(getattr(settings, name))):
            raise ConfigurationError(
                f"The password in '{name}' is one that is tried first.",
                cure="Give that server another password.",
            )


def _is_guessed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        password, user = unquote(parts.password or ""), unquote(parts.username or "")
    except ValueError:  # whoever opens it says what is wrong with it
        return False
    return bool(password) and password.casefold() in {*WELL_KNOWN, user.casefold()}
