from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from router_apprise import Channel, Options
from router_apprise.service import Service

from router import Alert, AlertKind, RetryLater, hookimpl
from router.errors import ConfigError
from router.testing import RouterHarness, make_event

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
SECRET = "a1b2c3-token-of-nobody"
ALERT = Alert(
    id="1",
    kind=AlertKind.DEAD,
    subject="orders",
    count=3,
    since_last=2,
    first_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
    last_at=datetime(2026, 11, 24, 13, tzinfo=UTC),
    is_recovered=False,
    facts={"delivery": 7},
    title="Dead letter on route: orders",
    text="It happened 3 times.\nTo look: router dead list <b>*all*</b>",
)


class Server(ThreadingHTTPServer):
    """An HTTP server that notes what it gets, answers a status, or nothing at all until it is let go."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.status = 200
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.arrived = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.may_answer.set()

    def url(self, scheme: str = "json", path: str = SECRET) -> str:
        return f"{scheme}://127.0.0.1:{self.server_port}/{path}"


class _Request(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, json.loads(body)))
        self.server.arrived.release()
        self.server.may_answer.wait()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(name="start")
def _start() -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def start() -> Server:
        server = Server()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.may_answer.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(start: Callable[[], Server]) -> Server:
    return start()


def options(*urls: str, **others: Any) -> Options:
    return msgspec.convert({"urls": list(urls), **others}, Options)


def refused() -> str:
    """Return the URL of a port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"json://127.0.0.1:{listener.getsockname()[1]}/{SECRET}"


def on_their_way() -> list[threading.Thread]:
    """Return the threads that send something now."""
    return [thread for thread in threading.enumerate() if thread.name == "apprise-JSON"]


async def failure(channel: Channel, alert: Alert, given: Options) -> str:
    with pytest.raises(RetryLater) as raised:
        await channel.send(alert, given)
    return raised.value.reason


# What is sent


async def test_an_alert_is_a_request_with_title_text_and_severity(server: Server) -> None:
    await Channel().send(ALERT, options(server.url(), prefix="[shop]"))
    ((path, body),) = server.got
    assert path == f"/{SECRET}"
    assert (body["title"], body["message"], body["type"]) == (
        "[shop] Dead letter on route: orders",
        ALERT.text,
        "failure",
    )


async def test_another_service_gets_the_same_in_its_own_form(server: Server) -> None:
    await Channel().send(ALERT, options(server.url("ntfy", "ops")))
    ((_, body),) = server.got
    assert (body["topic"], body["title"], body["message"]) == ("ops", ALERT.title, ALERT.text)


async def test_a_chat_of_a_service_with_markdown_gets_the_text_as_it_is(server: Server) -> None:
    await Channel().send(ALERT, options(server.url("mmost", "hooks/abcdefghijklmnopqrstuvwx")))
    ((_, body),) = server.got
    assert "router dead list <b>*all*</b>" in body["text"]


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        (replace(ALERT, kind=AlertKind.UNKNOWN_TYPE), "warning"),
        (replace(ALERT, kind=AlertKind.QUIET), "warning"),
        (replace(ALERT, kind=AlertKind.INVALID), "failure"),
        (replace(ALERT, kind=AlertKind.INBOX_UNAVAILABLE), "failure"),
        (replace(ALERT, is_recovered=True), "success"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.kind),
)
async def test_the_severity_follows_the_kind(server: Server, alert: Alert, expected: str) -> None:
    await Channel().send(alert, options(server.url()))
    assert server.got[0][1]["type"] == expected


async def test_what_is_too_long_for_a_service_is_cut(server: Server) -> None:
    await Channel().send(replace(ALERT, text="x" * 100_000), options(server.url("ntfy", "ops")))
    assert len(server.got) == 1
    assert 1_000 < len(server.got[0][1]["message"]) < 10_000


# What fails


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_a_service_that_refuses_is_an_error_that_says_what_came(server: Server, status: int) -> None:
    server.status = status
    reason = await failure(Channel(), ALERT, options(server.url()))
    assert reason.startswith("urls[0] (JSON): Failed to send JSON POST …: ") or str(status) in reason
    assert SECRET not in reason


