from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from router import samples
from router.alerts import Alerts
from router.errors import InboxUnavailable
from router.events import EventStatus, Receipt, ReceiptStatus, Transport
from router.inbox import DeliveryFilter, EventFilter, EventRecord
from router.inbox.memory import MemoryInbox
from router.intake import Intake
from router.patterns import compile as compile_pattern
from router.presence import Presence
from router.routing import Route, Table
from router.validation import Validator
from tests.test_dispatch import route

TEXT = samples.read("incomingMessageReceived/wa-text-waba.json")
STATUS = samples.read("outgoingMessageStatus/wa-sent-by-api.json")
FUTURE = b'{"typeWebhook": "futureThing", "instanceData": {"idInstance": 7}, "what": "ever"}'


class Receiving:
    """An intake on an inbox in memory."""

    def __init__(
        self, *routes: Route, max_unfinished: int = 100, instances: Sequence[int] = (), **settings: Any
    ) -> None:
        self.inbox = MemoryInbox({r.name: 1 for r in routes}, max_unfinished=max_unfinished)
        alerts = Alerts(600.0)
        presence = Presence(instances, {}, alerts)
        self.intake = Intake(self.inbox, Validator(), Table(routes), alerts, presence, **settings)

    async def receive(self, body: bytes, instance: int | None = None) -> Receipt:
        return await self.intake.receive(body, Transport.WEBHOOK, instance)

    def events(self) -> list[EventRecord]:
        return self.inbox.events(EventFilter())

    def deliveries(self) -> list[tuple[str, str]]:
        return [(d.route, d.lane) for d in self.inbox.deliveries(DeliveryFilter())]


def messages(name: str = "orders", **settings: Any) -> Route:
    return route(name, types=("incomingMessageReceived",), **settings)


def names(records: list[Any]) -> list[tuple[str, str]]:
    return [(record["log_level"], record["event"]) for record in records]


async def test_a_routed_notification_is_accepted_stored_and_logged_with_its_body() -> None:
    at = Receiving(messages(), messages("audit"))

    with capture_logs() as records:
        receipt = await at.receive(TEXT)

    (event,) = at.events()
    assert receipt == Receipt(ReceiptStatus.ACCEPTED, event.id)
    assert (event.status, event.body, event.transport) == (EventStatus.ACCEPTED, TEXT, Transport.WEBHOOK)
    assert at.deliveries() == [("orders", "1234|79001234568@c.us"), ("audit", "1234|79001234568@c.us")]
    assert records == [
        {
            "log_level": "info",
            "event": "notification.accepted",
            "routes": ["orders", "audit"],
            "typeWebhook": "incomingMessageReceived",
            "idInstance": 1234,
            "chatId": "79001234568@c.us",
            "idMessage": "F7AEC1B7086ECDC7E6E45923F5EDB825",
            "transport": "webhook",
            "event_id": event.id,
            "notification": json.loads(TEXT),
        }
    ]


async def test_a_known_type_without_a_route_is_passed_over() -> None:
    at = Receiving(messages())

    with capture_logs() as records:
        receipt = await at.receive(STATUS)

    assert receipt.status is ReceiptStatus.UNROUTED
    assert at.events() == []
    assert names(records) == [("debug", "notification.unrouted")]


async def test_a_known_type_without_a_route_is_kept_if_asked_for() -> None:
    at = Receiving(messages(), keep_unrouted=True)

    receipts = [await at.receive(STATUS), await at.receive(STATUS)]

    assert [r.status for r in receipts] == [ReceiptStatus.UNROUTED, ReceiptStatus.DUPLICATE]
    assert [event.status for event in at.events()] == [EventStatus.UNROUTED]


async def test_an_unknown_type_is_kept_warned_of_and_comes_with_a_route_to_paste(tmp_path: Path) -> None:
    at = Receiving(messages())

    with capture_logs() as records:
        receipt = await at.receive(FUTURE)

    (event,) = at.events()
    assert receipt == Receipt(ReceiptStatus.UNKNOWN, event.id)
    assert (event.status, event.type) == (EventStatus.UNKNOWN, "futureThing")
    assert names(records) == [("warning", "notification.unknown_type"), ("warning", "alert.raised")]
    assert yaml.safe_load(records[0]["suggested_route"]) == [
        {"name": "futureThing", "type": "futureThing", "handler": "h", "options": {"colour": "red"}}
    ]
    assert (records[1]["kind"], records[1]["subject"]) == ("unknown_type", "futureThing")
    assert records[1]["notification"] == json.loads(FUTURE)


async def test_a_type_that_a_route_names_is_known() -> None:
    when = compile_pattern({"what": ["else"]})
    at = Receiving(route("future", types=("futureThing",), when=when))

    with capture_logs() as records:
        receipt = await at.receive(FUTURE)

    assert receipt.status is ReceiptStatus.UNROUTED
    assert names(records) == [("debug", "notification.unrouted")]


async def test_an_unknown_type_that_only_a_route_for_all_takes_is_delivered_and_warned_of() -> None:
    at = Receiving(route("all", types=("*",)))

    with capture_logs() as records:
        receipt = await at.receive(FUTURE)

    assert receipt.status is ReceiptStatus.ACCEPTED
    assert at.deliveries() == [("all", "7")]
    assert names(records)[:2] == [("info", "notification.accepted"), ("warning", "notification.unknown_type")]


