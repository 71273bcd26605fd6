from __future__ import annotations

import orjson
import pytest

from router import samples
from router.greenapi.notifications import NoReceipt, Notification, read

#: Nested as deeply as orjson reads, which is deeper than Python compares and than orjson writes.
DEEP = b'{"a":' * 1020 + b"1" + b"}" * 1020

READ = {
    "as GREEN-API writes it": (b'{"receiptId":7,"body":{"a": 1}}', Notification(7, b'{"a": 1}')),
    "spaces": (b' { "receiptId" : 7 , "body" : {"a": 1} } \n', Notification(7, b'{"a": 1}')),
    "the body first": (b'{"body":{"a": 1},"receiptId":7}', Notification(7, b'{"a":1}')),
    "more than it should have": (b'{"receiptId":7,"body":{"a": 1},"x":{}}', Notification(7, b'{"a":1}')),
    "a receipt as text": (b'{"receiptId":"7","body":{}}', Notification(7, b"{}")),
    "a body that is no object": (b'{"receiptId":7,"body":"text"}', Notification(7, b'"text"')),
    "no body": (b'{"receiptId":7}', Notification(7, b"null")),
    "a large number": (
        b'{"receiptId":7,"body":{"a":1e999}}',
        Notification(7, b'{"a":1e999}', is_broken=True),
    ),
    "nested deeply": (b'{"receiptId":7,"body":%b}' % DEEP, Notification(7, DEEP)),
    "nested deeply, in an unusual form": (
        b'{"body":%b,"receiptId":7}' % DEEP,
        Notification(7, b'{"body":%b,"receiptId":7}' % DEEP),
    ),
    "a broken body": (b'{"receiptId":7,"body":{"a":}}', Notification(7, b'{"a":}', is_broken=True)),
    "cut off": (b'{"receiptId":7,"body":{"a', Notification(7, b'{"receiptId":7,"body":{"a', is_broken=True)),
    "nothing": (b"null", None),
    "an empty answer": (b"", None),
    "white space": (b"\r\n", None),
    "the word null": (b'"null"', None),
    "an empty object": (b"{}", None),
}


@pytest.mark.parametrize(("answer", "notification"), READ.values(), ids=READ.keys())
def test_an_answer_is_read(answer: bytes, notification: Notification | None) -> None:
    assert read(answer) == notification


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"7",
        b'"text"',
        b'{"body":{}}',
        b'{"receiptId":true,"body":{}}',
        b"<html>",
        b'{"receiptId":null}',
        b'{"receiptId":"%b"}' % (b"9" * 5000),
    ],
)
def test_an_answer_without_a_receipt(answer: bytes) -> None:
    with pytest.raises(NoReceipt):
        read(answer)


@pytest.mark.parametrize("name", samples.names())
def test_the_body_is_kept_byte_by_byte(name: str) -> None:
    body = samples.read(name).strip()
    assert read(b'{"receiptId": 1, "body": ' + body + b"}") == Notification(1, body)
    compact = orjson.dumps(orjson.loads(body))
    assert read(b'{"receiptId":1,"body":' + compact + b"}") == Notification(1, compact)