async def test_a_service_that_cannot_be_reached_is_an_error() -> None:
    reason = await failure(Channel(), ALERT, options(refused()))
    assert reason.startswith("urls[0] (JSON): A Connection error occurred")
    assert SECRET not in reason


async def test_what_apprise_quotes_of_an_address_is_taken_out() -> None:
    url = refused().replace("127.0.0.1", "localhost")  # in many addresses, a token stands in its place
    assert "sending JSON notification to …." in await failure(Channel(), ALERT, options(url))


async def test_an_error_holds_no_part_of_the_address(server: Server) -> None:
    server.status = 500
    host = f"127.0.0.1:{server.server_port}"
    url = f"json://operator:pass%20word@{host}/{SECRET}?-X-Key=of-the-header"
    reason = await failure(Channel(), ALERT, options(url))
    for part in ("operator", "pass", "word", SECRET, "of-the-header"):
        assert part not in reason


async def test_only_where_it_failed_it_is_sent_again(start: Callable[[], Server]) -> None:
    good, bad = start(), start()
    bad.status = 500
    channel, both = Channel(), options(good.url(), bad.url())
    for _ in range(3):
        assert (await failure(channel, ALERT, both)).startswith("urls[1] (JSON): ")
    bad.status = 200
    await channel.send(ALERT, both)
    assert (len(good.got), len(bad.got)) == (1, 4)


async def test_the_next_alert_is_sent_everywhere(start: Callable[[], Server]) -> None:
    good, bad = start(), start()
    bad.status = 500
    channel, both = Channel(), options(good.url(), bad.url())
    await failure(channel, ALERT, both)
    await failure(channel, replace(ALERT, id="2"), both)
    assert (len(good.got), len(bad.got)) == (2, 2)


async def test_what_was_sent_everywhere_is_forgotten(server: Server) -> None:
    channel = Channel()
    await channel.send(ALERT, options(server.url()))
    await channel.send(ALERT, options(server.url()))
    assert len(server.got) == 2


async def test_a_service_that_hangs_holds_up_neither_the_loop_nor_the_others(
    start: Callable[[], Server],
) -> None:
    good, hanging = start(), start()
    hanging.may_answer.clear()
    channel, both = Channel(), options(hanging.url(), good.url())
    sending = asyncio.create_task(channel.send(ALERT, both))
    await asyncio.to_thread(good.arrived.acquire)
    await asyncio.to_thread(hanging.arrived.acquire)
    while len(on_their_way()) > 1:
        await asyncio.sleep(0.01)
    assert not sending.done()
    sending.cancel()  # as the router does when its time is up
    with pytest.raises(asyncio.CancelledError):
        await sending
    reason = await failure(channel, ALERT, both)
    assert reason == "urls[0] (JSON): its last message is still on its way"
    assert (len(good.got), len(hanging.got)) == (1, 1)


async def test_what_arrives_after_its_time_is_not_sent_again(server: Server) -> None:
    server.may_answer.clear()
    channel, given = Channel(), options(server.url())
    sending = asyncio.create_task(channel.send(ALERT, given))
    await asyncio.to_thread(server.arrived.acquire)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    server.may_answer.set()
    for thread in on_their_way():
        await asyncio.to_thread(thread.join)
    await channel.send(ALERT, given)
    assert len(server.got) == 1


async def test_apprise_itself_logs_nowhere(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)  # as the router has it for all libraries
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    server.status = 500
    await failure(Channel(), ALERT, options(server.url()))
    with pytest.raises(ValueError, match="the address of Slack"):
        Service(f"slack://{SECRET}")
    assert [record for record in caplog.records if record.name == "apprise"] == []
    assert SECRET not in caplog.text


