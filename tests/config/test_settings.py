"""Good files → whole settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from router import patterns
from router.config import (
    AckMode,
    AlertSettings,
    ChangedPolicy,
    Config,
    ConsoleSettings,
    DedupSettings,
    DeliverySettings,
    Document,
    InboxKind,
    InboxSettings,
    Instance,
    LogFormat,
    LoggingSettings,
    NotificationLogging,
    RouteTest,
    WebhookSettings,
    read,
    routes_schema,
)
from router.events import Transport
from router.retry import RetryPolicy
from router.routing import Order, Route
from tests.config.offered import check

Load = Callable[..., Document]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "routes-yaml.md"
EXAMPLE = PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
ENVIRON = {
    "GREEN_API_TOKEN": "green-token",
    "SHOP_WEBHOOK_TOKEN": "shop-token",
    "WEBHOOK_TOKEN": "webhook-token",
    "APPRISE_URL": "tgram://apprise-token/1",
    "CONSOLE_TOKEN": "console-token",
}
ALL_KINDS = frozenset(routes_schema()["$defs"]["alert"]["properties"]["kinds"]["default"])
ROUTE = Route(
    name="all",
    types=("*",),
    handler="echo",
    options={},
    when=None,
    order=Order.CHAT,
    timeout=30.0,
    concurrency=16,
    retry=RetryPolicy(),
    max_lane_block=300.0,
    max_age=None,
    stop=False,
)


def test_the_example_gives_every_setting(load: Load, tmp_path: Path) -> None:
    (tmp_path / "my_plugins").mkdir()
    document = load(EXAMPLE, ENVIRON)
    assert document.handler_names | document.channel_names == {"autoreply", "apprise"}
    assert document.plugins_dir == tmp_path / "my_plugins"

    check(document, {"autoreply": None, "apprise": None})

    assert document.config() == Config(
        path=tmp_path / "routes.yaml",
        instances=(
            Instance(
                id=1101000001,
                api_url="https://1101.api.greenapi.com",
                token="green-token",
                transport=Transport.WEBHOOK,
                quiet_after=21600.0,
                webhook_token="shop-token",
            ),
        ),
        webhook=WebhookSettings(
            path="/webhook",
            tokens=("webhook-token",),
            allow_green_api=True,
            allow=(IPv4Network("203.0.113.0/24"),),
            trusted_proxies=(IPv4Network("127.0.0.1/32"),),
            max_body=2097152,
            ack=AckMode.STORED,
        ),
        inbox=InboxSettings(
            path=tmp_path / "var/router.db", retention=604800.0, keep_unrouted=False, lease=30.0
        ),
        dedup=DedupSettings(window=172800.0, changed=ChangedPolicy.DROP),
        delivery=DeliverySettings(concurrency=256, shutdown_grace=20.0),
        plugins_dir=tmp_path / "my_plugins",
        routes=(
            Route(
                name="orders",
                types=("incomingMessageReceived",),
                handler="autoreply",
                options={"reply": "Got it, {event.sender_name}"},
                when=patterns.compile(
                    {
                        "messageData": {"typeMessage": ["textMessage", "extendedTextMessage"]},
                        "text": [{"prefix": "/order"}],
                    }
                ),
                order=Order.CHAT,
                timeout=30.0,
                concurrency=16,
                retry=RetryPolicy(attempts=5, first=1.0, factor=2.0, max=60.0),
                max_lane_block=300.0,
                max_age=None,
                stop=False,
            ),
        ),
        route_tests={"orders": (RouteTest(sample="incomingMessageReceived/wa-text.json", matches=True),)},
        alerts=(
            AlertSettings(
                handler="apprise",
                kinds=frozenset({"unknown_type", "invalid", "dead", "instance_down", "recovered"}),
                options={"urls": ["tgram://apprise-token/1"]},
                every=600.0,
            ),
        ),
        logging=LoggingSettings(
            level="INFO", format=LogFormat.CONSOLE, notification=NotificationLogging.FULL
        ),
        console=ConsoleSettings(token="console-token"),
        secrets=frozenset(ENVIRON.values()),
    )


FULL = """
version: 1
instances:
  - id: 7103000002
    api_url: https://example.test/green/
    token: polling-token
    transport: polling
    receive_timeout: 30s
webhook:
  path: /hooks/green-api
  token: [first-token, second-token]
  allow: [green-api, 198.51.100.7, "2001:db8::/32"]
  trusted_proxies: [10.0.0.0/8, "::1"]
  max_body: 512KiB
  ack: handled
  ack_deadline: 1500ms
