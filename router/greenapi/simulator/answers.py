"""What the simulator answers, and what it is told to answer instead."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import orjson

from router.events import JsonObject

_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request."""

    status: int = 200
    body: bytes = b""
    content_type: str = _JSON


class Refused(Exception):
    """Raised by a method to give an answer other than its own."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer)


def json(value: object) -> Answer:
    """Answer with a JSON document."""
    return Answer(body=orjson.dumps(value))


def refused(text: str, status: int = 400) -> Refused:
    """Refuse with a text, as GREEN-API does."""
    return Refused(Answer(status, text.encode(), _TEXT))


def invalid(details: str) -> Refused:
    """Refuse arguments, as GREEN-API does."""
    return refused(f"Validation failed. Details: {details}")


def nginx(status: int, reason: str) -> Answer:
    """Answer as the proxy before GREEN-API does."""
    page = (
        f"<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, page.encode(), _HTML)


@dataclass(frozen=True, slots=True)
class Instead:
    """What happens to one answer."""

    #: Given instead of calling the method; ``None``: the method is called, and gives the answer.
    answer: Answer | None = None
    #: Seconds, of ours, that it is late.
    delay: float = 0.0
    #: Half of the body is sent, as if it were the whole.
    is_torn: bool = False
    #: Half of the body is sent, and then the connection ends.
    is_cut: bool = False


class Answers:
    """What tests have told the simulator to answer next."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int | None], deque[Instead]] = {}

    def next(
        self,
        method: str,
        *,
        status: int | None = None,
        body: bytes | str | JsonObject | None = None,
        content_type: str = _JSON,
        delay: float = 0.0,
        cut: bool = False,
        times: int = 1,
        instance: int | None = None,
    ) -> None:
        """Say what the next calls of a method are answered.

        With ``status`` or ``body`` the method is not called. With neither it is, and its own answer is
        late, or cut: a notification is deleted, and whoever deleted it does not learn it.

        Args:
            method: Such as ``receiveNotification``.
            status: HTTP status; 200 where only a body is given.
            body: As it is to be sent; an object is sent as JSON.
            content_type: Of the body.
            delay: Seconds, of ours, before the answer.
            cut: Send half of the body and end the connection.
            times: How many calls.
            instance: Whose calls, by ``idInstance``; those of all by default.
        """
        given = status is not None or body is not None
        answer = Answer(status or 200, _bytes(body), content_type) if given else None
        instead = Instead(answer, delay, is_cut=cut)
        self._next.setdefault((method, instance), deque()).extend([instead] * times)

    def take(self, method: str, instance: int) -> Instead | None:
        """Return what was said of this call, and forget it."""
        if not self._next:
            return None
        for key in ((method, instance), (method, None)):
            if waiting := self._next.get(key):
                return waiting.popleft()
        return None


def torn(answer: Answer) -> Answer:
    """Return an answer without the second half of its body."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def _bytes(body: bytes | str | JsonObject | None) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    return body if isinstance(body, bytes) else orjson.dumps(body)
