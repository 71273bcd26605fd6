from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

from router.app import build
from router.events import JsonObject
from router.loading import load
from tests.cli.conftest import Command, Ended, Server, write_files
from tests.conftest import eventually
from tests.greenapi.scripted import Reply, Request, Scripted

SHOP, POLLED = 1101000001, 1101000002
TOKEN, WEBHOOK_TOKEN, OTHER_TOKEN = "api-token-d75b3a66", "webhook-token-374942c5", "another-token-5f1c"
URL = "https://router.example.com/webhook"
ROUTES_YAML = """
version: 1
plugins_dir: plugins
inbox: {url: "sqlite:///router.db"}
webhook: {token: webhook-token-374942c5}
logging: {format: json}
instances:
  - {id: 1101000001, api_url: "URL", token: api-token-d75b3a66}
  - {id: 1101000002, api_url: "URL", token: api-token-d75b3a66, transport: polling}
routes:
  - {name: messages, type: incomingMessageReceived, handler: keep}
  - {name: states, type: stateInstanceChanged, handler: keep}
"""
RIGHT: JsonObject = {
    "wid": "70000000000@c.us",
    "typeInstance": "whatsapp",
    "webhookUrl": URL,
    "webhookUrlToken": WEBHOOK_TOKEN,
    "incomingWebhook": "yes",
    "stateWebhook": "yes",
    "outgoingWebhook": "no",
    "pollMessageWebhook": "yes",
    "editedMessageWebhook": "yes",
    "deletedMessageWebhook": "yes",
}
MESSAGE: JsonObject = {
    "type": "incoming",
    "idMessage": "A1",
    "timestamp": 1796000000,
    "typeMessage": "textMessage",
    "chatId": "79001234567@c.us",
    "senderId": "79001234567@c.us",
    "senderName": "Anna",
    "textMessage": "Hi",
}


@dataclass
class GreenApiStub:
    """Instances whose settings can be read and set."""

    url: str = ""
    states: dict[int, str] = field(default_factory=lambda: {SHOP: "authorized", POLLED: "authorized"})
    settings: dict[int, JsonObject] = field(
        default_factory=lambda: {SHOP: dict(RIGHT), POLLED: RIGHT | {"webhookUrl": "", "webhookUrlToken": ""}}
    )
    journals: dict[int, list[JsonObject]] = field(default_factory=lambda: {SHOP: [], POLLED: []})
    #: Answered in place of what was asked.
    refusals: dict[tuple[int, str], Reply] = field(default_factory=dict)
    #: What `setSettings` was asked.
    asked: list[tuple[int, JsonObject]] = field(default_factory=list)
    minutes: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        instance = int(request.path.split("/")[1].removeprefix("waInstance"))
        if refusal := self.refusals.get((instance, request.method)):
            return refusal
        return Reply(content=getattr(self, f"_{request.method}")(instance, request))

    def _getStateInstance(self, instance: int, _: Request) -> JsonObject:  # noqa: N802 - GREEN-API's
        return {"stateInstance": self.states[instance]}

    def _getSettings(self, instance: int, _: Request) -> JsonObject:  # noqa: N802
        return self.settings[instance]

    def _setSettings(self, instance: int, request: Request) -> JsonObject:  # noqa: N802
        given = orjson.loads(request.body)
        self.asked.append((instance, given))
        self.settings[instance] |= given
        return {"saveSettings": True}

    def _lastIncomingMessages(self, instance: int, request: Request) -> list[JsonObject]:  # noqa: N802
        self.minutes.append(request.query["minutes"])
        return self.journals[instance]


