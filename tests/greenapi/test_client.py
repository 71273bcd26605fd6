from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from router.errors import (
    BadAnswer,
    BadRequest,
    GreenApiError,
    InstanceNotReady,
    NoAnswer,
    RateLimited,
    ServerError,
    Unauthorized,
    WebhookUrlIsSet,
)
from router.greenapi.client import GreenApi, InstanceApi
from router.greenapi.notifications import Notification
from router.greenapi.spacing import Spacing
from router.retry import RetryPolicy
from tests.greenapi.scripted import HANG_UP, SILENCE, Answering, Reply, Scripted, in_turn

TOKEN = "d75b3a66/374942c5"
AT_ONCE = RetryPolicy(attempts=3, first=0)


@asynccontextmanager
async def api(answer: Answering) -> AsyncIterator[tuple[InstanceApi, Scripted]]:
    """The API of an instance whose server answers as it is told."""
    async with Scripted(answer).serving() as server, GreenApi(AT_ONCE) as green_api:
        yield green_api.instance(1101000001, server.url, TOKEN), server


async def test_a_method_is_called_by_its_name() -> None:
    async with api(in_turn(Reply(content={"idMessage": "A1"}))) as (shop, server):
        answer = await shop.call("sendMessage", chatId="1@c.us", message="Привет", quotedMessageId=None)
    (request,) = server.requests
    assert answer == {"idMessage": "A1"}
    assert (request.verb, request.target) == ("POST", "/waInstance1101000001/sendMessage/d75b3a66%2F374942c5")
    assert request.body.decode() == '{"chatId":"1@c.us","message":"Привет"}'
    assert request.headers["content-type"] == "application/json"


async def test_a_method_that_reads_has_its_arguments_in_the_query() -> None:
    async with api(in_turn(Reply(content=[]))) as (shop, server):
        assert await shop.call("lastIncomingMessages", minutes=60) == []
    (request,) = server.requests
    assert (request.verb, request.query, request.body) == ("GET", {"minutes": "60"}, b"")


async def test_a_method_that_is_not_known_is_posted() -> None:
    async with api(in_turn(Reply(content={"done": True}))) as (shop, server):
        assert await shop.call("sendSomethingNew", x=1) == {"done": True}
    assert (server.requests[0].verb, server.requests[0].body) == ("POST", b'{"x":1}')


async def test_one_connection_serves_one_request_after_another() -> None:
    async with api(in_turn(Reply(content={"stateInstance": "authorized"}))) as (shop, server):
        assert await shop.get_state() == "authorized"
        await shop.call("sendMessage")
        await shop.call("readChat")
    assert len(server.requests) == 3
    assert len({request.port for request in server.requests}) == 1


SENDS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], str]] = {
    "text": (
        "send_message",
        ("1@c.us", "Hello"),
        {"quoted": "A0", "typingTime": 2000},
        '{"chatId":"1@c.us","message":"Hello","quotedMessageId":"A0","typingTime":2000}',
    ),
    "file by URL": (
        "send_file_by_url",
        ("1@c.us", "https://example.com/a.pdf", "a.pdf"),
        {"caption": "See"},
        '{"chatId":"1@c.us","urlFile":"https://example.com/a.pdf","fileName":"a.pdf","caption":"See"}',
    ),
    "location": (
        "send_location",
        ("1@c.us", 12.5, -3.25),
        {"name": "Here"},
        '{"chatId":"1@c.us","latitude":12.5,"longitude":-3.25,"nameLocation":"Here"}',
    ),
    "contact": (
        "send_contact",
        ("1@c.us", {"phoneContact": 79001234567, "firstName": "Anna"}),
        {},
        '{"chatId":"1@c.us","contact":{"phoneContact":79001234567,"firstName":"Anna"}}',
    ),
    "poll": (
        "send_poll",
        ("1@c.us", "Red or blue?", ["red", "blue"]),
        {},
        '{"chatId":"1@c.us","message":"Red or blue?",'
        '"options":[{"optionName":"red"},{"optionName":"blue"}],"multipleAnswers":false}',
    ),
    "buttons": (
        "send_interactive_buttons",
        (
            "1@c.us",
            "Choose",
            [{"type": "url", "buttonId": "1", "buttonText": "Go", "url": "https://example.com"}],
        ),
        {"footer": "f"},
        '{"chatId":"1@c.us","body":"Choose","buttons":'
        '[{"type":"url","buttonId":"1","buttonText":"Go","url":"https://example.com"}],"footer":"f"}',
    ),
}


