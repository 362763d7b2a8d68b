"""Why a server is not there."""

from __future__ import annotations


class Unavailable(Exception):
    """This machine cannot run the server; the message says what is missing and how to get it."""


class NotReady(Exception):
    """The server was started and did not get ready; the message ends with its log's last lines."""
