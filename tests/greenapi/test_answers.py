from __future__ import annotations

import pytest

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
from router.greenapi.answers import Answer, value_of

NGINX_404 = (
    b"<html>\r\n<head><title>404 Not Found</title></head>\r\n"
    b"<body>\r\n<center><h1>404 Not Found</h1></center>"
    b"\r\n<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n"
)
QUOTA = (
    b'{"invokeStatus":{"method":"sendMessage","used":100,"total":100,"status":"EXCEEDED",'
    b'"description":"the quota of the month is used up"}}'
)
WEBHOOK_URL = (
    "Message cannot be received because custom webhook url is set. "
    "If webhookUrl has just been cleared, please wait about 1 minute"
)

FAILURES: dict[str, tuple[int, bytes, type[GreenApiError], str]] = {
    "401 is empty": (401, b"", Unauthorized, "401"),
    "403 suspended": (403, b"Your account is suspended", Unauthorized, "403: Your account is suspended"),
    "404 by nginx": (404, NGINX_404, UnknownInstance, "404: 404 Not Found 404 Not Found nginx/1.18.0"),
    "429": (429, b'{"message":"Too Many Requests"}', RateLimited, "429: Too Many Requests"),
    "466": (466, QUOTA, QuotaExceeded, "466: the quota of the month is used up"),
    "469": (469, b"check limit", QuotaExceeded, "469: check limit"),
    "499": (499, b"", ServerError, "499"),
    "502 by nginx": (502, b"<h1>502 Bad Gateway</h1>", ServerError, "502: 502 Bad Gateway"),
    "a webhook URL": (400, WEBHOOK_URL.encode(), WebhookUrlIsSet, f"400: {WEBHOOK_URL}"),
    "a webhook URL, as JSON": (
        400,
        b'{"statusCode":400,"message":"custom webhook url is set"}',
        WebhookUrlIsSet,
        "400: custom webhook url is set",
    ),
    "starting": (400, b"instance in starting process try later", InstanceNotReady, "400: instance in"),
    "not authorized": (400, b'{"message":"instance account not authorized"}', InstanceNotReady, "400: inst"),
    "expired": (400, b"Instance account is expired", InstanceGone, "400: Instance account is expired"),
    "deleted": (400, b"Instance is deleted", InstanceGone, "400: Instance is deleted"),
    "bad data": (400, b"Validation failed. Details: 'chatId'", BadRequest, "400: Validation failed. Det"),
    "refused with 200": (200, b'{"status":false,"reason":"no such message"}', BadRequest, "no such message"),
    "not ready with 200": (
        200,
        b'{"status":false,"reason":"instance account not authorized"}',
        InstanceNotReady,
        "instance account not authorized",
    ),
    "a page with 200": (200, b"<html><body>Welcome</body></html>", BadAnswer, "expected JSON, found Welcome"),
    "a redirect": (302, b"", BadAnswer, "expected 200, found 302"),
    "nested deeply": (400, b"[" * 1000 + b"]" * 1000, BadRequest, '400: "[list that cannot be shown]"'),
    "a reason in a reason": (400, b'{"message":' * 1000 + b"1" + b"}" * 1000, BadRequest, "400: 1"),
    "tags without end": (500, b"<style" * 400_000, ServerError, "500: <style<style"),
    "nothing it is known for": (418, b"teapot", BadRequest, "418: teapot"),
}


@pytest.mark.parametrize(("status", "body", "kind", "found"), FAILURES.values(), ids=FAILURES.keys())
def test_an_answer_that_means_failure(
    status: int, body: bytes, kind: type[GreenApiError], found: str
) -> None:
    with pytest.raises(GreenApiError) as caught:
        value_of(1101000001, "sendMessage", Answer(status, body))
    assert type(caught.value) is kind
    assert caught.value.found.startswith(found)
    assert str(caught.value).startswith(f"instance 1101000001: sendMessage: {found}")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"idMessage":"A1"}', {"idMessage": "A1"}),
        (b"[]", []),
        (b"null", None),
        (b"", None),
        (b" \r\n", None),
        (b'{"status":true}', {"status": True}),
        (b'{"result":false,"reason":"already deleted"}', {"result": False, "reason": "already deleted"}),
    ],
)
def test_an_answer_that_means_success(body: bytes, value: object) -> None:
    assert value_of(1, "getSettings", Answer(200, body)) == value


def test_the_advice_is_told() -> None:
    with pytest.raises(WebhookUrlIsSet) as caught:
        value_of(1, "receiveNotification", Answer(400, WEBHOOK_URL.encode()))
    assert str(caught.value).endswith(
        "; clear webhookUrl in its settings (router instances sync), or receive by webhook"
    )


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, None), ("soon", None), ("", None)])
def test_how_long_to_wait_when_there_were_too_many(header: str | None, seconds: float | None) -> None:
    with pytest.raises(RateLimited) as caught:
        value_of(1, "getSettings", Answer(429, b"", header))
    assert caught.value.retry_after == seconds


def test_a_long_reason_is_cut() -> None:
    with pytest.raises(ServerError) as caught:
        value_of(1, "getSettings", Answer(500, b"x" * 5000))
    assert caught.value.found == f"500: {'x' * 200}…"