@pytest.mark.parametrize(("method", "positional", "named", "body"), SENDS.values(), ids=SENDS.keys())
async def test_a_send_returns_the_id_of_its_message(
    method: str, positional: tuple[Any, ...], named: dict[str, Any], body: str
) -> None:
    async with api(in_turn(Reply(content={"idMessage": "A1"}))) as (shop, server):
        assert await getattr(shop, method)(*positional, **named) == "A1"
    assert server.requests[0].body.decode() == body


async def test_a_file_is_uploaded_as_a_form(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_bytes(b"\x00content\xff")
    async with api(in_turn(Reply(status=429), Reply(content={"idMessage": "A1", "urlFile": "…"}))) as (
        shop,
        server,
    ):
        assert await shop.send_file_by_upload("1@c.us", file, caption="See") == "A1"
    for request in server.requests:  # the second time the whole file again
        assert request.method == "sendFileByUpload"
        assert request.headers["content-type"].startswith("multipart/form-data")
        for part in (b"\x00content\xff", b'filename="report.txt"', b"1@c.us", b"See"):
            assert part in request.body


async def test_other_helpers() -> None:
    answers = {
        "forwardMessages": {"messages": ["B1", "B2"]},
        "downloadFile": {"downloadUrl": "https://example.com/f"},
        "getSettings": {"incomingWebhook": "yes"},
        "setSettings": {"saveSettings": True},
        "lastIncomingMessages": [{"idMessage": "A1"}],
        "readChat": {"setRead": True},
    }
    async with api(lambda request: Reply(content=answers[request.method])) as (shop, _):
        assert await shop.forward_messages("1@c.us", "2@c.us", ["A1", "A2"]) == ["B1", "B2"]
        assert await shop.download_file("1@c.us", "A1") == "https://example.com/f"
        assert await shop.get_settings() == {"incomingWebhook": "yes"}
        await shop.set_settings({"incomingWebhook": "no"})
        assert await shop.last_incoming_messages(60) == [{"idMessage": "A1"}]
        await shop.read_chat("1@c.us")


async def test_settings_that_were_not_saved_are_an_error() -> None:
    async with api(in_turn(Reply(content={"saveSettings": False}))) as (shop, _):
        with pytest.raises(BadAnswer, match="expected saveSettings: true"):
            await shop.set_settings({"incomingWebhook": "no"})


def test_an_instance_is_the_same_for_the_same_token_only() -> None:
    green_api = GreenApi()
    shop = green_api.instance(7, "https://api.greenapi.com", "one")
    assert green_api.instance(7, "https://api.greenapi.com", "one") is shop
    assert green_api.instance(7, "https://api.greenapi.com", "two") is not shop


@pytest.mark.parametrize("host", ["api.", "1101.api."])
def test_files_go_to_a_host_of_their_own(host: str) -> None:
    shop = GreenApi().instance(1101000001, f"https://{host}greenapi.com/v3/", "x")
    media = host.replace("api", "media")
    assert shop._exchange._media_url == f"https://{media}greenapi.com/v3/waInstance1101000001"
    assert shop._exchange._api_url == f"https://{host}greenapi.com/v3/waInstance1101000001"


TRANSIENT = {
    "500": Reply(status=500),
    "502 as HTML": Reply(status=502, content="<h1>Bad Gateway</h1>"),
    "499": Reply(status=499),
    "429": Reply(status=429),
    "429 that says when": Reply(status=429, headers={"Retry-After": "0"}),
    "hung up": HANG_UP,
    "cut off": Reply(content={"idMessage": "A1"}, cut_after=5),
    "a page": Reply(content="<html>"),
}


@pytest.mark.parametrize("first", TRANSIENT.values(), ids=TRANSIENT.keys())
@pytest.mark.parametrize("method", ["checkWhatsapp", "readChat"])
async def test_what_reads_is_repeated(method: str, first: Reply) -> None:
    async with api(in_turn(first, Reply(content={"a": 1}))) as (shop, server):
        assert await shop.call(method) == {"a": 1}
    assert set(server.methods) == {method}
    assert len(server.methods) >= 2


@pytest.mark.parametrize("first", TRANSIENT.values(), ids=TRANSIENT.keys())
async def test_a_send_is_repeated_only_when_it_surely_did_not_happen(first: Reply) -> None:
    async with api(in_turn(first, Reply(content={"idMessage": "A1"}))) as (shop, server):
        if first.status == 429:
            assert await shop.send_message("1@c.us", "Hello") == "A1"
            assert len(server.requests) == 2
        else:
            with pytest.raises(GreenApiError):
                await shop.send_message("1@c.us", "Hello")
            assert len(server.requests) == 1


async def test_a_send_is_repeated_when_nobody_could_be_reached() -> None:
    failed = asyncio.Event()

    class Noted(RetryPolicy):
        def next(self, attempt: int, random: Callable[[], float]) -> float | None:
            failed.set()
            return 0.01

    port = _free_port()
    server = Scripted(in_turn(Reply(content={"idMessage": "A1"})))
    async with GreenApi(Noted()) as green_api:
        shop = green_api.instance(1101000001, f"http://127.0.0.1:{port}", TOKEN)
        sending = asyncio.create_task(shop.send_message("1@c.us", "Hello"))
        await failed.wait()
        async with server.serving(port):
            assert await sending == "A1"
    assert len(server.requests) == 1


async def test_a_connection_that_cannot_be_had_is_told_in_words() -> None:
    port = _free_port()
    async with GreenApi(AT_ONCE) as green_api:
        with pytest.raises(NoAnswer) as caught:
            await green_api.instance(7, f"http://127.0.0.1:{port}", TOKEN).get_state()
    assert (
        str(caught.value) == "instance 7: getStateInstance: cannot connect to 127.0.0.1: Connection refused"
    )
    assert caught.value.was_sent is False


async def test_an_address_that_speaks_no_tls_is_told_in_words() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server, GreenApi(AT_ONCE) as green_api:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoAnswer, match=r"cannot connect to 127\.0\.0\.1: no TLS: [A-Z_]+$"):
            await green_api.instance(1, f"https://127.0.0.1:{port}", TOKEN).receive_notification(5)


