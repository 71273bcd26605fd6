from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from anyio import fail_after

from router import samples
from router.app import build
from router.errors import ConfigError, InboxInUse
from router.events import DeliveryStatus, EventStatus, JsonObject
from router.inbox import DeliveryFilter, DeliveryRecord, EventFilter, EventRecord
from router.inbox.sqlite.ledger import SqliteLedger
from router.loading import load
from tests.conftest import Log
from tests.greenapi.scripted import SILENCE, Reply, Request, Scripted

CALL = samples.read("incomingCall/wa-pickup.json")
MESSAGE = samples.read("incomingMessageReceived/wa-text-waba.json")

ROUTES = """
routes:
  - {name: calls, type: incomingCall, handler: record}
"""
#: Notes what it is called with; does more if a file beside it says so.
RECORDER = """
import asyncio
from pathlib import Path
from router import GiveUp, hookimpl

taken = asyncio.Queue()

async def record(event, context):
    taken.put_nowait((event.id, context.delivery.route, context.delivery.attempt))
    if Path(__file__).with_name("hang").exists():
        await asyncio.Event().wait()
    if Path(__file__).with_name("fail").exists():
        raise GiveUp("not today")

@hookimpl
def register_handlers(register):
    register("record", record)
"""

Taken = tuple[str, str, int]


async def taken() -> Taken:
    """Wait for the next call of the recording handler."""
    result: Taken = await sys.modules["router_plugins_dir.recorder"].taken.get()
    return result


class Folder:
    """A folder with a routes.yaml, a plugin and, once a router has run, an inbox."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.routes_yaml = path / "routes.yaml"
        self.inbox = path / "router.db"
        self.plugins = path / "plugins"
        self.plugins.mkdir()
        (self.plugins / "recorder.py").write_text(RECORDER)
        self.configure()

    def configure(self, settings: str = "", routes: str = ROUTES) -> None:
        url = "" if "inbox:" in settings else 'inbox: {url: "sqlite:///router.db"}\n'
        self.routes_yaml.write_text(f"version: 1\nplugins_dir: plugins\n{url}{settings}{routes}")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Run the router; the client talks to it."""
        app = build(load(self.routes_yaml, {}))
        transport = httpx2.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://router") as client,
        ):
            yield client

    @property
    def events(self) -> list[EventRecord]:
        with closing(SqliteLedger(self.inbox)) as ledger:
            return [ledger.event(event.id) for event in ledger.events(EventFilter(), limit=1_000)]

    @property
    def deliveries(self) -> list[DeliveryRecord]:
        with closing(SqliteLedger(self.inbox)) as ledger:
            return ledger.deliveries(DeliveryFilter())

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.inbox, isolation_level=None)) as db:
            db.execute(statement)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def facts(body: bytes, event_id: str, **others: Any) -> JsonObject:
    """Return the fields that every record about a notification has."""
    data = orjson.loads(body)
    return {
        "typeWebhook": data["typeWebhook"],
        "idInstance": data["instanceData"]["idInstance"],
        "chatId": data.get("senderData", {}).get("chatId") or data.get("from"),
        "idMessage": data.get("idMessage"),
        "transport": "webhook",
        "event_id": event_id,
        "notification": data,
        **others,
    }


def told(log: Log, event: str) -> tuple[str, JsonObject]:
    """Return the level and the fields of the one line about something."""
    (record,) = log.named(event)
    assert record.pop("timestamp").endswith("Z")
    assert record.pop("event") == event
    return record.pop("level"), record


def variant(body: bytes, **changes: Any) -> bytes:
    return orjson.dumps({**orjson.loads(body), **changes})


# What each case gets: the table of the design


async def test_a_routed_notification_is_accepted_and_delivered(folder: Folder, log: Log) -> None:
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=CALL)
        delivered = await taken()
    event_id = answer.json()["id"]
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted", "id": event_id})
    assert delivered == (event_id, "calls", 1)
    assert told(log, "notification.accepted") == ("INFO", facts(CALL, event_id, routes=["calls"]))
    (event,) = folder.events
    assert (event.id, event.status, event.body) == (event_id, EventStatus.ACCEPTED, CALL)
    assert [(each.route, each.status, each.attempts) for each in event.deliveries] == [
        ("calls", DeliveryStatus.DONE, 1)
    ]


