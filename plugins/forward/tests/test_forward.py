"""The handler against real servers on this machine; its context is a stand-in."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from aiohttp import web
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from router_forward import Forward, Options, new_secret, register_commands, register_handlers, secret
from standardwebhooks.webhooks import Webhook

from router import Delivery, Event, GiveUp, RetryLater

MakeEvent = Callable[..., Event]
MakeOptions = Callable[..., Options]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Lines:
    """A logger that keeps what it is told."""

    written: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, **facts: Any) -> None:
        self.written.append((event, facts))


def context(attempt: int = 1, route: str = "orders") -> Any:
    delivery = Delivery(id=1, event="e1", route=route, handler="forward", attempt=attempt)
    return SimpleNamespace(delivery=delivery, logger=Lines())


@asynccontextmanager
async def started(options: Options) -> AsyncIterator[Forward]:
    forward = Forward(options)
    await forward.start()
    try:
        yield forward
    finally:
        await forward.stop()


async def deliver(options: Options, event: Event) -> str:
    """Deliver an event once; return what came of it in a line."""
    async with started(options) as forward:
        return await outcome(forward, event)


async def outcome(forward: Forward, event: Event) -> str:
    try:
        await forward(event, context())
    except RetryLater as exc:
        return f"retry: {exc.reason}" + (f" after {exc.after:g}" if exc.after else "")
    except GiveUp as exc:
        return f"gave up: {exc.reason}"
    return "done"


@dataclass
class Request:
    """What the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A service that keeps what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.port = 0
        self.got: list[Request] = []
        self.peers: set[tuple[str, int]] = set()
        self.answer: Answer = self.status(200)

    @staticmethod
    def status(status: int, text: str = "", **headers: str) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(
                status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )

        return answer

    async def receive(self, request: web.Request) -> web.StreamResponse:
        self.got.append(Request(request.path_qs, dict(request.headers), await request.read()))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername")[:2])
        return await self.answer(request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=10 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", receiver.receive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@asynccontextmanager
async def speaking(*parts: bytes, hang: bool = False) -> AsyncIterator[str]:
    """Run a server that reads a request, says these bytes, and closes or hangs; yield its URL."""
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
        if hang:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()


# What is sent


async def test_an_event_is_posted(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    options = make_options(
        url=f"{receiver.url}/hook?shop=1", allow_private=True, headers={"Authorization": "Bearer abc"}
    )

    async with started(options) as forward:
        told = context()
        await forward(make_event(), told)

    (request,) = receiver.got
    assert (request.path, json.loads(request.body)["text"]) == ("/hook?shop=1", "Привет")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.headers["webhook-id"] == "e1_orders"
    assert "webhook-signature" not in request.headers
    assert "Cookie" not in request.headers
    assert told.logger.written == [("forward.done", {"to": receiver.url, "status": 200})]


@pytest.mark.parametrize("form", ["json", "cloudevents", "cloudevents-binary", "notification"])
async def test_a_request_is_verified_by_the_library_of_the_specification(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent, form: str
) -> None:
    new, old = new_secret(), new_secret()
    options = make_options(url=receiver.url, allow_private=True, format=form, secret=[new, old])

    await deliver(options, make_event())

    (request,) = receiver.got
    assert Webhook(new).verify(request.body, request.headers) == json.loads(request.body)
    assert Webhook(old).verify(request.body, request.headers) == json.loads(request.body)


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents-binary"])
async def test_a_request_is_read_by_the_library_of_cloudevents(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent, form: str
) -> None:
    event = make_event(
        typeWebhook="incomingMessageReceived", senderData={"chatId": 'Euro € "1"', "sender": "1@c.us"}
    )

    await deliver(make_options(url=receiver.url, allow_private=True, format=form), event)

    (request,) = receiver.got
    read = from_http_event(HTTPMessage(request.headers, request.body))
    data = read.get_data()
    assert isinstance(data, dict)
    assert (read.get_id(), read.get_subject(), data["data"]) == ("e1", 'Euro € "1"', event.data)


async def test_the_id_stays_over_the_attempts_and_differs_by_route(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    async with started(make_options(url=receiver.url, allow_private=True)) as forward:
        for attempt, route in [(1, "orders"), (2, "orders"), (1, "bills")]:
            await forward(make_event(), context(attempt, route))

    assert [request.headers["webhook-id"] for request in receiver.got] == [
        "e1_orders",
        "e1_orders",
        "e1_bills",
    ]


async def test_one_connection_serves_many_events(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    receiver.answer = receiver.status(200, "x" * 1000)
    async with started(make_options(url=receiver.url, allow_private=True)) as forward:
        for _ in range(5):
            await forward(make_event(), context())

    assert (len(receiver.got), len(receiver.peers)) == (5, 1)


async def test_a_large_event_is_posted_whole(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    event = make_event(large="x" * 3 * 1024 * 1024)

    assert await deliver(make_options(url=receiver.url, allow_private=True), event) == "done"
    assert json.loads(receiver.got[0].body)["data"] == event.data


async def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)

        assert await deliver(make_options(url=receiver.url, allow_private=True), make_event()) == "done"

    assert (len(receiver.got), proxy.got) == (1, [])


# What an answer means


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_success_is_done(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent, status: int
) -> None:
    receiver.answer = receiver.status(status)

    assert await deliver(make_options(url=receiver.url, allow_private=True), make_event()) == "done"


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (408, "", "retry: {url} answered 408 Request Timeout: why"),
        (425, "", "retry: {url} answered 425 Too Early: why"),
        (429, "7", "retry: {url} answered 429 Too Many Requests: why after 7"),
        (500, "", "retry: {url} answered 500 Internal Server Error: why"),
        (
            503,
            "Tue, 24 Nov 2099 11:00:00 GMT",
            "retry: {url} answered 503 Service Unavailable: why after 3600",
        ),
        (520, "", "retry: {url} answered 520: why"),
        (400, "", "gave up: {url} answered 400 Bad Request: why"),
        (404, "7", "gave up: {url} answered 404 Not Found: why"),
        (410, "", "gave up: {url} answered 410 Gone: why; the receiver wants no more: remove the route"),
    ],
)
async def test_other_statuses_are_tried_again_or_given_up(
    receiver: Receiver,
    make_options: MakeOptions,
    make_event: MakeEvent,
    status: int,
    retry_after: str,
    expected: str,
) -> None:
    receiver.answer = receiver.status(status, "why", Retry_After=retry_after)

    told = await deliver(make_options(url=receiver.url, allow_private=True), make_event())

    assert told == expected.format(url=receiver.url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent, status: int
) -> None:
    receiver.answer = receiver.status(status, Location=f"{receiver.url}/elsewhere")

    told = await deliver(make_options(url=f"{receiver.url}/hook", allow_private=True), make_event())

    assert f"; redirects are not followed: set url to where it points, {receiver.url}/elsewhere" in told
    assert (told[:7], [request.path for request in receiver.got]) == ("gave up", ["/hook"])


async def test_what_is_told_of_an_answer_holds_no_secret(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        sent = receiver.got[-1]
        return web.Response(
            status=400, text=f"{sent.path}\n{sent.headers['Authorization']} 79001234567 abcdef123"
        )

    receiver.answer = echo
    url = f"{receiver.url}/hooks/T0PSECRET?key=s3cr3t-key"
    options = make_options(url=url, allow_private=True, headers={"Authorization": "Bearer abcdef123"})

    told = await deliver(options, make_event())

    assert told == f"gave up: {receiver.url} answered 400 Bad Request: [secret] [secret] [number] [secret]"


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate", "br", "nonsense"])
async def test_a_huge_answer_is_not_read(
    make_options: MakeOptions, make_event: MakeEvent, encoding: str
) -> None:
    head = f"HTTP/1.1 500 X\r\nContent-Encoding: {encoding}\r\nContent-Length: 99999999999\r\n\r\n".encode()
    async with speaking(head, b"a" * 100_000, hang=True) as url:
        told = await deliver(make_options(url=url, allow_private=True), make_event())

    assert told == f"retry: {url} answered 500 Internal Server Error: {'a' * 200}…"


@pytest.mark.parametrize("hang", [True, False], ids=["hangs", "closes"])
async def test_once_the_status_is_known_the_rest_does_not_matter(
    make_options: MakeOptions, make_event: MakeEvent, hang: bool
) -> None:
    async with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nha", hang=hang) as url:
        options = make_options(url=url, allow_private=True, timeout="1h")
        assert await deliver(options, make_event()) == "done"

    async with speaking(b"HTTP/1.1 422 X\r\nContent-Length: 100\r\n\r\nhalf", hang=hang) as url:
        options = make_options(url=url, allow_private=True, timeout="1h")
        told = await deliver(options, make_event())
        assert told == f"gave up: {url} answered 422 Unprocessable Entity: half"


async def test_of_an_answer_without_end_only_the_beginning_is_read(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while written < 64 * 1024 * 1024:
            await response.write(b"a" * 65_536)
            written += 65_536
        return response

    receiver.answer = flood

    told = await deliver(make_options(url=receiver.url, allow_private=True), make_event())

    assert told == f"retry: {receiver.url} answered 500 Internal Server Error: {'a' * 200}…"
    assert written < 32 * 1024 * 1024  # what the buffers between the two hold


# No answer


async def test_a_receiver_that_hangs_is_tried_again(make_options: MakeOptions, make_event: MakeEvent) -> None:
    async with speaking(hang=True) as url:
        told = await deliver(make_options(url=url, allow_private=True, timeout="100ms"), make_event())

    assert told == f"retry: {url}: no answer within 0.1 s"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "the connection was closed before there was an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "the connection was closed before there was an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "the answer is no HTTP"),
    ],
    ids=["nothing", "half a head", "no HTTP", "huge head"],
)
async def test_what_is_no_answer_is_tried_again(
    make_options: MakeOptions, make_event: MakeEvent, said: bytes, reason: str
) -> None:
    async with speaking(said) as url:
        assert (
            await deliver(make_options(url=url, allow_private=True), make_event())
            == f"retry: {url}: {reason}"
        )


async def test_nobody_who_listens_is_tried_again(make_options: MakeOptions, make_event: MakeEvent) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        told = await deliver(make_options(url=url, allow_private=True), make_event())

    assert told == f"retry: {url}: cannot connect: Connection refused"


async def test_a_name_that_nobody_knows_is_tried_again(
    make_options: MakeOptions, make_event: MakeEvent, names: Names
) -> None:
    told = await deliver(make_options(url="http://shop.example"), make_event())

    assert told == "retry: http://shop.example: its name cannot be looked up: Name or service not known"


# Where it may go


class Names:
    """The addresses that names lead to."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [_info(address, port) for address in self.addresses]


def _info(address: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo)
    return names


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        (["127.0.0.1"], "127.0.0.1 is not public (loopback)"),
        (["10.0.0.1", "169.254.169.254"], "169.254.169.254 is not public (cloud metadata)"),
    ],
    ids=str,
)
async def test_a_name_that_leads_inside_is_refused(
    receiver: Receiver,
    make_options: MakeOptions,
    make_event: MakeEvent,
    names: Names,
    addresses: list[str],
    told: str,
) -> None:
    names.addresses = addresses
    url = f"http://shop.example:{receiver.port}"

    outcome = await deliver(make_options(url=url), make_event())

    assert outcome == f"gave up: {url}: {told}, and the option allow does not list it"
    assert receiver.got == []


async def test_an_allowed_address_where_nobody_listens_is_tried_again(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent, names: Names
) -> None:
    names.addresses = ["127.0.0.2", "127.0.0.1", "::1"]
    url = f"http://shop.example:{receiver.port}"

    outcome = await deliver(make_options(url=url, allow=["127.0.0.2/32"]), make_event())

    assert (outcome, receiver.got) == (f"retry: {url}: cannot connect: Connection refused", [])


async def test_an_address_is_checked_as_well_when_it_is_connected_to(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    options = make_options(url="http://192.0.2.1", allow=["192.0.2.1/32"])
    object.__setattr__(options, "url", receiver.url)  # as if the check at the start had missed it

    outcome = await deliver(options, make_event())

    assert (outcome[:7], receiver.got) == ("gave up", [])


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_certificate_of_an_authority_of_ones_own_is_accepted(
    make_options: MakeOptions, make_event: MakeEvent, names: Names, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    names.addresses = ["127.0.0.1"]
    async with receiving(tls=certificate(authority, "shop.example")) as receiver:
        options = make_options(
            url=f"https://shop.example:{receiver.port}",
            allow_private=True,
            ca_file=str(tmp_path / "ca.pem"),
        )

        assert await deliver(options, make_event()) == "done"


@pytest.mark.parametrize(
    ("name", "is_trusted", "told"),
    [
        ("other.example", True, "Hostname mismatch, certificate is not valid for 'shop.example'."),
        ("shop.example", False, "unable to get local issuer certificate"),
    ],
    ids=["name", "authority"],
)
async def test_a_wrong_certificate_is_told_and_tried_again(
    make_options: MakeOptions,
    make_event: MakeEvent,
    names: Names,
    authority: trustme.CA,
    tmp_path: Path,
    name: str,
    is_trusted: bool,
    told: str,
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trusted = {"ca_file": str(tmp_path / "ca.pem")} if is_trusted else {}
    names.addresses = ["127.0.0.1"]
    async with receiving(tls=certificate(authority, name)) as receiver:
        url = f"https://shop.example:{receiver.port}"
        outcome = await deliver(make_options(url=url, allow_private=True, **trusted), make_event())

    assert outcome == f"retry: {url}: its certificate is not accepted: {told}"
    assert receiver.got == []


async def test_a_receiver_without_tls_is_told(
    receiver: Receiver, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    url = receiver.url.replace("http:", "https:")

    outcome = await deliver(make_options(url=url, allow_private=True), make_event())

    assert outcome.startswith(f"retry: {url}: cannot connect: no TLS: ")


# The hooks


def test_the_handler_is_offered() -> None:
    offered: list[Any] = []

    register_handlers(lambda name, handler, *, options=None: offered.append((name, handler, options)))

    assert offered == [("forward", Forward, Options)]


def test_a_command_prints_a_new_secret(capsys: pytest.CaptureFixture[str]) -> None:
    offered: list[Any] = []
    register_commands(lambda name, command: offered.append((name, command)))

    secret()

    assert offered == [("secret", secret)]
    Webhook(capsys.readouterr().out.strip())
