"""What a recipe's router is made of: the services, and how its routes get at them."""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol

from fastapi import APIRouter, Depends, Request

from nextup.ports.control import Control
from nextup.ports.event_log import EventLog
from nextup.ports.files import Files
from nextup.services.access.accounts import Accounts
from nextup.services.access.guard import Guard
from nextup.services.serving import Serving
from nextup.settings import Settings


class Needing(Protocol):
    """An open platform, or a run's context: the settings, and what is open."""

    @property
    def settings(self) -> Settings:
        """The whole configuration."""
        ...

    @property
    def event_log(self) -> EventLog:
        """The truth."""
        ...

    @property
    def files(self) -> Files:
        """Plain files."""
        ...

    @property
    def control(self) -> Control:
        """Locks."""
        ...


class ServingOf(Protocol):
    """Finds what answers the caller of a request."""

    async def __call__(self, request: Request) -> Serving:
        """The caller's own; only in guarded routes."""
        ...


class DescribesProblems(Protocol):
    """The documented errors of a route."""

    def __call__(self, *statuses: int) -> dict[int | str, dict[str, Any]]:
        """By status."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Handed over by the API, which knows nothing of recipes but their names."""

    settings: Settings
    serving: ServingOf
    problems: DescribesProblems
    token_router: APIRouter  # POST /v1/token; recipes have it without the /v1
    accounts: Accounts
    guard: Guard


class Routers(NamedTuple):
    """A recipe's routes."""

    guarded: APIRouter  # for callers with a scope: `read` to read, `write` to change
    public: APIRouter | None = None  # for everybody


def parts_of(request: Request) -> Parts:
    """What the app was given for its recipe."""
    parts = request.app.state.recipe
    assert isinstance(parts, Parts)
    return parts


async def _serving(request: Request) -> Serving:
    return await parts_of(request).serving(request)


Services = Annotated[Serving, Depends(_serving)]