@pytest.mark.parametrize("method", ["receiveNotification", "reboot", "clearWebhooksQueue"])
async def test_a_request_is_not_sent_again_unseen_where_a_connection_is_closed(method: str) -> None:
    async with api(in_turn(Reply(), HANG_UP, Reply())) as (shop, server):
        await shop.call("getSettings")  # has a connection, which is used again
        with pytest.raises(NoAnswer, match="closed before there was an answer"):
            await (shop.receive_notification(5) if method == "receiveNotification" else shop.call(method))
    assert server.methods == ["getSettings", method]


async def test_after_some_attempts_the_error_is_raised() -> None:
    async with api(in_turn(Reply(status=503))) as (shop, server):
        with pytest.raises(ServerError):
            await shop.call("readChat")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=401, content=b""), Unauthorized),
        (Reply(status=400, content="instance account not authorized"), InstanceNotReady),
        (Reply(status=400, content="Validation failed"), BadRequest),
    ],
)
async def test_what_does_not_pass_by_itself_is_not_repeated(reply: Reply, kind: type[GreenApiError]) -> None:
    async with api(in_turn(reply)) as (shop, server):
        with pytest.raises(kind):
            await shop.get_state()
    assert len(server.requests) == 1


async def test_a_redirect_is_not_followed() -> None:
    async with api(in_turn(Reply(status=302, headers={"Location": "http://127.0.0.1:1/"}))) as (shop, server):
        with pytest.raises(BadAnswer, match="expected 200, found 302"):
            await shop.call("sendMessage")
    assert len(server.requests) == 1


async def test_a_notification_is_received_and_deleted() -> None:
    waiting = {"receiptId": 7, "body": {"typeWebhook": "deviceInfo"}}
    answers = {"receiveNotification": waiting, "deleteNotification": {"result": True, "reason": ""}}
    async with api(lambda request: Reply(content=answers[request.method])) as (shop, server):
        assert await shop.receive_notification(20) == Notification(7, b'{"typeWebhook":"deviceInfo"}')
        assert await shop.delete_notification(7) is True
    received, deleted = server.requests
    assert (received.verb, received.query) == ("GET", {"receiveTimeout": "20"})
    assert (deleted.verb, deleted.target.rpartition("/")[2]) == ("DELETE", "7")


