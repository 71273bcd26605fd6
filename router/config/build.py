"""A tree without problems → `Config`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from router import patterns
from router.config.rules import GREEN_API, POSTGRESQL, network
from router.config.settings import (
    AckMode,
    AlertSettings,
    ChangedPolicy,
    Config,
    ConsoleSettings,
    DedupSettings,
    DeliverySettings,
    InboxKind,
    InboxSettings,
    Instance,
    LogFormat,
    LoggingSettings,
    NotificationLogging,
    PluginSettings,
    RouteTest,
    WebhookSettings,
)
from router.config.structure import routes_schema
from router.config.tree import Tree
from router.events import JsonObject, Transport
from router.retry import RetryPolicy
from router.routing import Order, Route
from router.units import seconds, size

#: Shorter values are words like any other; taking them out of a log would make it unreadable.
MIN_SECRET = 6


def build(path: Path, tree: Tree) -> Config:
    """Turn the tree into settings; it is free of problems, so nothing here can fail."""
    data = tree.data
    folder = path.parent
    inbox = _inbox(data.get("inbox") or {}, folder)
    return Config(
        path=path,
        instances=tuple(map(_instance, data.get("instances") or ())),
        webhook=_webhook(data.get("webhook") or {}, inbox.kind),
        inbox=inbox,
        dedup=DedupSettings(**_given(data.get("dedup"), window=seconds, changed=ChangedPolicy)),
        delivery=DeliverySettings(**_given(data.get("delivery"), concurrency=int, shutdown_grace=seconds)),
        plugins_dir=plugins_dir(tree, folder),
        plugins=tuple(
            PluginSettings(**_given(one, name=str, required=bool)) for one in data.get("plugins") or ()
        ),
        routes=tuple(map(_route, data.get("routes") or ())),
        optional_routes=frozenset(
            route["name"] for route in data.get("routes") or () if route.get("required") is False
        ),
        route_tests=_route_tests(data.get("routes") or [], folder),
        alerts=tuple(map(_alert, data.get("alerts") or ())),
        logging=LoggingSettings(
            **_given(data.get("logging"), level=str, format=LogFormat, notification=NotificationLogging)
        ),
        console=ConsoleSettings(**_given(data.get("console"), token=str)),
        secrets=frozenset(secret for secret in _secrets(tree) if len(secret) >= MIN_SECRET),
    )


def plugins_dir(tree: Tree, folder: Path) -> Path | None:
    """Return the folder of one-file plugins, if the file names one that is there."""
    value = tree.get(("plugins_dir",))
    return folder / value if isinstance(value, str) else None


def _given(section: JsonObject | None, **read: Callable[[Any], Any]) -> dict[str, Any]:
    """Read what the section gives; what it leaves out has its default in the dataclass."""
    return {key: read[key](value) for key, value in (section or {}).items() if key in read}


def _instance(data: JsonObject) -> Instance:
    api_url = data.get("api_url", f"https://{str(int(data['id']))[:4]}.api.greenapi.com")
    return Instance(
        api_url=api_url.rstrip("/"),
        **_given(
            data,
            id=int,
            token=str,
            transport=Transport,
            receive_timeout=seconds,
            quiet_after=seconds,
            webhook_token=str,
        ),
    )


def _webhook(data: JsonObject, inbox: InboxKind) -> WebhookSettings:
    allow = data.get("allow", [])
    given = _given(data, path=str, max_body=size, ack=AckMode, ack_deadline=seconds)
    if inbox is InboxKind.MEMORY:
        given["ack"] = AckMode.HANDLED
    return WebhookSettings(
        tokens=tuple(_one_or_more(data.get("token", []))),
        allow_green_api=GREEN_API in allow,
        allow=tuple(network(entry) for entry in allow if entry != GREEN_API),
        trusted_proxies=tuple(map(network, data.get("trusted_proxies", []))),
        **given,
    )


def _inbox(data: JsonObject, folder: Path) -> InboxSettings:
    return InboxSettings(
        **_home(data.get("url", "sqlite:///var/router.db"), folder),
        **_given(data, retention=seconds, keep_unrouted=bool, lease=seconds),
    )


def _home(url: str, folder: Path) -> dict[str, Any]:
    if url == "memory://":
        return {"kind": InboxKind.MEMORY, "path": None}
    if url.startswith(POSTGRESQL):
        return {"kind": InboxKind.POSTGRESQL, "path": None, "url": url}
    return {"kind": InboxKind.SQLITE, "path": folder / url.removeprefix("sqlite:///")}


def _plugin(data: JsonObject) -> PluginSettings:
    return PluginSettings(**_given(data, name=str, required=bool))


def _route(data: JsonObject) -> Route:
    when = data.get("when")
    settings: dict[str, Any] = {"options": {}, "order": Order.CHAT, "timeout": 30.0, "concurrency": 16}
    settings |= {"max_lane_block": 300.0, "max_age": None, "stop": False}
    settings |= _given(
        data,
        name=str,
        handler=str,
        options=dict,
        order=Order,
        timeout=seconds,
        concurrency=int,
        max_lane_block=seconds,
        max_age=seconds,
        stop=bool,
    )
    return Route(
        types=tuple(_one_or_more(data["type"])),
        when=patterns.compile(when) if when is not None else None,
        retry=RetryPolicy(
            **_given(data.get("retry"), attempts=int, first=seconds, factor=float, max=seconds, jitter=float)
        ),
        **settings,
    )


def _route_tests(routes: list[JsonObject], folder: Path) -> Mapping[str, tuple[RouteTest, ...]]:
    return {
        route["name"]: tuple(
            RouteTest(**_given(test, sample=str, file=lambda name: folder / name, matches=bool))
            for test in route["tests"]
        )
        for route in routes
        if route.get("tests")
    }


def _alert(data: JsonObject) -> AlertSettings:
    every_kind = routes_schema()["$defs"]["alert"]["properties"]["kinds"]["default"]
    return AlertSettings(
        kinds=frozenset(data.get("kinds", every_kind)),
        **_given(data, handler=str, options=dict, every=seconds, required=bool),
    )


def _one_or_more(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _secrets(tree: Tree) -> Iterator[str]:
    for index, _ in enumerate(tree.get(("instances",), [])):
        yield tree.get(("instances", index, "token"), "")
        yield tree.get(("instances", index, "webhook_token"), "")
    yield from _one_or_more(tree.get(("webhook", "token"), []))
    yield tree.get(("console", "token"), "")
    yield from _password(tree.get(("inbox", "url"), ""))
    for keys, reference in tree.references.items():
        yield from reference.from_files
        if keys[2:3] == ("options",):  # of a route or an alert
            yield from reference.from_environment


def _password(url: str) -> Iterator[str]:
    """Yield the password in a URL of PostgreSQL, as it is written there and as it is meant."""
    with suppress(ValueError):  # what is no URL at all is said by those who use it
        written = urlsplit(url).password or ""
        yield from {written, unquote(written)}