@pytest.fixture
def green_api() -> Iterator[GreenApiStub]:
    stub = GreenApiStub()
    server = Scripted(stub.answer)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server.serving()):
        stub.url = server.url
        yield stub


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, green_api: GreenApiStub) -> Path:
    write_files(tmp_path, ROUTES_YAML.replace("URL", green_api.url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROUTER_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def run(router: Command) -> Command:
    """Runs a command; whatever it says, no token is in it."""

    class Quiet(Command):
        def __init__(self) -> None: ...

        def __call__(self, *arguments: str, stdin: bytes = b"") -> Ended:
            ended = router(*arguments, stdin=stdin)
            for secret in (TOKEN, WEBHOOK_TOKEN, OTHER_TOKEN):
                assert secret not in ended.out + ended.err
            return ended

    return Quiet()


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "routes.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# list


def test_instances_are_listed_without_asking(run: Command, green_api: GreenApiStub) -> None:
    ended = run("instances", "list", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json[0] == {
        "id": SHOP,
        "api_url": green_api.url,
        "transport": "webhook",
        "token": True,
        "webhook_token": False,
    }
    assert [row["transport"] for row in ended.json] == ["webhook", "polling"]
    assert len(run("instances", "list").out.splitlines()) == 3


def test_that_there_are_none_is_said(run: Command, folder: Path) -> None:
    (folder / "routes.yaml").write_text("version: 1\nroutes: []\n")
    for verb in ("list", "doctor"):
        ended = run("instances", verb)
        assert (ended.code, ended.out) == (0, "routes.yaml lists no instances\n")


# doctor


def test_what_is_right_is_said(run: Command) -> None:
    ended = run("instances", "doctor", "--json", "--webhook-url", URL)
    assert (ended.code, ended.err) == (0, "")
    assert ended.json == [
        {
            "instance": instance,
            "status": "ok",
            "finding": "authorized, and sends what the routes need",
            "expected": None,
            "advice": None,
        }
        for instance in (SHOP, POLLED)
    ]


SYNC, SYNC_URL = "router instances sync --apply", "router instances sync --webhook-url URL --apply"
TOKEN_EXPECTED = "webhookUrlToken: the instance's webhook_token or one of webhook.token"
#: state, settings of the shop, arguments, the findings: status, finding, expected, advice
FINDINGS: dict[str, tuple[str, JsonObject, list[str], list[tuple[str | None, ...]]]] = {
    "a flag is off": (
        "authorized",
        {"incomingWebhook": "no"},
        [],
        [("error", "incomingWebhook: no", "incomingWebhook: yes, for route messages", SYNC)],
    ),
    "a flag is not there": (
        "authorized",
        {"stateWebhook": None},
        [],
        [
            (
                "warning",
                "stateWebhook: not among the settings of this instance",
                "stateWebhook: yes, for route states",
                "its messenger or tariff may not have it: look in GREEN-API's console",
            )
        ],
    ),
    "what is optional is off": (
        "authorized",
        {"pollMessageWebhook": "no", "deletedMessageWebhook": "no"},
        [],
        [
            ("ok", "authorized, and sends what the routes need", None, None),
            (
                "ok",
                "pollMessageWebhook, deletedMessageWebhook: no; optional, since no route names votes, edits "
                "or deletions",
                None,
                None,
            ),
        ],
    ),
    "no webhookUrl": (
        "authorized",
        {"webhookUrl": ""},
        [],
        [
            (
                "error",
                "webhookUrl: empty",
                "webhookUrl: the public address of the router, since transport is webhook",
                SYNC_URL,
            )
        ],
    ),
    "another webhookUrl": (
        "authorized",
        {"webhookUrl": f"https://u:{OTHER_TOKEN}@old.example.com/x?token={OTHER_TOKEN}"},
        ["--webhook-url", URL],
        [("error", "webhookUrl: https://old.example.com/x", f"webhookUrl: {URL}", SYNC_URL)],
    ),
    "a token that is refused": (
        "authorized",
        {"webhookUrlToken": OTHER_TOKEN},
        [],
        [("error", "webhookUrlToken: one that the router refuses", TOKEN_EXPECTED, SYNC_URL)],
    ),
    "no token": (
        "authorized",
        {"webhookUrlToken": ""},
        [],
        [("error", "webhookUrlToken: empty", TOKEN_EXPECTED, SYNC_URL)],
    ),
    "a token with its scheme": ("authorized", {"webhookUrlToken": f"Bearer {WEBHOOK_TOKEN}"}, [], []),
    "a token that cannot be read": ("authorized", {"webhookUrlToken": None}, [], []),
    "not authorized": (
        "notAuthorized",
        {},
        [],
        [("error", "state notAuthorized", "state authorized", "authorize it in GREEN-API's console")],
    ),
    "starting": (
        "starting",
        {},
        [],
        [("warning", "state starting", "state authorized", "wait up to 5 minutes")],
    ),
}


@pytest.mark.parametrize(
    ("state", "settings", "arguments", "findings"), FINDINGS.values(), ids=FINDINGS.keys()
)
def test_what_is_wrong_is_said_with_what_to_do(
    run: Command,
    green_api: GreenApiStub,
    state: str,
    settings: JsonObject,
    arguments: list[str],
    findings: list[tuple[str | None, ...]],
) -> None:
    green_api.states[SHOP] = state
    given = RIGHT | settings
    green_api.settings[SHOP] = {name: value for name, value in given.items() if value is not None}

    ended = run("instances", "doctor", "--instance", str(SHOP), "--json", *arguments)

    address = f"webhookUrl: {URL}"
    found = [tuple(row.values())[1:] for row in ended.json]
    fine = ("ok", "authorized, and sends what the routes need", None, None)
    assert [each for each in found if each[1] != address] == (findings or [fine])
    assert ended.code == (1 if any(each[0] == "error" for each in findings) else 0)


def test_without_an_address_to_compare_with_the_one_that_is_set_is_shown(run: Command) -> None:
    ended = run("instances", "doctor", "--instance", str(SHOP), "--json")
    assert [row["finding"] for row in ended.json][1:] == [f"webhookUrl: {URL}"]


def test_polling_while_a_webhook_url_is_set_is_an_error(run: Command, green_api: GreenApiStub) -> None:
    green_api.settings[POLLED]["webhookUrl"] = URL
    ended = run("instances", "doctor", "--instance", str(POLLED), "--json")
    assert ended.code == 1
    assert [(row["status"], row["finding"], row["expected"], row["advice"]) for row in ended.json] == [
        ("error", f"webhookUrl: {URL}", "webhookUrl: empty, since the instance is polled", SYNC)
    ]


def test_one_that_cannot_be_asked_keeps_none_from_being_told(
    run: Command, green_api: GreenApiStub, folder: Path
) -> None:
    green_api.refusals[SHOP, "getStateInstance"] = Reply(status=401, content="")
    change(folder, "routes:", f'  - {{id: 1101000003, api_url: "{green_api.url}"}}\nroutes:')

    ended = run("instances", "doctor", "--json")

    assert ended.code == 1
    assert [(row["instance"], row["status"], row["finding"], row["advice"]) for row in ended.json] == [
        (
            SHOP,
            "error",
            "getStateInstance: 401",
            "compare id, token and api_url with the instance's page in GREEN-API's console",
        ),
        (POLLED, "ok", "authorized, and sends what the routes need", None),
        (1101000003, "warning", "routes.yaml: found no token", "set its token in routes.yaml"),
    ]


def test_an_instance_that_is_not_listed_is_said(run: Command) -> None:
    for verb in ("doctor", "sync"):
        ended = run("instances", verb, "--instance", "5")
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == f"routes.yaml lists no instance 5; it lists {SHOP}, {POLLED}\n"


def test_findings_are_a_table_for_people(run: Command) -> None:
    lines = run("instances", "doctor", "--webhook-url", URL).out.splitlines()
    assert lines[0].split() == ["instance", "status", "finding", "expected", "advice"]
    assert len(lines) == 3


# sync


def test_where_nothing_differs_nothing_is_set(run: Command, green_api: GreenApiStub) -> None:
    ended = run("instances", "sync", "--apply", "--webhook-url", URL)
    assert (ended.code, ended.out, ended.err) == (0, "nothing to change\n", "")
    assert green_api.asked == []


def make_differ(green_api: GreenApiStub) -> None:
    green_api.settings[SHOP] |= {
        "incomingWebhook": "no",
        "webhookUrl": "https://old.example.com",
        "webhookUrlToken": OTHER_TOKEN,
    }
    green_api.settings[POLLED] |= {"webhookUrl": URL, "outgoingWebhook": "yes"}
    del green_api.settings[POLLED]["stateWebhook"]


DIFFERENCE = [
    (SHOP, "incomingWebhook", "no", "yes"),
    (SHOP, "webhookUrl", "https://old.example.com", URL),
    (SHOP, "webhookUrlToken", "[another]", "[the router's]"),
    (POLLED, "webhookUrl", URL, "empty"),
]


def rows(ended: Ended) -> list[tuple[Any, ...]]:
    return [tuple(row.values())[:4] for row in ended.json]


def test_the_difference_is_shown_and_nothing_is_set(run: Command, green_api: GreenApiStub) -> None:
    make_differ(green_api)
    ended = run("instances", "sync", "--webhook-url", URL, "--json")
    assert (ended.code, rows(ended)) == (1, DIFFERENCE)
    assert {row["status"] for row in ended.json} == {"differs"}
    assert "nothing was changed" in ended.err
    assert green_api.asked == []


def test_exactly_the_difference_is_set_and_then_there_is_none(run: Command, green_api: GreenApiStub) -> None:
    make_differ(green_api)

    ended = run("instances", "sync", "--webhook-url", URL, "--apply", "--json")

    assert (ended.code, rows(ended)) == (0, DIFFERENCE)
    assert {row["status"] for row in ended.json} == {"applied"}
    assert ended.err == (
        f"warning: GREEN-API restarts instances {SHOP}, {POLLED}: "
        "it takes up to 5 minutes until this applies\n"
    )
    assert sorted(green_api.asked) == [
        (SHOP, {"incomingWebhook": "yes", "webhookUrl": URL, "webhookUrlToken": WEBHOOK_TOKEN}),
        (POLLED, {"webhookUrl": ""}),
    ]
    ended = run("instances", "sync", "--webhook-url", URL, "--apply")
    assert (ended.code, ended.out) == (0, "nothing to change\n")
    assert len(green_api.asked) == 2


def test_without_an_address_neither_it_nor_the_token_is_set(run: Command, green_api: GreenApiStub) -> None:
    make_differ(green_api)
    run("instances", "sync", "--apply", "--instance", str(SHOP))
    assert green_api.asked == [(SHOP, {"incomingWebhook": "yes"})]


def test_the_instances_own_token_is_set(run: Command, green_api: GreenApiStub, folder: Path) -> None:
    own = "{id: 1101000001, webhook_token: another-token-5f1c,"
    change(folder, "{id: 1101000001,", own)
    green_api.settings[SHOP] |= {"webhookUrlToken": ""}
    run("instances", "sync", "--apply", "--webhook-url", URL)
    assert green_api.asked == [(SHOP, {"webhookUrlToken": OTHER_TOKEN})]


def test_one_that_cannot_be_set_keeps_none_from_being_set(run: Command, green_api: GreenApiStub) -> None:
    make_differ(green_api)
    green_api.refusals[SHOP, "setSettings"] = Reply(status=400, content={"message": "bad request data"})

    ended = run("instances", "sync", "--apply", "--json")

    assert ended.code == 1
    assert [(row["instance"], row["status"], row["error"]) for row in ended.json] == [
        (SHOP, "failed", "setSettings: 400: bad request data"),
        (POLLED, "applied", None),
    ]
    green_api.refusals[SHOP, "getSettings"] = Reply(status=403, content="")
    (row,) = run("instances", "sync", "--json").json
    assert (row["instance"], row["setting"], row["status"]) == (SHOP, None, "failed")
    assert row["error"].startswith("getSettings: 403; compare id, token")


# doctor --audit, --backfill


def real(record: JsonObject, **more: Any) -> bytes:
    """Return the notification that GREEN-API sends of a message."""
    return orjson.dumps(
        {
            "typeWebhook": "incomingMessageReceived",
            "instanceData": {"idInstance": SHOP, "wid": "70000000000@c.us", "typeInstance": "whatsapp"},
            "timestamp": record["timestamp"],
            "idMessage": record["idMessage"],
            "senderData": {"chatId": record["chatId"], "sender": record["senderId"]},
            "messageData": {"typeMessage": "textMessage", "textMessageData": {"textMessage": "Hi"}},
            **more,
        }
    )


def unpolled(folder: Path) -> Path:
    """Return a configuration with which a router asks nothing of GREEN-API."""
    path = folder / "unpolled.yaml"
    path.write_text((folder / "routes.yaml").read_text().replace(", transport: polling", ""))
    return path


def send(folder: Path, *bodies: bytes) -> list[JsonObject]:
    """Have a router receive notifications; return its answers."""
    headers = {"Authorization": WEBHOOK_TOKEN}
    with TestClient(build(load(unpolled(folder), {}))) as client:
        return [client.post("/webhook", content=body, headers=headers).json() for body in bodies]


SECOND = MESSAGE | {"idMessage": "A2", "timestamp": MESSAGE["timestamp"] + 1}
ELSEWHERE = MESSAGE | {"chatId": "7@c.us", "timestamp": MESSAGE["timestamp"] + 2}
BROKEN = {"type": "incoming", "typeMessage": "imageMessage", "idMessage": "A3", "chatId": "7@c.us"}
MESSAGE_KEYS = [
    "instance",
    "sent_at",
    "chat",
    "id_message",
    "message_type",
    "status",
    "event",
    "error",
]


def seen(ended: Ended) -> list[tuple[Any, ...]]:
    return [(row["chat"], row["id_message"], row["status"]) for row in ended.json]


def test_exactly_what_never_came_is_listed(run: Command, green_api: GreenApiStub, folder: Path) -> None:
    send(folder, real(MESSAGE))
    green_api.journals[SHOP] = [ELSEWHERE, SECOND, SECOND, MESSAGE, {"typeMessage": "textMessage"}]

    ended = run("instances", "doctor", "--audit", "--json")

    assert (ended.code, ended.err, green_api.minutes) == (1, "", ["1440", "1440"])
    assert [list(row) for row in ended.json] == [MESSAGE_KEYS] * 2
    assert seen(ended) == [("79001234567@c.us", "A2", "missing"), ("7@c.us", "A1", "missing")]
    assert len(run("events", "list", "--json").json) == 1


def test_what_came_in_another_shape_came(run: Command, green_api: GreenApiStub, folder: Path) -> None:
    send(folder, real(MESSAGE, messageData={"typeMessage": "textMessage"}))  # it breaks its schema
    green_api.journals[SHOP] = [MESSAGE | {"typeMessage": "quotedMessage"}]
    ended = run("instances", "doctor", "--audit", "--minutes", "60")
    assert (ended.code, ended.out) == (0, "nothing is missing\n")
    assert green_api.minutes == ["60", "60"]


def test_what_no_route_takes_is_not_missed(run: Command, green_api: GreenApiStub, folder: Path) -> None:
    send(folder)
    change(folder, "type: incomingMessageReceived", "type: incomingCall")
    green_api.journals[SHOP] = [MESSAGE]
    assert run("instances", "doctor", "--audit").code == 0


def test_what_never_came_is_fed_in_and_a_late_one_is_a_duplicate(
    run: Command, green_api: GreenApiStub, folder: Path
) -> None:
    send(folder)
    green_api.journals[SHOP] = [SECOND, BROKEN, MESSAGE]

    ended = run("instances", "doctor", "--backfill", "--json")

    assert ended.code == 1
    assert seen(ended) == [
        ("7@c.us", "A3", "invalid"),
        ("79001234567@c.us", "A1", "stored"),
        ("79001234567@c.us", "A2", "stored"),
    ]
    assert ended.json[0]["error"].startswith("$.messageData.fileMessageData")
    first = run("events", "show", ended.json[1]["event"], "--json").json
    assert (first["status"], first["transport"], first["notification"]["source"]) == (
        "accepted",
        "webhook",
        "lastIncomingMessages",
    )
    assert [(each["route"], each["status"]) for each in first["deliveries"]] == [("messages", "pending")]
    assert send(folder, real(MESSAGE)) == [{"status": "duplicate", "id": ended.json[1]["event"]}]
    green_api.journals[SHOP] = [SECOND, MESSAGE]
    assert run("instances", "doctor", "--backfill").out == "nothing is missing\n"


def test_an_instance_whose_journal_cannot_be_read_is_told(
    run: Command, green_api: GreenApiStub, folder: Path
) -> None:
    send(folder)
    green_api.refusals[SHOP, "lastIncomingMessages"] = Reply(status=401)
    green_api.journals[POLLED] = [MESSAGE]
    ended = run("instances", "doctor", "--audit", "--json")
    assert ended.code == 1
    assert [(row["instance"], row["status"]) for row in ended.json] == [
        (SHOP, "failed"),
        (POLLED, "missing"),
    ]


def test_no_further_back_than_the_inbox_keeps(run: Command, folder: Path) -> None:
    send(folder)
    ended = run("instances", "doctor", "--audit", "--minutes", "10081")
    assert (ended.code, ended.out) == (2, "")
    assert "the inbox keeps events for 10080 minutes" in ended.err


@pytest.mark.parametrize("verb", ["doctor", "sync"])
def test_what_is_no_address_is_wrong_usage(run: Command, green_api: GreenApiStub, verb: str) -> None:
    ended = run("instances", verb, "--webhook-url", "router.example.com/webhook")
    assert (ended.code, ended.out) == (2, "")
    assert "expected an address" in ended.err
    assert green_api.asked == []


def test_a_running_router_takes_up_what_is_fed_in(
    run: Command, green_api: GreenApiStub, folder: Path
) -> None:
    green_api.journals[SHOP] = [MESSAGE]
    server = Server(folder, "--config", str(unpolled(folder)))
    server.line("router.started")
    try:
        (row,) = run("instances", "doctor", "--backfill", "--json").json

        def deliveries() -> list[str]:
            event = run("events", "show", row["event"], "--json").json
            return [each["status"] for each in event["deliveries"]]

        eventually(lambda: deliveries() == ["done"])
    finally:
        assert server.stop() == 0