async def test_a_known_type_without_a_route_is_answered_and_not_kept(folder: Folder, log: Log) -> None:
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=MESSAGE)
    assert (answer.status_code, answer.json()["status"]) == (200, "unrouted")
    assert told(log, "notification.unrouted") == ("DEBUG", facts(MESSAGE, answer.json()["id"]))
    assert folder.events == []


async def test_a_known_type_without_a_route_is_kept_where_that_is_wanted(folder: Folder, log: Log) -> None:
    folder.configure('inbox: {url: "sqlite:///router.db", keep_unrouted: true}\n')
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=MESSAGE)
        again = await client.post("/webhook", content=MESSAGE)
    assert (answer.json()["status"], again.json()["status"]) == ("unrouted", "duplicate")
    assert log.named("notification.unrouted")[0]["level"] == "DEBUG"
    (event,) = folder.events
    assert (event.status, event.body, event.deliveries) == (EventStatus.UNROUTED, MESSAGE, ())


async def test_an_unknown_type_is_kept_and_the_operator_is_told(folder: Folder, log: Log) -> None:
    body = variant(CALL, typeWebhook="incomingHologram")
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=body)
    event_id = answer.json()["id"]
    assert (answer.status_code, answer.json()["status"]) == (200, "unknown")
    level, record = told(log, "notification.unknown_type")
    route = '  - name: "incomingHologram"\n    type: "incomingHologram"\n    handler: record\n'
    assert (level, record) == ("WARNING", facts(body, event_id, suggested_route=route))
    level, alert = told(log, "alert.raised")
    assert (level, alert["kind"], alert["subject"], alert["count"]) == (
        "WARNING",
        "unknown_type",
        "incomingHologram",
        1,
    )
    assert alert["notification"] == orjson.loads(body)
    (event,) = folder.events
    assert (event.status, event.body) == (EventStatus.UNKNOWN, body)


@pytest.mark.parametrize(
    "type_",
    ["incomingHologram", 'incoming "Hologram": # 5', "a/b\\c", "'", "- x", "yes", "{", "x" * 99, "тип"],
)
async def test_the_suggested_route_can_be_pasted(folder: Folder, log: Log, type_: str) -> None:
    body = variant(CALL, typeWebhook=type_)
    async with folder.serving() as client:
        await client.post("/webhook", content=body)
    folder.configure(routes=ROUTES + log.named("notification.unknown_type")[0]["suggested_route"])
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=variant(body, idMessage="another"))
    assert answer.json()["status"] == "accepted"


async def test_a_type_of_no_catalogue_in_a_route_for_all_is_delivered_and_told(
    folder: Folder, log: Log
) -> None:
    folder.configure(routes='routes:\n  - {name: all, type: "*", handler: record}\n')
    body = variant(CALL, typeWebhook="incomingHologram")
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=body)
        delivered = await taken()
    assert (answer.json()["status"], delivered) == ("accepted", (answer.json()["id"], "all", 1))
    assert told(log, "notification.accepted")[0] == "INFO"
    assert told(log, "notification.unknown_type")[0] == "WARNING"


async def test_a_type_of_no_catalogue_that_a_route_names_is_known(folder: Folder, log: Log) -> None:
    folder.configure(routes="routes:\n  - {name: holo, type: incomingHologram, handler: record}\n")
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=variant(CALL, typeWebhook="incomingHologram"))
    assert answer.json()["status"] == "accepted"
    assert log.named("notification.unknown_type") == []


async def test_a_notification_that_breaks_its_schema_is_kept_and_told(folder: Folder, log: Log) -> None:
    body = b'{"typeWebhook":"incomingCall","instanceData":{"idInstance":1101000001},"timestamp":"soon"}'
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=body)
    event_id = answer.json()["id"]
    assert (answer.status_code, answer.json()["status"]) == (200, "invalid")
    level, record = told(log, "notification.invalid")
    problems = record["problems"]
    assert (level, record) == ("ERROR", facts(body, event_id, problems=problems))
    assert {"path": "$.from", "rule": "required", "message": "expected a value, found nothing"} in problems
    assert all(set(problem) == {"path", "rule", "message"} for problem in problems)
    _, alert = told(log, "alert.raised")
    assert (alert["kind"], alert["problems"], alert["notification"]) == (
        "invalid",
        problems,
        orjson.loads(body),
    )
    (event,) = folder.events
    assert (event.status, event.body, len(event.problems)) == (EventStatus.INVALID, body, len(problems))