async def test_a_notification_that_breaks_its_schema_is_kept_and_told_with_its_problems() -> None:
    at = Receiving(messages())
    body = b'{"typeWebhook": "incomingMessageReceived", "senderData": {"chatId": 5}, "messageData": {}}'

    with capture_logs() as records:
        receipt = await at.receive(body)

    (event,) = at.events()
    assert receipt == Receipt(ReceiptStatus.INVALID, event.id)
    assert (event.status, event.body) == (EventStatus.INVALID, body)
    assert {(p.path, p.rule) for p in event.problems} == {
        ("$.senderData.chatId", "type"),
        ("$.messageData.typeMessage", "required"),
    }
    assert names(records) == [("error", "notification.invalid"), ("warning", "alert.raised")]
    assert {(p["path"], p["rule"]) for p in records[0]["problems"]} == {
        (p.path, p.rule) for p in event.problems
    }
    assert at.deliveries() == []


async def test_bytes_that_are_no_json_are_kept_as_they_came() -> None:
    at = Receiving(messages())
    body = b'\xff\x00{"typeWebhook"'

    with capture_logs() as records:
        receipts = [await at.receive(body, 1101), await at.receive(body, 1101)]

    (event,) = at.events()
    assert [r.status for r in receipts] == [ReceiptStatus.INVALID, ReceiptStatus.DUPLICATE]
    assert (event.body, event.type, event.instance) == (body, None, 1101)
    assert names(records)[0] == ("error", "notification.invalid")
    assert records[0]["notification"] == body.decode("utf-8", "replace")


async def test_a_mended_notification_is_no_duplicate_of_the_broken_one() -> None:
    at = Receiving(messages())
    broken = json.dumps({**json.loads(TEXT), "messageData": {}}).encode()

    receipts = [await at.receive(broken), await at.receive(TEXT)]

    assert [r.status for r in receipts] == [ReceiptStatus.INVALID, ReceiptStatus.ACCEPTED]


async def test_the_same_notification_again_is_a_duplicate_of_the_first() -> None:
    at = Receiving(messages())
    first = await at.receive(TEXT)

    with capture_logs() as records:
        again = await at.receive(json.dumps(json.loads(TEXT), sort_keys=True).encode())

    assert again == Receipt(ReceiptStatus.DUPLICATE, first.event_id)
    assert names(records) == [("debug", "notification.duplicate")]
    assert records[0]["first_event_id"] == first.event_id
    assert len(at.events()) == 1


async def test_the_same_key_with_other_content_is_told_apart() -> None:
    at = Receiving(messages())
    await at.receive(TEXT)
    changed = json.loads(TEXT)
    changed["messageData"]["textMessageData"]["textMessage"] = "other"

    with capture_logs() as records:
        receipt = await at.receive(json.dumps(changed).encode())

    assert receipt.status is ReceiptStatus.DUPLICATE
    assert names(records) == [("info", "notification.changed")]
    assert [(e.duplicates, e.changed) for e in at.events()] == [(0, 1)]


async def test_an_inbox_that_cannot_be_written_is_told_and_its_recovery_too() -> None:
    at = Receiving(messages(), max_unfinished=1)
    await at.receive(TEXT)

    with capture_logs() as records:
        with pytest.raises(InboxUnavailable):
            await at.receive(samples.read("incomingMessageReceived/wa-sticker.json"))
        claimed = await at.inbox.claim()
        assert claimed is not None
        at.inbox.discard([claimed.id])
        await at.receive(samples.read("incomingMessageReceived/wa-poll.json"))

    assert names(records) == [
        ("error", "inbox.unavailable"),
        ("warning", "alert.raised"),
        ("info", "alert.recovered"),
        ("info", "notification.accepted"),
    ]


async def test_an_instance_that_is_not_listed_is_accepted_and_told_once() -> None:
    at = Receiving(messages(), instances=[1])

    with capture_logs() as records:
        receipts = [await at.receive(TEXT), await at.receive(TEXT.replace(b"F7AEC", b"F7AED"))]

    assert [r.status for r in receipts] == [ReceiptStatus.ACCEPTED] * 2
    assert names(records).count(("warning", "instance.unlisted")) == 1


async def test_what_the_transport_knows_of_the_instance_fills_in_for_a_body_that_names_none() -> None:
    at = Receiving(messages())
    body = samples.read("incomingMessageReceived/wa-document-minimal.json")

    await at.receive(body, 1101)

    assert [event.instance for event in at.events()] == [1101]


async def test_an_absurdly_long_type_is_cut_where_it_is_shown() -> None:
    at = Receiving(messages())
    body = json.dumps({"typeWebhook": "x" * 1_000_000}).encode()

    with capture_logs() as records:
        receipt = await at.receive(body)

    assert receipt.status is ReceiptStatus.UNKNOWN
    assert records[0]["typeWebhook"] == "x" * 100 + "…"
    assert at.events()[0].body == body


async def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    at = Receiving(messages(), keep_unrouted=True)

    ids = [(await at.receive(samples.read(name))).event_id for name in samples.names()]

    pattern = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(pattern, each) for each in ids)
    times = [event.id[:13] for event in at.events()]
    assert len(times) > 40
    assert times == sorted(times, reverse=True)
