"""Answers in the online state, for all servers that share it, until an event changes them.

The state lets go of an answer in the transaction that applies such an event, whoever applies it:
this server, another one, or `nextup stream`. An answer that was overtaken while it was made is
given, and not kept.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.errors import NextupError
from nextup.ports.online_state import KeepsAnswers

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextup.ports.online_state import OnlineState
    from nextup.services.serving_model import ServingModel

log = logging.getLogger(__name__)


class Made(NamedTuple):
    """An answer just made."""

    body: bytes
    level: str = ""  # that answered
    whole: bool = True  # False: something was missing, and it is to be made anew
    stamp: str | None = None  # of what it was made from, where that is older than the question


class Given(NamedTuple):
    """The answer to give."""

    body: bytes
    level: str
    source: str  # "hit", "miss", or nothing where none are kept


class KeptAnswers:
    """Safe to share between threads."""

    def __init__(
        self, state: OnlineState, model: Callable[[], ServingModel], seconds: float
    ) -> None:
        """With 0 seconds, or a state that keeps none, each answer is made anew."""
        self._state = state if seconds > 0 and isinstance(state, KeepsAnswers) else None
        self._model = model
        self._seconds = seconds

    def give(self, about: str, question: str, make: Callable[[], Made]) -> Given:
        """The kept answer to the question, or the one that is made now. A state that is out of
        order keeps nobody from an answer."""
        state = self._state
        if state is None:
            made = make()
            return Given(made.body, made.level, "")
        name = self._name(question)
        try:
            found = state.kept_answer(about, name)
            if found is not None:
                level, _, body = found.partition(b"\n")
                return Given(body, level.decode(), "hit")
            stamp = state.answer_stamp(about)
        except NextupError as error:
            log.warning("An answer is made anew: %s", error)
            made = make()
            return Given(made.body, made.level, "miss")
        made = make()
        if made.whole:
            self._keep(state, about, name, made, stamp)
        return Given(made.body, made.level, "miss")

    def forget(self) -> None:
        """Let go of all: something has changed that is no event."""
        if self._state is not None:
            try:
                self._state.forget_answers()
            except NextupError as error:
                log.warning("Kept answers stand until their time: %s", error)

    def _name(self, question: str) -> str:
        """Another model gives another answer."""
        text = f"{self._model().model_id}\n{question}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _keep(self, state: KeepsAnswers, about: str, name: str, made: Made, stamp: str) -> None:
        answer = made.level.encode() + b"\n" + made.body
        stamp = stamp if made.stamp is None else made.stamp
        try:
            state.keep_answer(about, name, answer, stamp=stamp, seconds=self._seconds)
        except NextupError as error:
            log.warning("An answer is not kept: %s", error)