async def test_what_is_no_json_is_kept_and_told(folder: Folder, log: Log) -> None:
    body = b"\xff<html>\0"
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "invalid")
    level, record = told(log, "notification.invalid")
    assert (level, record) == (
        "ERROR",
        {
            "problems": record["problems"],
            "typeWebhook": None,
            "idInstance": None,
            "chatId": None,
            "idMessage": None,
            "transport": "webhook",
            "event_id": answer.json()["id"],
            "notification": "\ufffd<html>\0",
        },
    )
    assert [(problem["path"], problem["rule"]) for problem in record["problems"]] == [("$", "json")]
    (event,) = folder.events
    assert (event.type, event.status, event.body) == (None, EventStatus.INVALID, body)


async def test_a_duplicate_is_answered_with_the_event_first_seen_and_counted(
    folder: Folder, log: Log
) -> None:
    async with folder.serving() as client:
        first = await client.post("/webhook", content=CALL)
        second = await client.post("/webhook", content=CALL)
        await taken()
    event_id = first.json()["id"]
    assert (second.status_code, second.json()) == (200, {"status": "duplicate", "id": event_id})
    level, record = told(log, "notification.duplicate")
    expected = facts(CALL, record["event_id"], first_event_id=event_id)
    assert (level, record) == ("DEBUG", expected)
    (event,) = folder.events
    assert (event.id, event.duplicates, event.changed) == (event_id, 1, 0)
    assert len(folder.deliveries) == 1


@pytest.mark.parametrize(("policy", "status"), [("drop", "duplicate"), ("deliver", "accepted")])
async def test_a_duplicate_with_other_content_is_dropped_or_delivered(
    folder: Folder, log: Log, policy: str, status: str
) -> None:
    folder.configure(f"dedup: {{changed: {policy}}}\n")
    async with folder.serving() as client:
        await client.post("/webhook", content=CALL)
        answer = await client.post("/webhook", content=variant(CALL, more="of it"))
    assert answer.json()["status"] == status
    assert len(folder.deliveries) == len(folder.events) == (2 if policy == "deliver" else 1)
    if policy == "drop":
        assert told(log, "notification.changed")[0] == "INFO"
        assert [event.changed for event in folder.events] == [1]


REFUSALS = [
    ("no token", "token: wanted-token", {}, 401, "bad or missing token"),
    ("a wrong token", "token: wanted-token", {"authorization": "wrong"}, 401, "bad or missing token"),
    ("an address not allowed", "allow: [203.0.113.7]", {}, 403, "address not allowed"),
    ("not GREEN-API", "allow: [green-api]", {}, 403, "address not allowed"),
    ("a large body", "max_body: 1KiB", {}, 413, "body over the limit of 1024 bytes"),
]


@pytest.mark.parametrize(
    ("settings", "headers", "status", "reason"),
    [row[1:] for row in REFUSALS],
    ids=[row[0] for row in REFUSALS],
)
async def test_what_is_refused_is_told_and_not_kept(
    folder: Folder, log: Log, settings: str, headers: dict[str, str], status: int, reason: str
) -> None:
    folder.configure(f"webhook: {{{settings}}}\n")
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=variant(CALL, more="x" * 1_024), headers=headers)
    assert (answer.status_code, answer.json()) == (status, {"error": reason})
    level, record = told(log, "webhook.refused")
    assert (level, record["status"], record["reason"]) == ("WARNING", status, reason)
    assert folder.events == []


@pytest.mark.parametrize("given", ["Bearer wanted-token", "Basic wanted-token", "wanted-token"])
async def test_the_right_token_is_let_in(folder: Folder, given: str) -> None:
    folder.configure("webhook: {token: [other-token, wanted-token], allow: [127.0.0.1]}\n")
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=CALL, headers={"authorization": given})
    assert answer.json()["status"] == "accepted"


