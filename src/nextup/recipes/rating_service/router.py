"""The rating service's two routes: `POST /send_rating`, `GET /recommendations/<int:user_id>`."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt

from nextup.domain.errors import InvalidInput
from nextup.domain.events import EventType
from nextup.domain.items import Item
from nextup.domain.tables import EVENT_ID, ITEM_ID, TYPE, USER_ID, VALUE
from nextup.recipes.parts import Parts, Routers, Services
from nextup.services.intake import Fate
from nextup.services.recommending.request import Request
from nextup.services.stars import predicted_stars

LEVEL = "X-Nextup-Level"
LARGEST = 2**63 - 1
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
        """Best first. Somebody without a list gets the degraded one; the header `X-Nextup-Level`
        says which."""
        asked = Request(str(user_id), limit)
        page = serving.recommender.recommend(asked)
        model = serving.recommender.model()
        ids = [place.item_id for place in page.places]
        past = serving.recommender.past(asked)
        stars = predicted_stars(model, past, ids)
        response.headers[LEVEL] = page.served.level.value
        return [_predicted(user_id, one, page.details.get(one), stars.get(one)) for one in ids]

    return Routers(guarded=router)


def _predicted(
    user_id: int, item_id: str, film: Item | None, stars: float | None
) -> PredictedRating:
    return PredictedRating(
        userId=user_id,
        movieId=int(item_id) if item_id.isdecimal() else item_id,
        rating=stars,
        title=film.title if film else "",
        genres=list(film.genres) if film else [],
        year=film.year if film else None,
        attributes=dict(film.attributes) if film else {},
    )