# What is checked at the start


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (SECRET, "expected an address of apprise, such as tgram://BOT_TOKEN/CHAT_ID"),
        ("", "expected an address of apprise, such as tgram://BOT_TOKEN/CHAT_ID"),
        (
            f"slak://{SECRET}",
            "apprise has no service whose addresses begin like this one; did you mean slack://?",
        ),
        (
            f"slack://{SECRET}",
            "the address of Slack is not complete: expected a form such as slack://{token_a}/{token_b}/{token_c}",
        ),
        (f"tgram://{SECRET}", "the address of Telegram is not complete: expected a form such as tgram://"),
    ],
)
def test_an_address_that_apprise_cannot_use_is_told_without_it(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"urls[1]: {problem}")) as raised:
        options("json://host", url)
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_an_address_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("urls[1]: the same address stands before it")):
        options("json://host", "json://host")


@pytest.mark.parametrize(
    "given", [{}, {"urls": []}, {"urls": "json://host"}, {"urls": ["json://host"], "tag": 1}]
)
async def test_options_of_another_shape_are_refused_at_the_start(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        async with harness({"handler": "apprise", "options": given}):
            pass


def test_the_repr_of_the_options_shows_no_address() -> None:
    assert SECRET not in repr(options(f"json://host/{SECRET}"))


# In the router


async def break_it(event: object) -> None:
    raise ValueError("no such order")


class Shop:
    """A plugin whose only handler fails."""

    @staticmethod
    @hookimpl
    def register_handlers(register: Any) -> None:
        register("shop", break_it)


def harness(alert: dict[str, Any]) -> RouterHarness:
    route = {"name": "orders", "type": "*", "handler": "shop", "retry": {"attempts": 1}}
    text = json.dumps({"version": 1, "routes": [route], "alerts": [alert]})
    return RouterHarness(text, plugins=[Shop])


async def test_a_dead_letter_is_sent(server: Server) -> None:
    async with harness({"handler": "apprise", "options": {"urls": [server.url()]}}) as router:
        await router.send(make_event(text="hello"))
        await router.settle()
        await asyncio.to_thread(server.arrived.acquire)
    ((_, body),) = server.got
    assert body["title"] == "Dead letter on route: orders"
    assert "error: 1 attempts failed: ValueError: no such order" in body["message"]


async def test_a_problem_of_an_address_has_its_line_and_not_its_secret() -> None:
    with pytest.raises(ConfigError) as raised:
        async with harness({"handler": "apprise", "options": {"urls": [f"slack://{SECRET}"]}}):
            pass
    assert re.search(r":1:\d+: .*urls\[0\]: the address of Slack is not complete", str(raised.value))
    assert SECRET not in str(raised.value)


# The README


FORMS = {
    "tgram": "tgram://123456789:abcdefg_hijklmnop/12315544",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "workflows": f"workflows://prod-1.example.com/{'abcdef12' * 4}/signature-abcdef12345",
    "gchat": "gchat://AAAA/BBBB-key/CCCC-token",
    "mmosts": "mmosts://host/abcdefghijklmnopqrstuvwx",
    "rockets": "rockets://user:pass@host/ops",
    "matrixs": "matrixs://user:pass@host/!room",
    "mailtos": "mailtos://user:pass@example.com?to=ops@example.com",
    "ntfys": "ntfys://host/topic",
    "gotifys": "gotifys://host/abcdefghijklmno",
    "pover": f"pover://u{'1' * 29}@a{'1' * 29}",
    "pagerduty": "pagerduty://integrationkey1234@apikey1234567",
    "opsgenie": "opsgenie://abcdefgh-1234-1234-1234-123456789012",
    "twilio": f"twilio://AC{'1' * 32}:{'1' * 32}@15551234567/15557654321",
    "jsons": "jsons://host/path",
}


def test_every_form_of_the_readme_is_one_that_apprise_takes() -> None:
    written = re.findall(r"^\| [^|]+ \| `(\w+)://", README, re.MULTILINE)
    assert written == list(FORMS)
    assert len([Service(url) for url in FORMS.values()]) == len(written)


def test_the_readme_has_every_option() -> None:
    section = README.partition("| option |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(Options.__dataclass_fields__)