async def test_an_inbox_that_cannot_be_written_is_told_until_it_can(folder: Folder, log: Log) -> None:
    async with folder.serving() as client:
        folder.execute("ALTER TABLE events RENAME TO gone")
        answer = await client.post("/webhook", content=CALL)
        not_ready = await client.get("/readyz")
        folder.execute("ALTER TABLE gone RENAME TO events")
        again = await client.post("/webhook", content=CALL)
        ready = await client.get("/readyz")
        delivered = await taken()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert answer.json() == {"error": "the inbox cannot be written now"}
    level, record = told(log, "inbox.unavailable")
    error = f"inbox {folder.inbox}: no such table: events"
    assert (level, record) == ("ERROR", facts(CALL, record["event_id"], error=error))
    level, alert = told(log, "alert.raised")
    assert (alert["kind"], alert["subject"], alert["error"]) == ("inbox_unavailable", "inbox", error)
    assert (not_ready.status_code, not_ready.json()["reasons"]) == (503, [error])
    assert (again.json()["status"], ready.status_code) == ("accepted", 200)
    assert told(log, "alert.recovered")[1]["count"] == 1
    assert delivered == (again.json()["id"], "calls", 1)
    assert [event.id for event in folder.events] == [again.json()["id"]]


# What comes in


@pytest.fixture
async def accepting(folder: Folder) -> AsyncIterator[httpx2.AsyncClient]:
    """A router that keeps everything."""
    folder.configure('inbox: {url: "sqlite:///router.db", keep_unrouted: true}\n')
    async with folder.serving() as client:
        yield client


async def test_every_shipped_notification_is_taken(folder: Folder, log: Log) -> None:
    folder.configure('inbox: {url: "sqlite:///router.db", keep_unrouted: true}\n')
    async with folder.serving() as client:
        answers = {
            name: await client.post("/webhook", content=samples.read(name)) for name in samples.names()
        }
    odd = {
        name: answer.text
        for name, answer in answers.items()
        if answer.status_code != 200 or answer.json()["status"] not in ("accepted", "unrouted", "duplicate")
    }
    assert odd == {}
    odd_lines = [record for record in log.records if record["level"] not in ("DEBUG", "INFO")]
    # A machine that is busy with others is no fault of the router's.
    assert [line for line in odd_lines if not line["event"].startswith("loop.")] == []
    stored = {event.body for event in folder.events}
    new = {name for name, answer in answers.items() if answer.json()["status"] != "duplicate"}
    assert stored == {samples.read(name) for name in new}


