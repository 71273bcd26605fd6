"""A GREEN-API that answers in the test's own process and remembers what it was asked.

`InstanceApi`, its repeats and its errors are the router's own; only what would go over HTTP stays here.
Requests are not spaced out to GREEN-API's rates: a test would have to let that time pass.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

import orjson

from router.errors import GreenApiError, NoAnswer
from router.events import JsonObject
from router.greenapi.answers import Answer, value_of
from router.greenapi.client import GreenApi, InstanceApi
from router.greenapi.exchange import Exchange, Upload, content
from router.greenapi.methods import Method
from router.retry import RetryPolicy
from router.testing import answers
from router.testing.samples import meant

#: How often a request is repeated that may be: as the router does it, without chance in the waits.
_REPEATS = RetryPolicy(attempts=3, first=0.5, factor=4, max=10, jitter=0)


@dataclass(frozen=True, slots=True)
class Sent:
    """Something that GREEN-API was asked, and did."""

    #: ``idInstance``.
    instance: int
    #: Such as ``sendMessage``.
    method: str
    #: By GREEN-API's names, as JSON has them; of an upload ``file`` is the file's name.
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Failed:
    """Something that GREEN-API was asked, and did not do."""

    instance: int
    method: str
    arguments: JsonObject
    #: What the client made of it; it may have asked again.
    error: Exception


class _Mark(Enum):
    #: It is done, and no answer comes.
    LOST = "lost"
    #: A test has said nothing: it is GREEN-API's own answer.
    OWN = "own"


_Key = tuple[str, int | None]


class RecordingGreenApi(GreenApi):
    """The client of GREEN-API, without GREEN-API.

    It answers as GREEN-API does, such as ``{"idMessage": "…"}`` to ``sendMessage``, until a test says
    something else.
    """

    def __init__(self) -> None:
        super().__init__(_REPEATS)
        #: What was done, in order.
        self.sent: list[Sent] = []
        #: What was asked and not done, in order; a request that was repeated stands here each time.
        self.failed: list[Failed] = []
        self._next: dict[_Key, deque[object]] = {}
        self._standing: dict[_Key, object] = {}
        self._ids = (f"3EB0{number:016X}" for number in itertools.count(1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def instance(
        self,
        id: int,  # noqa: A002 - GREEN-API's word
        api_url: str = "https://green-api.invalid",
        token: str = "token",  # noqa: S107 - of no account
    ) -> InstanceApi:
        """Return the API of an instance, as the router would give it to a handler."""
        return super().instance(id, api_url, token)

    def answer(
        self, method: str, answer: object, *, times: int | None = 1, instance: int | None = None
    ) -> None:
        """Say what a method answers next, in place of its own answer.

        Args:
            method: Such as ``sendMessage``.
            answer: The JSON; or a function of the arguments that returns it; or an exception to be raised.
                For a class of `router.errors` the answer is given that means it, such as 429 for
                ``RateLimited``.
            times: How many calls; ``None``: all further ones that nothing else is said of.
            instance: Whose calls, by ``idInstance``; those of all by default.
        """
        if times is None:
            self._standing[method, instance] = answer
        else:
            self._next.setdefault((method, instance), deque()).extend([answer] * times)

    def lose_answer(self, method: str, *, times: int | None = 1, instance: int | None = None) -> None:
        """Let the next calls of a method be carried out, but no answer come: the client cannot know of it."""
        self.answer(method, _Mark.LOST, times=times, instance=instance)

    def _exchange(self, id: int, api_url: str, token: str) -> Exchange:  # noqa: A002 - GREEN-API's word
        return _Recorded(self._respond, id, api_url, token)

    def _respond(self, id_instance: int, method: str, arguments: JsonObject) -> Answer:
        """Do what is asked, note it, and answer."""
        asked = id_instance, method, arguments
        said = self._said(id_instance, method)
        try:
            is_own = isinstance(said, _Mark)
            answer = _own(method, arguments, next(self._ids)) if is_own else _made(said, *asked)
        except Exception as exc:
            self.failed.append(Failed(*asked, exc))
            raise
        if error := _error(id_instance, method, answer):
            self.failed.append(Failed(*asked, error))
            return answer
        self.sent.append(Sent(*asked))
        if said is _Mark.LOST:
            found = "the connection was closed before there was an answer"
            raise NoAnswer(id_instance, method, found, was_sent=True)
        return answer

    def _said(self, id_instance: int, method: str) -> object:
        """Return what a test has said of the next call, and count it."""
        keys: list[_Key] = [(method, id_instance), (method, None)]
        for key in keys:
            if waiting := self._next.get(key):
                return waiting.popleft()
        return next((self._standing[key] for key in keys if key in self._standing), _Mark.OWN)


class _Recorded(Exchange):
    """Asks the recording GREEN-API, where `Exchange` would send a request."""

    def __init__(
        self,
        respond: Callable[[int, str, JsonObject], Answer],
        id: int,  # noqa: A002 - GREEN-API's word
        api_url: str,
        token: str,
    ) -> None:
        super().__init__(_no_session, id, api_url, token, _REPEATS)
        self._respond = respond

    async def ask(
        self,
        how: Method,
        arguments: Mapping[str, Any] | Upload | None = None,
        *,
        path: str = "",
        within: float | None = None,
    ) -> Answer:
        """See `Exchange.ask`."""
        given = _json(how, arguments)
        if path:
            given["receiptId"] = int(path.removeprefix("/"))
        await asyncio.sleep(0)
        return self._respond(self._id, how.name, given)


def _error(id_instance: int, method: str, answer: Answer) -> GreenApiError | None:
    """Return what the client will make of an answer, if that is an error."""
    try:
        value_of(id_instance, method, answer)
    except GreenApiError as exc:
        return exc
    return None


def _no_session() -> Any:
    raise AssertionError("nothing of this goes over HTTP")


def _json(how: Method, arguments: Mapping[str, Any] | Upload | None) -> JsonObject:
    """Return the arguments as JSON has them; raise what the client raises if they cannot be sent."""
    if isinstance(arguments, Upload):
        arguments.file.read_bytes()
        return {**arguments.fields, "file": arguments.file.name}
    sent = content(how, arguments)
    found: JsonObject = orjson.loads(sent["data"]) if "data" in sent else dict(arguments or {})
    return found


def _own(method: str, arguments: JsonObject, new_id: str) -> Answer:
    """Return GREEN-API's own answer."""
    make = answers.ANSWERS.get(method)
    if make is None:
        raise LookupError(
            f"no answer of {method} is known here{meant(method, answers.ANSWERS)}; "
            f"if it is the right one, say what it answers: api.answer({method!r}, …)"
        )
    missing = [name for name in answers.REQUIRED.get(method, ()) if arguments.get(name) in (None, "", [])]
    return (
        answers.invalid(f"'{missing[0]}' is required") if missing else answers.json(make(arguments, new_id))
    )


def _made(said: object, id_instance: int, method: str, arguments: JsonObject) -> Answer:
    """Return the answer that a test has said, or raise it."""
    if isinstance(said, type) and issubclass(said, GreenApiError) and said in answers.MEANING:
        return answers.MEANING[said]
    if said is NoAnswer:
        raise NoAnswer(id_instance, method, "cannot connect to green-api.invalid", was_sent=False)
    if isinstance(said, BaseException) or (isinstance(said, type) and issubclass(said, BaseException)):
        raise said
    return answers.json(said(arguments) if callable(said) else said)
