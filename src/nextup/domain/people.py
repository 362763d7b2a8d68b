"""How people are named where several clients of one tenant each have their own.

Outside, a person has the id that their client gave them. In the stores the client's name is
before it: `shop-a/7` is not `shop-b/7`. A client's name has no slash, so the first one divides.
"""

from __future__ import annotations

import re

DIVIDER = "/"
_SOURCE = re.compile(r"client ([a-z0-9_.-]+), ")


def stored_id(client_id: str, own_id: str) -> str:
    """The id in the stores, of a person or an event. An empty id is the client's anonymous."""
    return f"{client_id}{DIVIDER}{own_id}"


def own_id(client_id: str, stored: str) -> str | None:
    """The inverse of `stored_id`; None for what is another client's."""
    prefix = f"{client_id}{DIVIDER}"
    return stored[len(prefix) :] if stored.startswith(prefix) else None


def source_of(client_id: str) -> str:
    """Where records come from that the client sent; in quarantine it tells whose people they
    name."""
    return f"client {client_id}, api"


def client_of(source: str) -> str | None:
    """The client that a rejected record came from; None for one from elsewhere."""
    found = _SOURCE.match(source)
    return found[1] if found else None
