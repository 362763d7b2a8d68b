"""The platform's routes: `POST /create-client`, `POST /token`, `POST /recommendations`."""

import secrets
import uuid
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, StrictStr

from nextup.domain.clients import Scope
from nextup.domain.errors import InvalidInput, LimitReached
from nextup.domain.events import EventType
from nextup.domain.items import Item
from nextup.domain.tables import EVENT_ID, ITEM_ID, TYPE, USER_ID, VALUE
from nextup.recipes.parts import Parts, Routers, Services, parts_of
from nextup.recipes.platform_api.portraits import Portraits
from nextup.services.access.rates import Rates
from nextup.services.recommending.request import Request as Wish
from nextup.services.serving import Serving

RANDOM_BITS = 53  # of a new user's number: what JavaScript can hold exactly
SECONDS = 60  # of the limit for registrations

PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"  # no control characters
Text = Annotated[StrictStr, Field(min_length=1, max_length=500, pattern=PLAIN)]
Id = Text | StrictInt


class NewClient(BaseModel):
    """Who wants to call."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"client_id": "cinema", "password": "seven green bicycles"}]
        },
    )

    client_id: Annotated[str, Field(min_length=1, max_length=200)]
    password: Annotated[str, Field(min_length=1, max_length=1_000, repr=False)]


class ClientMade(BaseModel):
    """A client that can get tokens."""

    client_id: str


class Rated(BaseModel):
    """A film of the history with its stars."""

    model_config = ConfigDict(extra="forbid")

    movie_id: Id
    rating: FiniteFloat


class Wanted(BaseModel):
    """For whom: a user, a history, or both."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": "7", "limit": 5},
                {"history": [260, {"movie_id": 1196, "rating": 4.5}]},
            ]
        },
    )

    user_id: Id | None = None
    history: list[Id | Rated] | None = Field(None, max_length=1_000)
    limit: int | None = Field(None, ge=1, le=200)


class Film(BaseModel):
    """A recommendation."""

    movie_id: str
    title: str
    genres: list[str]
    score: float


class Recommended(BaseModel):
    """The list, and the user that it belongs to."""

    user_id: str
    recommendations: list[Film]


def make_routers(parts: Parts) -> Routers:
    """The routes over the services."""
    return Routers(guarded=_recommendations(parts), public=_credentials(parts))


def _credentials(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["platform-api"])
    attempts = Rates()

    @router.post(
        "/create-client",
        status_code=201,
        responses=parts.problems(400, 401, 403, 409, 413, 422, 429, 503),
        summary="Register a client",
    )
    def create_client(body: NewClient, request: Request) -> ClientMade:
        """Open to all only where the settings say so; else an admin's key or token is needed.
        Taken: 409. Weak: 422. Too often: 429."""
        _require_patience(attempts, parts, request)
        if parts.settings.access.registration != "open":
            parts.guard.admit(request.scope["headers"], Scope.ADMIN)
        made = parts_of(request).accounts.register(body.client_id, password=body.password)
        return ClientMade(client_id=made.client.client_id)

    for route in parts.token_router.routes:
        router.routes.append(_without_version(route))
    return router


def _recommendations(parts: Parts) -> APIRouter:
    portraits = Portraits(parts.settings)
    router = APIRouter(tags=["platform-api"], lifespan=portraits.lifespan)
    whole_numbers = parts.settings.contracts.id_type == "int"
    usual = parts.settings.recommend.num_recommendations

    @router.post(
        "/recommendations",
        responses=parts.problems(400, 413, 422, 503, 507),
        summary="Films for a user, or for a history",
    )
    def recommend(body: Wanted, serving: Services) -> Recommended:
        """A history is kept as the user's; without a user it gets a new one. A user whom nobody
        knows gets what is popular."""
        if body.user_id is None and not body.history:
            raise InvalidInput(
                "Neither a user nor a history is given.", cure="Give user_id, history, or both."
            )
        user_id = _user_id(body.user_id, whole_numbers)
        if body.history:
            _keep(serving, user_id, body.history)
            portraits.draw(serving, user_id)
        page = serving.recommender.recommend(Wish(user_id, body.limit or usual))
        return Recommended(
            user_id=user_id,
            recommendations=[
                _film(place.item_id, page.details.get(place.item_id), place.score)
                for place in page.places
            ],
        )

    return router


def _user_id(given: str | int | None, whole_numbers: bool) -> str:
    """The user's id, or a new one that nobody will guess or be given twice."""
    if given is None:
        return str(secrets.randbits(RANDOM_BITS)) if whole_numbers else str(uuid.uuid4())
    if whole_numbers and not (str(given).isascii() and str(given).isdecimal()):
        raise InvalidInput("user_id is not a whole number.", cure="Users are numbered here.")
    return str(given)


def _film(item_id: str, item: Item | None, score: float) -> Film:
    return Film(
        movie_id=item_id,
        title=item.title if item else "",
        genres=list(item.genres) if item else [],
        score=score,
    )


def _keep(serving: Serving, user_id: str, history: list[Id | Rated]) -> None:
    """All of it or, where something does not fit, nothing. The same touch of the same user is kept
    once, however often it is sent."""
    records = [_event(user_id, one) for one in history]
    broken = serving.contract.explain_many(records, "").rejected
    if broken:
        raise InvalidInput(
            f"The history does not fit: {broken[0].reason}", cure="Nothing of it was kept."
        )
    serving.intake.take_many(records)


def _event(user_id: str, one: Id | Rated) -> dict[str, Any]:
    stars = one.rating if isinstance(one, Rated) else None
    movie_id = str(one.movie_id if isinstance(one, Rated) else one)
    kind = EventType.LIKE if stars is None else EventType.RATING
    named = blake2b(msgspec.json.encode([user_id, movie_id, stars]), digest_size=16).hexdigest()
    event = {
        EVENT_ID: f"history-{named}",
        TYPE: kind.value,
        USER_ID: user_id,
        ITEM_ID: movie_id,
    }
    return event if stars is None else event | {VALUE: stars}


def _require_patience(attempts: Rates, parts: Parts, request: Request) -> None:
    allowed = parts.settings.access.logins_per_minute
    address = request.client.host if request.client else ""
    wait = attempts.take(address, per_second=allowed / SECONDS, burst=allowed)
    if wait > 0:
        raise LimitReached(
            "Too many clients were registered from here.", retry_after=wait, cure="Wait a minute."
        )


def _without_version(route: Any) -> Any:
    """The same endpoint under its older path."""
    assert isinstance(route, APIRoute)
    return APIRoute(
        route.path.removeprefix("/v1"),
        route.endpoint,
        methods=list(route.methods or ()),
        response_model=route.response_model,
        responses=route.responses,
        openapi_extra=route.openapi_extra,
        summary=route.summary,
        description=route.description,
        tags=["platform-api"],
    )
