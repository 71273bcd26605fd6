"""An answer of GREEN-API → what it says, or the error it means. Pure.

Errors come as JSON, text, HTML or nothing, whatever the content type, and some of them with status
200. Source: GREEN-API's documentation, page "Common errors", and its public issue tracker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from router.errors import (
    BadAnswer,
    BadRequest,
    GreenApiError,
    InstanceGone,
    InstanceNotReady,
    QuotaExceeded,
    RateLimited,
    ServerError,
    Unauthorized,
    UnknownInstance,
    WebhookUrlIsSet,
)
from router.jsontext import dump

_BY_STATUS: dict[int, type[GreenApiError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: UnknownInstance,
    466: QuotaExceeded,
    469: QuotaExceeded,
    499: ServerError,
}
#: What a reason says → what it means; the first that fits.
_BY_REASON: list[tuple[re.Pattern[str], type[GreenApiError]]] = [
    (re.compile(r"webhook ?url is set", re.IGNORECASE), WebhookUrlIsSet),
    (re.compile(r"account is expired|instance is (deleted|expired)", re.IGNORECASE), InstanceGone),
    (re.compile(r"not authorized|starting", re.IGNORECASE), InstanceNotReady),
    (re.compile(r"quota", re.IGNORECASE), QuotaExceeded),
]
#: Keys under which GREEN-API gives a reason.
_REASONS = ("message", "reason", "error", "description", "invokeStatus", "correspondentsStatus")
_TAG = re.compile(r"<(style|script).*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
#: Bytes of a page in which its words are looked for.
_READ = 16 * 1024
#: Characters of a reason that are shown.
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over HTTP."""

    status: int
    body: bytes
    #: The header of that name.
    retry_after: str | None = None
    #: Whether it says where it ends. If not, it may have been cut off unnoticed.
    tells_its_end: bool = True


def require_ok(instance: int, method: str, answer: Answer) -> None:
    """Raise the `GreenApiError` that the status means, unless it is 200.

    Args:
        instance: ``idInstance``, for the error.
        method: Name of the method, for the error.
        answer: The answer.
    """
    status = answer.status
    if status == 200:
        return
    said = _said(answer.body)
    found = f"{status}: {said}" if said else str(status)
    if status == 429:
        wait = _seconds(answer.retry_after)
        raise RateLimited(instance, method, found, status=status, retry_after=wait)
    if status < 400:
        raise BadAnswer(instance, method, f"expected 200, found {found}", status=status)
    if status >= 500:
        raise ServerError(instance, method, found, status=status)
    raise _BY_STATUS.get(status, _meaning(said))(instance, method, found, status=status)


def value_of(instance: int, method: str, answer: Answer) -> Any:
    """Return the value that an answer holds; ``None`` for an empty one.

    Raises:
        GreenApiError: The answer means that the request failed.
    """
    require_ok(instance, method, answer)
    if not answer.body.strip():
        return None
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = _said(answer.body)
        raise BadAnswer(instance, method, f"expected JSON, found {said}", status=answer.status) from None
    if isinstance(value, dict) and value.get("status") is False:
        said = _said(answer.body)
        raise _meaning(said)(instance, method, said, status=answer.status)
    return value


def _meaning(reason: str) -> type[GreenApiError]:
    return next((kind for pattern, kind in _BY_REASON if pattern.search(reason)), BadRequest)


def _said(body: bytes) -> str:
    """Return the reason that a body gives, on one line: of JSON the reason's value, of HTML its words."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = _TAG.sub(" ", body[:_READ].decode("utf-8", "replace"))
    else:
        text = _reason(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _reason(value: object) -> str:
    while isinstance(value, dict):
        found = next((value[key] for key in _REASONS if value.get(key)), None)
        if found is None:
            break
        value = found
    return value if isinstance(value, str) else dump(value)


def _seconds(retry_after: str | None) -> float | None:
    """Read ``Retry-After`` where it is a number; GREEN-API is not known to send a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
