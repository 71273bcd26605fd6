from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

import orjson
import pytest
from starlette.types import Message

from router.errors import InboxUnavailable
from router.events import Receipt, ReceiptStatus, Transport
from router.greenapi.addresses import NETWORKS
from router.transports.senders import Networks
from router.transports.webhook import WebhookEndpoint, bare_token
from tests.conftest import Log

ACCEPTED = Receipt(ReceiptStatus.ACCEPTED, "0190-1")
BODY = b'{"typeWebhook":"incomingCall"}'


@dataclass
class Store:
    """What is behind the endpoint: notes what it is given."""

    failure: Exception | None = None
    received: list[tuple[bytes, Transport, int | None]] = field(default_factory=list)

    async def receive(self, body: bytes, transport: Transport, instance: int | None = None) -> Receipt:
        self.received.append((body, transport, instance))
        if self.failure:
            raise self.failure
        return ACCEPTED


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: dict[str, str]


@dataclass
class Sender:
    """The other end of the connection: sends chunks when it is asked, and notes what it is answered."""

    chunks: tuple[bytes, ...] = (BODY,)
    headers: tuple[tuple[str, str | bytes], ...] = ()
    method: str = "POST"
    address: str | None = "203.0.113.7"
    #: It goes away instead of sending the last chunk.
    vanishes: bool = False
    #: How many chunks it was asked for.
    asked: int = 0
    sent: list[Message] = field(default_factory=list)

    async def calls(self, endpoint: WebhookEndpoint) -> None:
        scope = {
            "type": "http",
            "method": self.method,
            "path": "/webhook",
            "headers": [(name.encode(), _bytes(value)) for name, value in self.headers],
            "client": (self.address, 40_000) if self.address else None,
        }
        await endpoint(scope, self._receive, self._send)

    @property
    def answer(self) -> Answer:
        start, body = self.sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
        assert headers["content-length"] == str(len(body["body"]))
        return Answer(start["status"], headers, orjson.loads(body["body"]))

    async def _receive(self) -> Message:
        waiting = deque(self.chunks[self.asked :])
        self.asked += 1
        chunk = waiting.popleft()
        if self.vanishes and not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def endpoint_of(
    store: Store,
    *,
    tokens: Mapping[str, int | None] | None = None,
    allow: tuple[str, ...] = (),
    proxies: tuple[str, ...] = (),
    max_body: int = 1_000,
) -> WebhookEndpoint:
    return WebhookEndpoint(
        store.receive,
        tokens=tokens or {},
        allow=Networks(map(ip_network, allow)),
        trusted_proxies=Networks(map(ip_network, proxies)),
        max_body=max_body,
    )


@pytest.fixture
def store() -> Store:
    return Store()


# What is stored, and answered


async def test_a_notification_is_stored_and_its_receipt_is_the_answer(store: Store) -> None:
    sender = Sender()
    await sender.calls(endpoint_of(store))
    assert store.received == [(BODY, Transport.WEBHOOK, None)]
    assert sender.answer == Answer(
        200,
        {"content-type": "application/json", "content-length": "35"},
        {"status": "accepted", "id": "0190-1"},
    )


async def test_chunks_are_put_together(store: Store) -> None:
    await Sender(chunks=(b'{"a":', b"", b'"b"', b"}")).calls(endpoint_of(store))
    assert store.received == [(b'{"a":"b"}', Transport.WEBHOOK, None)]


async def test_an_empty_body_is_stored_too(store: Store) -> None:
    sender = Sender(chunks=(b"",))
    await sender.calls(endpoint_of(store))
    assert (store.received, sender.answer.status) == ([(b"", Transport.WEBHOOK, None)], 200)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"])
async def test_any_other_method_is_told_to_post(store: Store, method: str) -> None:
    sender = Sender(method=method)
    await sender.calls(endpoint_of(store))
    assert (sender.answer.status, sender.answer.headers["allow"], sender.asked) == (405, "POST", 0)
    assert sender.answer.body == {"error": "notifications are sent with POST"}


# Tokens

