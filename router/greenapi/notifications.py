"""The answer of ``receiveNotification``: a notification with the receipt by which it is deleted."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

#: What GREEN-API answers when nothing waits. An empty body is reported for MAX.
_NOTHING = frozenset({b"", b"null", b'"null"', b"{}"})
#: As GREEN-API writes it; the body is taken as it stands, without being read.
_USUAL = re.compile(rb'\s*\{\s*"receiptId"\s*:\s*(\d{1,20})\s*,\s*"body"\s*:(.*)\}\s*', re.DOTALL)
_RECEIPT = re.compile(rb'"receiptId"\s*:\s*"?(\d{1,20})')
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Notification:
    """The head of an instance's queue: it stays there until its receipt is deleted."""

    receipt_id: int
    #: The notification byte by byte: any bytes at all.
    body: bytes
    #: Whether the answer was no JSON: cut off on its way, or so in the queue.
    is_broken: bool = False


class NoReceipt(ValueError):
    """Raised when an answer is neither empty nor names a receipt."""


def read(answer: bytes) -> Notification | None:
    """Return the notification in an answer, or ``None`` when there is none.

    An answer that is no JSON may still name a receipt, so that it can be kept and deleted: otherwise
    it would stay the head of the queue, and nothing behind it would ever come.

    Raises:
        NoReceipt: It names none.
    """
    if answer.strip() in _NOTHING:
        return None
    try:
        envelope = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return _of_broken(answer)
    receipt = envelope.get("receiptId") if isinstance(envelope, dict) else None
    if isinstance(receipt, str) and _NUMBER.fullmatch(receipt):
        receipt = int(receipt)
    if not isinstance(receipt, int) or isinstance(receipt, bool):
        raise NoReceipt
    return Notification(receipt, _body(answer, envelope.get("body")))


def _body(answer: bytes, value: object) -> bytes:
    """Return the body as it stands in the answer, or, where the answer has an unusual form, written anew."""
    usual = _USUAL.fullmatch(answer)
    if usual and _is_json(usual[2]):
        return usual[2].strip()
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return answer


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _of_broken(answer: bytes) -> Notification:
    if usual := _USUAL.fullmatch(answer):
        return Notification(int(usual[1]), usual[2].strip(), is_broken=True)
    if found := _RECEIPT.search(answer):
        return Notification(int(found[1]), answer, is_broken=True)
    raise NoReceipt