async def test_a_notification_that_may_be_cut_off_is_none() -> None:
    @dataclass(frozen=True, slots=True)
    class Endless(Reply):
        def wire(self) -> bytes:
            return b"HTTP/1.0 200 OK\r\n\r\n" + self.body()

    half = Endless(content=b'{"receiptId":7,"body":{"a":', cut_after=0)
    broken = Endless(content=b'{"receiptId":7,"body":{"a":}}', cut_after=0)
    whole = Endless(content=b'{"receiptId":7,"body":{"a":1}}', cut_after=0)
    async with api(in_turn(half, broken, whole)) as (shop, _):
        with pytest.raises(NoAnswer, match="the answer was cut off"):
            await shop.receive_notification(5)
        assert await shop.receive_notification(5) == Notification(7, b'{"a":}', is_broken=True)
        assert await shop.receive_notification(5) == Notification(7, b'{"a":1}')


async def test_a_receipt_that_is_gone_is_no_error() -> None:
    async with api(in_turn(Reply(content={"result": False, "reason": "already deleted"}))) as (shop, _):
        assert await shop.delete_notification(7) is False


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(content=[]), BadAnswer, "expected a receiptId, found none"),
        (Reply(content="<html>Welcome</html>"), BadAnswer, "expected JSON, found Welcome"),
        (
            Reply(content={"status": False, "reason": "account is expired"}),
            GreenApiError,
            "account is expired",
        ),
        (Reply(status=400, content="custom webhook url is set"), WebhookUrlIsSet, "clear webhookUrl"),
        (Reply(status=429), RateLimited, "429"),
    ],
)
async def test_an_answer_without_a_notification(reply: Reply, kind: type[GreenApiError], words: str) -> None:
    async with api(in_turn(reply)) as (shop, server):
        with pytest.raises(kind, match=words):
            await shop.receive_notification(20)
    assert len(server.requests) == 1


async def test_a_server_that_is_silent_beyond_its_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.greenapi.client._LATE", 0.05)
    async with api(in_turn(SILENCE)) as (shop, _):
        with pytest.raises(NoAnswer, match="no answer within") as caught:
            await shop.receive_notification(0.05)
    assert caught.value.was_sent


ECHOES = {
    "as text": Reply(status=500, content=f"cannot serve /waInstance1/getStateInstance/{TOKEN}"),
    "as a URL": Reply(status=403, content="<p>/waInstance1/x/d75b3a66%2F374942c5 is forbidden</p>"),
    "as JSON": Reply(status=400, content={"message": "bad path", "path": f"/getStateInstance/{TOKEN}"}),
    "in a refusal": Reply(content={"status": False, "reason": f"token {TOKEN}"}),
    "hung up": HANG_UP,
    "cut off": Reply(content="x" * 100, cut_after=5),
}


@pytest.mark.parametrize("reply", ECHOES.values(), ids=ECHOES.keys())
async def test_the_token_is_in_no_error(reply: Reply) -> None:
    async with api(in_turn(reply)) as (shop, _):
        with pytest.raises(GreenApiError) as caught:
            await shop.call("sendMessage")
        told = (
            "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.args)
        )
    while_raised = caught.value.__context__
    assert while_raised is None
    for spelling in (TOKEN, "d75b3a66", "374942c5"):
        assert spelling not in told


def test_requests_are_spaced_out() -> None:
    now = 100.0
    spacing = Spacing(50, lambda: now)
    assert [round(spacing.take(), 3) for _ in range(3)] == [0, 0.02, 0.04]
    now = 100.05
    assert round(spacing.take(), 3) == 0.01
    now = 200.0
    assert spacing.take() == 0


async def test_the_rate_of_a_method_holds_for_all_who_use_the_instance() -> None:
    async with api(in_turn(Reply(content={"idMessage": "A1"}))) as (shop, server):
        await asyncio.gather(*(shop.send_message("1@c.us", str(number)) for number in range(11)))
    times = sorted(request.at for request in server.requests)
    assert times[-1] - times[0] >= 10 / 50 * 0.9


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
