"""What both clients do around a request: who they are, what came back, when to try again."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from nextup import __version__
from nextup.client import calls
from nextup.client.problems import NotSignedIn, problem_of
from nextup.client.retries import NEVER, Retries
from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

    from nextup.client.answers import Token
    from nextup.client.calls import Call

T = TypeVar("T")

EARLY_SECONDS = 30.0  # a token is renewed so long before it ends
JSON = "application/json"


class Exchange:
    """Without any input or output. Everything that is decided is decided here."""

    def __init__(self, api_key: str, client_id: str, password: str, retries: Retries | None):
        if api_key and client_id:
            raise ConfigurationError(
                "A client has an API key, or a name and a password.", cure="Give one of them."
            )
        self._api_key = api_key
        self._client_id = client_id
        self._password = password
        self._token = ""
        self._renew_at = 0.0  # monotonic seconds
        self._retries = retries or Retries()

    def sign_in(self) -> Call[Token] | None:
        """The call that has to come first: there is no token yet, or not for long."""
        if not self._client_id or monotonic() < self._renew_at:
            return None
        return calls.token(self._client_id, self._password)

    def signed_in(self, token: Token) -> None:
        """Remember it for as long as it is good."""
        early = min(EARLY_SECONDS, token.expires_in / 2)
        self._token, self._renew_at = token.access_token, monotonic() + token.expires_in - early

    def headers(self, call: Call[Any]) -> dict[str, str]:
        """Of a request."""
        headers = {"User-Agent": f"nextup-client/{__version__}", "Accept": JSON}
        if call.body is not None:
            headers["Content-Type"] = JSON
        if not call.signed:
            return headers
        if self._api_key:
            headers["X-API-Key"] = self._api_key
        elif self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def read(self, call: Call[T], response: httpx.Response) -> T:
        """The answer. Raises the problem that the server says there is."""
        if response.is_success:
            return call.answer(response.content)
        raise problem_of(response.status_code, response.headers, response.content)

    def pause(self, call: Call[Any], attempt: int, error: Exception) -> float | None:
        """Seconds until another attempt; None: there is none."""
        if isinstance(error, NotSignedIn) and self._token and attempt == 1:
            self._token, self._renew_at = "", 0.0  # it was revoked, or the server's keys were
            return 0.0
        return (self._retries if call.again else NEVER).pause(attempt, error)


def httpx_module() -> Any:
    """Raises ConfigurationError, with the cure, where it is not installed."""
    try:
        import httpx  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "nextup.client needs a library that is not installed.",
            cure="It needs: pip install 'nextup[client]'.",
        ) from error
    return httpx