AUTHENTIC = [
    ("Bearer", "Bearer wanted-token"),
    ("bearer", "bearer wanted-token"),
    ("BEARER", "BEARER wanted-token"),
    ("Basic", "Basic wanted-token"),
    ("bare", "wanted-token"),
    ("spaces around", "  wanted-token "),
    ("more spaces between", "Bearer   wanted-token "),
]
NOT_AUTHENTIC = [
    ("wrong", "Bearer another-token"),
    ("a prefix", "Bearer wanted-toke"),
    ("longer", "Bearer wanted-tokens"),
    ("another case", "Bearer Wanted-Token"),
    ("another scheme", "Digest wanted-token"),
    ("two schemes", "Bearer Basic wanted-token"),
    ("a scheme alone", "Bearer"),
    ("a scheme and a space", "Bearer "),
    ("empty", ""),
    ("a space", " "),
    ("not ASCII", "Bearer wanted-tokén"),
    ("no UTF-8", b"Bearer wanted-token\xff"),
    ("NUL behind it", b"Bearer wanted-token\0"),
    ("a list", "wanted-token, another-token"),
]


@pytest.mark.parametrize("header", [row[1] for row in AUTHENTIC], ids=[row[0] for row in AUTHENTIC])
async def test_a_token_is_known_with_and_without_a_scheme(store: Store, header: str) -> None:
    sender = Sender(headers=(("authorization", header),))
    await sender.calls(endpoint_of(store, tokens={"wanted-token": None}))
    assert (sender.answer.status, store.received) == (200, [(BODY, Transport.WEBHOOK, None)])


@pytest.mark.parametrize("header", [row[1] for row in NOT_AUTHENTIC], ids=[row[0] for row in NOT_AUTHENTIC])
async def test_a_wrong_token_is_refused_before_the_body_is_read(
    store: Store, log: Log, header: str | bytes
) -> None:
    sender = Sender(headers=(("authorization", header),))
    await sender.calls(endpoint_of(store, tokens={"wanted-token": None}))
    assert (sender.answer.status, sender.answer.body) == (401, {"error": "bad or missing token"})
    assert sender.answer.headers["www-authenticate"] == "Bearer"
    assert (store.received, sender.asked) == ([], 0)
    assert log.events == [("WARNING", "webhook.refused")]
    assert "wanted-tok" not in log.text


async def test_a_missing_token_is_refused(store: Store, log: Log) -> None:
    sender = Sender()
    await sender.calls(endpoint_of(store, tokens={"wanted-token": None}))
    assert (sender.answer.status, store.received) == (401, [])
    (record,) = log.records
    del record["timestamp"]
    assert record == {
        "level": "WARNING",
        "event": "webhook.refused",
        "status": 401,
        "reason": "bad or missing token",
        "client": "203.0.113.7",
        "forwarded_for": None,
        "suppressed": 0,
    }


@pytest.mark.parametrize("token", ["old", "new"])
async def test_any_of_several_tokens_will_do(store: Store, token: str) -> None:
    sender = Sender(headers=(("authorization", f"Bearer {token}"),))
    await sender.calls(endpoint_of(store, tokens={"old": None, "new": None}))
    assert sender.answer.status == 200


@pytest.mark.parametrize("written", ["Bearer wanted-token", "Basic wanted-token", "bearer wanted-token"])
@pytest.mark.parametrize("header", ["Bearer wanted-token", "Basic wanted-token", "wanted-token"])
async def test_a_token_may_be_configured_with_its_scheme(store: Store, written: str, header: str) -> None:
    sender = Sender(headers=(("authorization", header),))
    await sender.calls(endpoint_of(store, tokens={written: None}))
    assert sender.answer.status == 200


async def test_a_token_that_is_not_ascii_is_known(store: Store) -> None:
    sender = Sender(headers=(("authorization", "Bearer пароль"),))
    await sender.calls(endpoint_of(store, tokens={"пароль": None}))
    assert sender.answer.status == 200


@pytest.mark.parametrize(
    ("token", "instance"), [("common", None), ("of-the-shop", 1101000001), ("of-the-bar", 1101000002)]
)
async def test_an_instances_own_token_tells_the_instance(
    store: Store, token: str, instance: int | None
) -> None:
    tokens = {"common": None, "of-the-shop": 1101000001, "of-the-bar": 1101000002}
    await Sender(headers=(("authorization", f"Bearer {token}"),)).calls(endpoint_of(store, tokens=tokens))
    assert store.received == [(BODY, Transport.WEBHOOK, instance)]