def notification(**fields: Any) -> bytes:
    return json.dumps({"typeWebhook": "incomingHologram", **fields}).encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid"),
    "spaces": (b" \n\t ", "invalid"),
    "no JSON": (b"hello", "invalid"),
    "HTML": (b"<html><body>502</body></html>", "invalid"),
    "truncated": (CALL[: len(CALL) // 2], "invalid"),
    "two objects": (CALL + CALL, "invalid"),
    "array": (b"[" + CALL + b"]", "invalid"),
    "number": (b"5", "invalid"),
    "text": (b'"incomingCall"', "invalid"),
    "null": (b"null", "invalid"),
    "empty object": (b"{}", "invalid"),
    "NUL bytes": (b"\0\0\0\0", "invalid"),
    "NUL in a text": (notification(a="a\0b"), "unknown"),
    "NUL as type": (notification(typeWebhook="\0"), "unknown"),
    "lone surrogate": (notification(text="\ud83d"), "unknown"),
    "lone surrogate as type": (notification(typeWebhook="\ud83d"), "unknown"),
    "lone surrogate in a key": (notification(**{"\ud83d": 1}), "unknown"),
    "invalid UTF-8": (b'{"typeWebhook": "incomingCall", "a": "\xff\xfe"}', "invalid"),
    "UTF-16": (CALL.decode().encode("utf-16"), "invalid"),
    "byte order mark": (b"\xef\xbb\xbf" + CALL, "accepted"),
    "10,000 levels": (
        b'{"typeWebhook":"incomingHologram","a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "invalid",
    ),
    "10,000 levels, never closed": (b'{"a":' * 10_000, "invalid"),
    "900 levels": (b'{"typeWebhook":"incomingHologram","a":' + b"[" * 900 + b"]" * 900 + b"}", "unknown"),
    "900 levels in a call": (CALL.rstrip()[:-1] + b',"a":' + b"[" * 900 + b"]" * 900 + b"}", "accepted"),
    "huge integer": (b'{"typeWebhook":"incomingHologram","timestamp":1' + b"0" * 5_000 + b"}", "unknown"),
    "huge integers everywhere": (
        b'{"typeWebhook":"incomingHologram","timestamp":99999999999999999999,'
        b'"instanceData":{"idInstance":99999999999999999999},"idMessage":99999999999999999999}',
        "unknown",
    ),
    "number beyond all": (b'{"typeWebhook":"incomingHologram","timestamp":1e999}', "unknown"),
    "NaN": (b'{"typeWebhook":"incomingHologram","timestamp":NaN}', "invalid"),
    "a key twice": (b'{"typeWebhook":[],' + CALL.lstrip()[1:], "accepted"),
    "no type": (b'{"idMessage":"1"}', "invalid"),
    "null as type": (notification(typeWebhook=None), "invalid"),
    "list as type": (notification(typeWebhook=["incomingCall"]), "invalid"),
    "object as type": (notification(typeWebhook={}), "invalid"),
    "number as type": (notification(typeWebhook=5), "invalid"),
    "empty type": (notification(typeWebhook=""), "unknown"),
    "type of 1 MB": (notification(typeWebhook="x" * 1_000_000), "unknown"),
    "type of lines": (notification(typeWebhook="a\n- b: \x1b[2J\x9b2J"), "unknown"),
    "list of fields": (notification(instanceData=[], senderData="x", messageData=5), "unknown"),
    "chat of 1 MB": (notification(senderData={"chatId": "7" * 1_000_000}), "unknown"),
    "key of 1 MB": (notification(**{"k" * 1_000_000: 1}), "unknown"),
    "message of nulls": (
        notification(typeWebhook="incomingMessageReceived", instanceData=None, messageData=None),
        "invalid",
    ),
}


@pytest.mark.parametrize(("body", "status"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_comes_in_is_answered_with_200_and_kept_as_it_is(
    accepting: httpx2.AsyncClient, folder: Folder, log: Log, body: bytes, status: str
) -> None:
    answer = await accepting.post("/webhook", content=body)
    assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert [(event.id, event.status, event.body) for event in folder.events] == [
        (answer.json()["id"], status, body)
    ]
    again = await accepting.post("/webhook", content=body)
    assert again.json() == {"status": "duplicate", "id": answer.json()["id"]}
    assert "Traceback" not in log.text
    assert [record for record in log.records if "exception" in record] == []


@pytest.mark.parametrize("notification_logging", ["full", "masked", "none"])
@pytest.mark.parametrize("format_", ["json", "console"])
async def test_however_it_is_logged_nothing_that_comes_in_breaks_a_line(
    accepting: httpx2.AsyncClient, log: Log, format_: str, notification_logging: str
) -> None:
    log.configure(format=format_, notification=notification_logging)
    for body, _ in HOSTILE.values():
        assert (await accepting.post("/webhook", content=body)).status_code == 200
    lines = log.text.removesuffix("\n").split("\n")
    assert len(lines) >= len(HOSTILE)
    assert all(line.startswith(("{", "2")) for line in lines)
    steering = ("\x1b", "\0") if format_ == "json" else ("\x1b", "\0", "\x9b")
    assert [found for found in ("Traceback", *steering) if found in log.text] == []


# Instances


async def test_a_polled_instance_and_the_webhook_end_in_one_inbox(folder: Folder, log: Log) -> None:
    drained = asyncio.Event()
    waiting = [CALL, variant(CALL, idMessage="B2")]

    async def answer(request: Request) -> Reply:
        if request.method == "deleteNotification":
            waiting.pop(0)
            return Reply(content={"result": True})
        if waiting:
            return Reply(content=b'{"receiptId":%d,"body":%b}' % (len(waiting), waiting[0]))
        drained.set()
        return SILENCE

    async with Scripted(answer).serving() as green_api:
        polled = f"{{id: 1101000001, api_url: '{green_api.url}', token: tok-123456, transport: polling}}"
        folder.configure(f"instances: [{polled}]\n")
        async with folder.serving() as client:
            with fail_after(20):
                await drained.wait()
                assert [(await taken())[1] for _ in range(2)] == ["calls", "calls"]
            again = await client.post("/webhook", content=CALL)
    assert again.json()["status"] == "duplicate"
    assert [record["transport"] for record in log.named("notification.accepted")] == ["polling"] * 2
    assert [event.transport for event in folder.events] == ["polling"] * 2
    assert "tok-123456" not in log.text


async def test_the_silence_of_an_instance_is_told(folder: Folder, log: Log) -> None:
    folder.configure("instances: [{id: 1101000001, quiet_after: 1m}]\n")
    loaded = load(folder.routes_yaml, {})
    (shop,) = loaded.config.instances
    hasty = replace(loaded.config, instances=(replace(shop, quiet_after=shop.quiet_after and 0.01),))
    app = build(replace(loaded, config=hasty))
    async with app.router.lifespan_context(app):
        with fail_after(20):
            while not log.named("alert.raised"):
                await asyncio.sleep(0.01)
    assert log.named("alert.raised")[0]["kind"] == "quiet"


async def test_an_instance_that_cannot_be_polled_is_told_and_harms_nobody_else(
    folder: Folder, log: Log
) -> None:
    async with Scripted(lambda _: Reply(status=401, content=b"")).serving() as green_api:
        polled = f"{{id: 1101000001, api_url: '{green_api.url}', token: tok-123456, transport: polling}}"
        folder.configure(f"instances: [{polled}]\n")
        async with folder.serving() as client:
            with fail_after(20):
                while not log.named("alert.raised"):
                    await asyncio.sleep(0.01)
            assert (await client.post("/webhook", content=CALL)).json()["status"] == "accepted"
            assert (await client.get("/readyz")).status_code == 200
    (alert,) = log.named("alert.raised")
    assert (alert["kind"], alert["subject"]) == ("instance_down", "1101000001")
    assert "compare id, token and api_url" in alert["error"]
    assert "tok-123456" not in log.text


INSTANCES = """
instances:
  - {id: 1101000001, webhook_token: of-the-shop}
webhook: {token: of-all}
"""


async def test_an_unlisted_instance_is_accepted_and_told_once(folder: Folder, log: Log) -> None:
    folder.configure("instances: [{id: 1101000001}]\n")
    stranger = variant(
        CALL, instanceData={"idInstance": 7103000000, "wid": "7@c.us", "typeInstance": "whatsapp"}
    )
    async with folder.serving() as client:
        answers = [
            await client.post("/webhook", content=variant(stranger, idMessage=str(number)))
            for number in range(3)
        ]
    assert [answer.json()["status"] for answer in answers] == ["accepted"] * 3
    level, record = told(log, "instance.unlisted")
    assert (level, record) == (
        "WARNING",
        {"idInstance": 7103000000, "event_id": answers[0].json()["id"]},
    )


@pytest.mark.parametrize(("token", "instance"), [("of-the-shop", 1101000001), ("of-all", None)])
async def test_an_instances_own_token_says_whose_an_unreadable_notification_is(
    folder: Folder, token: str, instance: int | None
) -> None:
    folder.configure(INSTANCES)
    async with folder.serving() as client:
        await client.post("/webhook", content=b"?", headers={"authorization": f"Bearer {token}"})
    assert [event.instance for event in folder.events] == [instance]


# Delivery


async def test_what_a_handler_gives_up_is_dead_and_the_operator_is_told(folder: Folder, log: Log) -> None:
    (folder.plugins / "fail").touch()
    async with folder.serving() as client:
        await client.post("/webhook", content=CALL)
        await taken()
    (delivery,) = folder.deliveries
    assert (delivery.status, delivery.error) == (DeliveryStatus.DEAD, "gave up: not today")
    assert told(log, "delivery.dead")[0] == "ERROR"
    level, alert = told(log, "alert.raised")
    assert (level, alert["kind"], alert["subject"], alert["delivery"], alert["error"]) == (
        "WARNING",
        "dead",
        "calls",
        delivery.id,
        "gave up: not today",
    )


async def test_what_a_stopped_router_left_unfinished_goes_on_after_a_restart(
    folder: Folder, log: Log
) -> None:
    folder.configure("delivery: {shutdown_grace: 1ms}\n")
    (folder.plugins / "hang").touch()
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=CALL)
        behind = await client.post("/webhook", content=variant(CALL, idMessage="the one behind it"))
        await taken()
    assert [each.status for each in folder.deliveries] == [DeliveryStatus.PENDING] * 2
    assert told(log, "delivery.interrupted")[0] == "WARNING"

    (folder.plugins / "hang").unlink()
    async with folder.serving():
        calls = [await taken(), await taken()]
    assert [event_id for event_id, _, _ in calls] == [answer.json()["id"], behind.json()["id"]]
    assert [each.status for each in folder.deliveries] == [DeliveryStatus.DONE] * 2


# Wiring

PATHS = [
    ("/webhook", "/webhook", 200),
    ("/webhook", "/webhook/", 200),
    ("/webhook", "/webhook//", 404),
    ("/webhook", "/webhooks", 404),
    ("/webhook", "/Webhook", 404),
    ("/webhook", "/", 404),
    ("/", "/", 200),
    ("/", "/webhook", 404),
    ("/hooks/green/", "/hooks/green/", 200),
    ("/hooks/green/", "/hooks/green", 200),
    ("/hooks/green", "/hooks", 404),
    ("/", "/healthz", 405),
]


@pytest.mark.parametrize(("path", "asked", "status"), PATHS)
async def test_the_path_is_taken_with_and_without_a_slash_and_never_redirects(
    folder: Folder, path: str, asked: str, status: int
) -> None:
    folder.configure(f"webhook: {{path: {path}}}\n")
    async with folder.serving() as client:
        assert (await client.post(asked, content=CALL)).status_code == status


async def test_a_running_router_is_ready(folder: Folder) -> None:
    async with folder.serving() as client:
        assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_a_second_router_on_the_same_inbox_is_refused(folder: Folder) -> None:
    async with folder.serving() as client:
        with pytest.raises(InboxInUse, match=r"another router \(process \d+\) runs on inbox .*router\.db"):
            async with folder.serving():
                pass
        assert (await client.post("/webhook", content=CALL)).status_code == 200


async def test_a_router_without_a_disk_delivers_too(folder: Folder) -> None:
    folder.configure('inbox: {url: "memory://"}\n')
    async with folder.serving() as client:
        answer = await client.post("/webhook", content=CALL)
        assert await taken() == (answer.json()["id"], "calls", 1)
    assert not folder.inbox.exists()


def test_everything_that_is_wrong_is_said_at_once(folder: Folder) -> None:
    (folder.plugins / "broken.py").write_text("raise RuntimeError('no licence')")
    folder.configure(
        "retries: 5\n", "routes:\n  - {name: calls, type: incomingCall, handler: recrod, timeout: soon}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(folder.routes_yaml, {})
    problems = [str(problem).removeprefix(str(folder.path)) for problem in caught.value.problems]
    assert [problem.partition(": ")[0] for problem in problems] == [
        "/routes.yaml:4:1",
        "/routes.yaml:6:48",
        "/routes.yaml:6:65",
        "/plugins/broken.py",
    ]
    assert "names handler 'recrod'; installed handlers are " in problems[1]
    assert problems[1].endswith("; did you mean 'record'?")
    assert "plugin 'broken': cannot be imported: RuntimeError: no licence (" in problems[3]


def test_a_broken_plugin_alone_is_enough(folder: Folder) -> None:
    (folder.plugins / "broken.py").write_text("raise RuntimeError('no licence')")
    with pytest.raises(ConfigError, match="no licence"):
        load(folder.routes_yaml, {})
