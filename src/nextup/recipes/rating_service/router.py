"""The rating service's routes: `POST /send_rating`, `GET /recommendations/<int:user_id>`, and
`GET /movies`."""

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt

from nextup.domain.errors import InvalidInput
from nextup.domain.events import EventType
from nextup.domain.items import Item
from nextup.domain.recommendations import Level
from nextup.domain.tables import EVENT_ID, ITEM_ID, TYPE, USER_ID, VALUE
from nextup.recipes.parts import Parts, Routers, Services
from nextup.services.intake import Fate
from nextup.services.recommending.levels import SILENT
from nextup.services.recommending.request import Request
from nextup.services.serving import Serving
from nextup.services.stars import predicted_stars

LEVEL = "X-Nextup-Level"
LARGEST = 2**63 - 1
MOST_FILMS = 10_000  # of a page
Whole = Annotated[StrictInt, Field(ge=0, le=LARGEST)]


class Rating(BaseModel):
    """A rating as the service's clients send it."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"examples": [{"userId": 7, "movieId": 260, "rating": 4.5}]},
    )

    userId: Whole  # noqa: N815 (the service's names)
    movieId: Whole  # noqa: N815
    rating: FiniteFloat
    eventId: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(  # noqa: N815
        None, description="The same one twice is one rating."
    )


class RatingAccepted(BaseModel):
    """The rating is durable."""

    event_id: str


class PredictedRating(BaseModel):
    """A film with the stars that this person would give it."""

    userId: int  # noqa: N815
    movieId: int | str  # noqa: N815
    rating: float | None = Field(description="Predicted; null where no model predicts ratings.")
    title: str
    genres: list[str]
    year: int | None
    attributes: dict[str, Any]


class Movie(BaseModel):
    """A film of the catalogue."""

    movieId: int | str  # noqa: N815
    title: str
    genres: list[str]
    year: int | None
    attributes: dict[str, Any]


def make_routers(parts: Parts) -> Routers:
    """The routes over the services."""
    router = APIRouter(tags=["rating-service"])
    limit = parts.settings.recommend.num_recommendations

    @router.post(
        "/send_rating",
        status_code=202,
        responses=parts.problems(400, 413, 422, 503, 507),
        summary="Send a rating",
    )
    def send_rating(body: Rating, serving: Services) -> RatingAccepted:
        """Durable when answered. Without an `eventId` each post is a rating, and the last one
        counts."""
        record: dict[str, Any] = {
            TYPE: EventType.RATING.value,
            USER_ID: str(body.userId),
            ITEM_ID: str(body.movieId),
            VALUE: body.rating,
        }
        if body.eventId is not None:
            record[EVENT_ID] = body.eventId
        outcome = serving.intake.take(record)
        if outcome.fate is Fate.REJECTED:
            raise InvalidInput(outcome.reason, cure="Send a corrected one.")
        return RatingAccepted(event_id=outcome.event_id)

    @router.get(
        "/recommendations/{user_id:int}",
        responses=parts.problems(404, 422, 503),
        summary="Films for a person, with predicted ratings",
    )
    def get_recommendations(
        user_id: Annotated[int, Path(ge=0, le=LARGEST)],
        serving: Services,
        response: Response,
    ) -> list[PredictedRating]:
        """Best first: the list that was made last, without what the person has rated since.
        Somebody without one gets what can be made now, or what is popular; the header
        `X-Nextup-Level` says which."""
        asked = Request(str(user_id), limit)
        level, films = _listed(serving, asked) or _made_now(serving, asked)
        response.headers[LEVEL] = level.value
        return [_predicted(user_id, *each) for each in films]

    @router.get(
        "/movies", responses=parts.problems(422, 503), summary="All films, a page at a time"
    )
    def list_movies(
        serving: Services,
        after: Annotated[str, Query(max_length=500, description="The last id of a page.")] = "",
        page: Annotated[int, Query(ge=1, le=MOST_FILMS, description="How many.")] = MOST_FILMS,
    ) -> list[Movie]:
        """By id as text. An empty page is behind the last."""
        films = (one for one in serving.ports.catalog.all_items() if one.item_id > after)
        return [_movie(one) for one in islice(films, page)]

    return Routers(guarded=router)


Film = tuple[str, Item | None, float | None]
"""An id, what the catalogue says, and the predicted stars."""


def _listed(serving: Serving, asked: Request) -> tuple[Level, list[Film]] | None:
    """The published list; None where there is none, or nothing of it is left."""
    try:
        published = serving.ports.recommendation_store.read(asked.user_id)
    except SILENT:
        return None
    if published is None:
        return None
    past = serving.recommender.past(asked)
    gone = past.consumed | past.dismissed
    stars = {one.item_id: one.score for one in published.items if one.item_id not in gone}
    try:
        known = serving.recommender.details.items(list(stars))
    except SILENT:
        return Level.PUBLISHED, [(one, None, score) for one, score in stars.items()]
    films: list[Film] = [
        (one, known[one], score)
        for one, score in stars.items()
        if one in known and known[one].available
    ]
    return (Level.PUBLISHED, films[: asked.limit]) if films else None


def _made_now(serving: Serving, asked: Request) -> tuple[Level, list[Film]]:
    page = serving.recommender.recommend(asked)
    ids = [place.item_id for place in page.places]
    past = serving.recommender.past(asked)
    stars = predicted_stars(serving.recommender.model(), past, ids)
    return page.served.level, [(one, page.details.get(one), stars.get(one)) for one in ids]


def _predicted(
    user_id: int, item_id: str, film: Item | None, stars: float | None
) -> PredictedRating:
    return PredictedRating(
        userId=user_id,
        movieId=_number(item_id),
        rating=stars,
        title=film.title if film else "",
        genres=list(film.genres) if film else [],
        year=film.year if film else None,
        attributes=dict(film.attributes) if film else {},
    )


def _movie(film: Item) -> Movie:
    return Movie(
        movieId=_number(film.item_id),
        title=film.title,
        genres=list(film.genres),
        year=film.year,
        attributes=dict(film.attributes),
    )


def _number(item_id: str) -> int | str:
    return int(item_id) if item_id.isdecimal() else item_id