@pytest.mark.parametrize(
    ("header", "token"),
    [(b"Bearer t", b"t"), (b"Basic t", b"t"), (b"t", b"t"), (b"Bearer", b"Bearer"), (b"Own t", b"Own t")],
)
def test_bare_token(header: bytes, token: bytes) -> None:
    assert bare_token(header) == token


# Addresses

ALLOW = ("203.0.113.7", "198.51.100.0/24", "2001:db8::/32")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("203.0.113.7", 200),
        ("203.0.113.8", 403),
        ("198.51.100.255", 200),
        ("198.51.101.0", 403),
        ("2001:db8::7", 200),
        ("2001:db9::7", 403),
        ("::ffff:203.0.113.7", 200),
        ("::ffff:203.0.113.8", 403),
        (None, 403),
    ],
)
async def test_only_allowed_addresses_may_send(store: Store, address: str | None, status: int) -> None:
    sender = Sender(address=address)
    await sender.calls(endpoint_of(store, allow=ALLOW))
    assert (sender.answer.status, len(store.received)) == (status, status == 200)


async def test_a_refused_address_is_told_and_nothing_is_read(store: Store, log: Log) -> None:
    sender = Sender(address="192.0.2.1", headers=(("x-forwarded-for", "203.0.113.7"),))
    await sender.calls(endpoint_of(store, allow=ALLOW))
    assert (sender.answer.body, sender.asked) == ({"error": "address not allowed"}, 0)
    (record,) = log.records
    del record["timestamp"]
    assert record == {
        "level": "WARNING",
        "event": "webhook.refused",
        "status": 403,
        "reason": "address not allowed",
        "client": "192.0.2.1",
        "forwarded_for": "203.0.113.7",
        "suppressed": 0,
    }


@pytest.mark.parametrize("network", NETWORKS, ids=str)
async def test_every_published_address_of_green_api_may_send(store: Store, network: object) -> None:
    published = tuple(map(str, NETWORKS))
    sender = Sender(address=str(network).removesuffix("/32"))
    await sender.calls(endpoint_of(store, allow=published))
    assert sender.answer.status == 200


FORWARDED = [
    ("a trusted proxy names an allowed one", "127.0.0.1", ["203.0.113.7"], 200),
    ("a trusted proxy names another", "127.0.0.1", ["192.0.2.1"], 403),
    ("a trusted proxy names nobody", "127.0.0.1", [], 403),
    ("a trusted proxy names no address", "127.0.0.1", ["unknown"], 403),
    ("anybody else names an allowed one", "192.0.2.1", ["203.0.113.7"], 403),
    ("a forged entry further left", "127.0.0.1", ["203.0.113.7, 192.0.2.1"], 403),
    ("a forged header before the proxy's", "127.0.0.1", ["203.0.113.7", "192.0.2.1"], 403),
    ("several headers are one list", "127.0.0.1", ["203.0.113.7", "127.0.0.1"], 200),
    ("a chain of proxies", "127.0.0.1", ["192.0.2.1, 203.0.113.7, 127.0.0.1"], 200),
    ("with a port", "127.0.0.1", ["203.0.113.7:1234"], 200),
    ("in brackets", "127.0.0.1", ["[2001:db8::7]:1234"], 200),
]


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"), [row[1:] for row in FORWARDED], ids=[row[0] for row in FORWARDED]
)
async def test_behind_a_trusted_proxy_the_sender_counts(
    store: Store, peer: str, forwarded: list[str], status: int
) -> None:
    sender = Sender(address=peer, headers=tuple(("x-forwarded-for", value) for value in forwarded))
    await sender.calls(endpoint_of(store, allow=ALLOW, proxies=("127.0.0.1",)))
    assert sender.answer.status == status


async def test_an_address_that_is_not_allowed_learns_nothing_about_its_token(store: Store) -> None:
    sender = Sender(address="192.0.2.1", headers=(("authorization", "wrong"),))
    await sender.calls(endpoint_of(store, allow=ALLOW, tokens={"right": None}))
    assert sender.answer.status == 403