inbox: {url: "sqlite:////srv/router.db", retention: 30d, keep_unrouted: true, lease: 2s}
dedup: {window: 72h, changed: deliver}
delivery: {concurrency: 8, shutdown_grace: 1m}
routes:
  - name: calls
    type: [incomingCall, outgoingCall]
    handler: ledger
    options: {account: shop, port: 5432, deep: {list: [yes, 12:30, 0123, ~]}}
    order: sender
    timeout: 1m30s
    concurrency: 1
    retry: {attempts: 1, first: 0s, factor: 1, max: 0s, jitter: 0}
    max_lane_block: 1h
    max_age: 1d
    stop: true
    tests: [{file: tests/call.json, matches: false}]
alerts:
  - handler: echo
logging: {level: DEBUG, format: json, notification: masked}
"""


def test_every_key_is_read(load: Load, tmp_path: Path) -> None:
    assert load(FULL).config() == Config(
        path=tmp_path / "routes.yaml",
        instances=(
            Instance(
                id=7103000002,
                api_url="https://example.test/green",
                token="polling-token",
                transport=Transport.POLLING,
                receive_timeout=30.0,
            ),
        ),
        webhook=WebhookSettings(
            path="/hooks/green-api",
            tokens=("first-token", "second-token"),
            allow_green_api=True,
            allow=(IPv4Network("198.51.100.7/32"), IPv6Network("2001:db8::/32")),
            trusted_proxies=(IPv4Network("10.0.0.0/8"), IPv6Network("::1/128")),
            max_body=524288,
            ack=AckMode.HANDLED,
            ack_deadline=1.5,
        ),
        inbox=InboxSettings(path=Path("/srv/router.db"), retention=2592000.0, keep_unrouted=True, lease=2.0),
        dedup=DedupSettings(window=259200.0, changed=ChangedPolicy.DELIVER),
        delivery=DeliverySettings(concurrency=8, shutdown_grace=60.0),
        routes=(
            Route(
                name="calls",
                types=("incomingCall", "outgoingCall"),
                handler="ledger",
                options={"account": "shop", "port": 5432, "deep": {"list": ["yes", "12:30", "0123", None]}},
                when=None,
                order=Order.SENDER,
                timeout=90.0,
                concurrency=1,
                retry=RetryPolicy(attempts=1, first=0.0, factor=1.0, max=0.0, jitter=0.0),
                max_lane_block=3600.0,
                max_age=86400.0,
                stop=True,
            ),
        ),
        route_tests={"calls": (RouteTest(file=tmp_path / "tests/call.json", matches=False),)},
        alerts=(AlertSettings(handler="echo", kinds=ALL_KINDS),),
        logging=LoggingSettings(
            level="DEBUG", format=LogFormat.JSON, notification=NotificationLogging.MASKED
        ),
        secrets=frozenset({"polling-token", "first-token", "second-token"}),
    )


@pytest.mark.parametrize(
    "text",
    [
        "version: 1",
        "{}",
        "\ufeffversion: 1\r\nroutes:\r\n",
        "---\nroutes: []\n...\n",
        "instances:\nwebhook:\ninbox:\ndedup:\ndelivery:\nroutes:\nalerts:\nlogging:\nconsole:\n",
    ],
    ids=["version only", "empty mapping", "BOM and CRLF", "marked document", "empty sections"],
)
def test_everything_may_be_left_out(load: Load, tmp_path: Path, text: str) -> None:
    config = load(text).config()
    assert config == Config(
        path=tmp_path / "routes.yaml",
        inbox=InboxSettings(path=tmp_path / "var/router.db"),
        secrets=frozenset(),
    )


def test_a_route_needs_three_keys(load: Load) -> None:
    config = load("routes: [{name: all, type: '*', handler: echo}]").config()
    assert (config.routes, config.route_tests) == ((ROUTE,), {})


def _defaults(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """What the schema says the file means when it says nothing, written out in full."""
    if "$ref" in schema and "properties" not in schema and "default" not in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "properties" not in schema:
        return schema["default"]
    return {
        key: value
        for key, inner in schema["properties"].items()
        if "default" in inner or "properties" in inner
        for value in [_defaults(inner, definitions)]
    }


def test_the_defaults_that_the_schema_promises_are_those_that_hold(load: Load) -> None:
    schema = routes_schema()
    definitions = schema["$defs"]
    written = _defaults(schema, definitions)
    written["instances"] = [{"id": 1101000001} | _defaults(definitions["instance"], definitions)]
    written["routes"] = [
        {"name": "all", "type": "*", "handler": "echo"} | _defaults(definitions["route"], definitions)
    ]
    written["alerts"] = [{"handler": "echo"} | _defaults(definitions["alert"], definitions)]
    route = "{name: all, type: '*', handler: echo}"
    short = f"{{instances: [{{id: 1101000001}}], routes: [{route}], alerts: [{{handler: echo}}]}}"

    assert written["routes"][0]["retry"] == {
        "attempts": 5,
        "first": "1s",
        "factor": 2,
        "max": "1m",
        "jitter": 0.1,
    }
    assert load(json.dumps(written)).config() == load(short).config()


def test_settings_made_by_hand_have_the_same_defaults_as_a_file(load: Load) -> None:
    config = load("{}").config()
    made = Config(path=config.path)
    assert made == replace(config, inbox=replace(config.inbox, path=Path("var/router.db")))


def test_without_a_store_the_handlers_decide_the_answer(load: Load) -> None:
    config = load('inbox: {url: "memory://"}').config()
    assert config.inbox == InboxSettings(kind=InboxKind.MEMORY, path=None)
    assert config.webhook == WebhookSettings(ack=AckMode.HANDLED)


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc" / "plugins").mkdir(parents=True)
    (tmp_path / "etc" / "token").write_text("from-a-file\n")
    text = "{plugins_dir: plugins, console: {token: '${file:token}'}}"
    (tmp_path / "etc" / "routes.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    config = read(Path("etc/routes.yaml"), {}).config()

    assert (config.inbox.path, config.plugins_dir) == (Path("etc/var/router.db"), Path("etc/plugins"))
    assert config.console.token == "from-a-file"


def test_an_alias_is_the_value_itself(load: Load) -> None:
    text = """
    routes:
      - {name: a, type: x, handler: echo, retry: &patient {attempts: 9}}
      - {name: b, type: x, handler: echo, retry: *patient}
    """
    assert [route.retry.attempts for route in load(text).config().routes] == [9, 9]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${X}", 5),
        ('"${X}"', "5"),
        ("!!str ${X}", "5"),
        ("${X}0", 50),
        ("${GONE:-true}", True),
        ("${GONE:-}", ""),
        ("${GONE:-null}", "null"),
        ("${GONE:-0123}", "0123"),
        ("$${X}", "${X}"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("|\n        5\n", "5\n"),
    ],
)
def test_an_unquoted_reference_is_typed_after_it_is_filled_in(
    load: Load, written: str, value: object
) -> None:
    text = f"routes:\n  - name: all\n    type: x\n    handler: echo\n    options:\n      x: {written}"
    (route,) = load(text, {"X": "5"}).config().routes
    assert route.options == {"x": value}


@pytest.mark.parametrize("token", ["12345678", "true", "1e5", "null", "0x1F"])
def test_a_token_is_text_whatever_it_looks_like(load: Load, token: str) -> None:
    config = load("webhook:\n  token: ${T}\nconsole:\n  token: ${T}", {"T": token}).config()
    assert (config.webhook.tokens, config.console.token) == ((token,), token)


def test_an_option_that_looks_like_a_number_is_text_where_its_handler_takes_text(load: Load) -> None:
    options = "\n      account: ${A}\n      port: ${P}"
    text = f"routes:\n  - name: all\n    type: x\n    handler: ledger\n    options:{options}"
    document = load(text, {"A": "12345", "P": "5432"})
    schema = {"properties": {"account": {"type": "string"}, "port": {"type": "integer"}}}

    check(document, {"ledger": schema})

    assert document.config().routes[0].options == {"account": "12345", "port": 5432}


def test_handler_names_are_found_also_where_other_things_are_wrong(load: Load) -> None:
    text = """
    nonsense: 1
    routes:
      - {handler: echo, timeout: soon}
      - {name: b, type: x, handler: ${H}}
      - {name: b, handler: 5}
      - text
    alerts: [{handler: apprise, every: x}, {}]
    """.replace("${H}", "'${H}'")
    document = load(text, {"H": "ledger"})
    assert document.handler_names == {"echo", "ledger"}
    assert document.channel_names == {"apprise"}
    assert load("routes: {handler: echo}").handler_names == frozenset()


def test_settings_are_frozen_and_keyword_only() -> None:
    for cls in (Config, Instance, WebhookSettings, InboxSettings, DedupSettings, DeliverySettings, RouteTest):
        assert is_dataclass(cls)
        assert all(field.kw_only for field in fields(cls))
    with pytest.raises(AttributeError):
        InboxSettings().lease = 1.0  # type: ignore[misc]


def test_an_editor_accepts_the_example_as_it_is_written() -> None:
    jsonschema.validate(yaml.safe_load(EXAMPLE), routes_schema())