# The size of the body


@pytest.mark.parametrize("length", ["1001", "0001001", "99999999999999999999", "9" * 5_000])
async def test_a_body_that_says_it_is_too_long_is_never_read(store: Store, length: str, log: Log) -> None:
    sender = Sender(chunks=(b"x" * 1_001,), headers=(("content-length", length),))
    await sender.calls(endpoint_of(store, max_body=1_000))
    assert (sender.answer.status, sender.asked, store.received) == (413, 0, [])
    assert sender.answer.body == {"error": "body over the limit of 1000 bytes"}
    (record,) = log.records
    assert (record["level"], record["event"], record["status"]) == ("WARNING", "webhook.refused", 413)


async def test_of_a_body_that_turns_out_too_long_the_rest_is_not_read(store: Store) -> None:
    sender = Sender(chunks=(b"x" * 600, b"x" * 600, b"x" * 600, b"x" * 600))
    await sender.calls(endpoint_of(store, max_body=1_000))
    assert (sender.answer.status, sender.asked, store.received) == (413, 2, [])


async def test_a_body_that_is_longer_than_it_says_is_refused(store: Store) -> None:
    sender = Sender(chunks=(b"x" * 600, b"x" * 600), headers=(("content-length", "5"),))
    await sender.calls(endpoint_of(store, max_body=1_000))
    assert (sender.answer.status, store.received) == (413, [])


@pytest.mark.parametrize("headers", [(), (("content-length", "1000"),)], ids=["chunked", "with a length"])
async def test_a_body_of_exactly_the_limit_is_stored(
    store: Store, headers: tuple[tuple[str, str], ...]
) -> None:
    sender = Sender(chunks=(b"x" * 600, b"x" * 400), headers=headers)
    await sender.calls(endpoint_of(store, max_body=1_000))
    assert (sender.answer.status, store.received) == (200, [(b"x" * 1_000, Transport.WEBHOOK, None)])


@pytest.mark.parametrize("length", ["", "-1", "ten", "1e9", "٣"])
async def test_a_length_that_is_no_number_decides_nothing(store: Store, length: str) -> None:
    sender = Sender(headers=(("content-length", length),))
    await sender.calls(endpoint_of(store))
    assert sender.answer.status == 200


# What goes wrong


async def test_nobody_is_answered_who_went_away(store: Store, log: Log) -> None:
    sender = Sender(chunks=(b"{", b"}"), vanishes=True)
    await sender.calls(endpoint_of(store))
    assert (sender.sent, store.received) == ([], [])
    assert log.events == [("INFO", "webhook.disconnected")]


async def test_an_inbox_that_cannot_be_written_asks_to_try_again(log: Log) -> None:
    sender, store = Sender(), Store(failure=InboxUnavailable("inbox x.db: disk is full"))
    await sender.calls(endpoint_of(store))
    assert (sender.answer.status, sender.answer.headers["retry-after"]) == (503, "30")
    assert sender.answer.body == {"error": "the inbox cannot be written now"}
    assert log.events == []  # whoever raised it has told more than could be told here


async def test_a_bug_is_told_and_asks_to_try_again(log: Log) -> None:
    sender, store = Sender(), Store(failure=ZeroDivisionError("a bug"))
    await sender.calls(endpoint_of(store))
    assert (sender.answer.status, sender.answer.headers["retry-after"]) == (503, "30")
    assert sender.answer.body == {"error": "the notification could not be stored"}
    (record,) = log.records
    assert (record["level"], record["event"]) == ("ERROR", "webhook.failed")
    assert "ZeroDivisionError: a bug" in record["exception"]


async def test_a_flood_of_refusals_is_no_flood_of_lines(store: Store, log: Log) -> None:
    endpoint = endpoint_of(store, tokens={"wanted-token": None}, max_body=1)
    for _ in range(100):
        sender = Sender()
        await sender.calls(endpoint)
        assert sender.answer.status == 401
    told = len(log.named("webhook.refused"))
    assert 20 <= told < 100
    await Sender(headers=(("authorization", "wanted-token"),)).calls(endpoint)
    assert log.records[-1]["status"] == 413  # another kind is still told
