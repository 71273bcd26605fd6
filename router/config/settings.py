"""What ``routes.yaml`` says, as frozen values: durations in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from router.events import Transport
from router.routing import Route

Network = IPv4Network | IPv6Network


class AckMode(StrEnum):
    """When GREEN-API gets its 200."""

    #: When the event is stored.
    STORED = "stored"
    #: When its handlers are done, or ``ack_deadline`` has passed.
    HANDLED = "handled"


class ChangedPolicy(StrEnum):
    """What becomes of a duplicate with other content."""

    DROP = "drop"
    DELIVER = "deliver"


class InboxKind(StrEnum):
    """Where the inbox lives; the scheme of its URL."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MEMORY = "memory"


class LogFormat(StrEnum):
    """How a record is written."""

    #: For people.
    CONSOLE = "console"
    #: One JSON object per line.
    JSON = "json"


class NotificationLogging(StrEnum):
    """How much of a notification a record shows."""

    FULL = "full"
    #: Its shape, without names, phone numbers and text.
    MASKED = "masked"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A GREEN-API account."""

    #: ``idInstance``.
    id: int
    #: Without a slash at the end.
    api_url: str
    #: ``apiTokenInstance``; ``None``: nothing can be polled or sent.
    token: str | None = field(default=None, repr=False)
    #: How its notifications come.
    transport: Transport = Transport.WEBHOOK
    #: Seconds for which GREEN-API holds a polling request open.
    receive_timeout: float = 20.0
    #: Seconds of silence after which an alert is raised; ``None``: never.
    quiet_after: float | None = None
    #: Accepted for this instance's notifications beside the common tokens.
    webhook_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """How notifications are taken over HTTP."""

    #: Where GREEN-API posts to.
    path: str = "/webhook"
    #: Any of them will do; empty: no token is asked for.
    tokens: tuple[str, ...] = field(default=(), repr=False)
    #: Whether the addresses that GREEN-API publishes may post.
    allow_green_api: bool = False
    #: Further addresses that may post; with this empty and ``allow_green_api`` false, anyone may.
    allow: tuple[Network, ...] = ()
    #: Who may set ``X-Forwarded-For``.
    trusted_proxies: tuple[Network, ...] = ()
    #: Bytes; a larger body is refused.
    max_body: int = 2 * 1024 * 1024
    #: When GREEN-API gets its 200.
    ack: AckMode = AckMode.STORED
    #: Seconds that ``AckMode.HANDLED`` waits for the handlers.
    ack_deadline: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSettings:
    """Where events and deliveries are stored."""

    #: Which of the inboxes.
    kind: InboxKind = InboxKind.SQLITE
    #: The database file of SQLite, ``None`` for the others.
    path: Path | None = Path("var/router.db")
    #: The URL of PostgreSQL, ``None`` for the others.
    url: str | None = field(default=None, repr=False)
    #: Seconds for which a settled event is kept.
    retention: float = 7 * 86400.0
    #: Whether an event of a known type without a route is stored.
    keep_unrouted: bool = False
    #: Seconds within which a dead replica's lanes go on in another (PostgreSQL).
    lease: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupSettings:
    """How duplicates are told."""

    #: Seconds for which a notification is remembered.
    window: float = 48 * 3600.0
    #: What becomes of a duplicate with other content.
    changed: ChangedPolicy = ChangedPolicy.DROP


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """Bounds for all routes together."""

    #: How many deliveries run at once.
    concurrency: int = 256
    #: Seconds that running handlers get when the router stops.
    shutdown_grace: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTest:
    """A notification, and whether a route takes it. Either ``sample`` or ``file`` is set."""

    #: Name of a shipped notification, such as ``incomingMessageReceived/wa-text.json``.
    sample: str | None = None
    #: A notification of the user's own.
    file: Path | None = None
    #: Whether the route is expected to take it.
    matches: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """A handler that tells the operator."""

    #: The name under which a plugin registered it.
    handler: str
    #: What to tell; the values are listed in the schema of ``routes.yaml``.
    kinds: frozenset[str]
    #: What the handler is told.
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Seconds; the same alert is sent at most this often.
    every: float = 600.0
    #: The router does not start without the channel.
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """A plugin that is used although nothing of it is named."""

    #: Of its entry point, or of its file without ``.py``.
    name: str
    #: The router does not start without it.
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSettings:
    """What is logged, and how."""

    #: The least severe level that is logged, as `logging` names it.
    level: str = "INFO"
    #: How a record is written.
    format: LogFormat = LogFormat.CONSOLE
    #: How much of a notification a record shows.
    notification: NotificationLogging = NotificationLogging.FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """The operator's pages."""

    #: ``None``: only from the machine itself.
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of ``routes.yaml``, free of problems."""

    #: The file it came from.
    path: Path
    #: GREEN-API accounts; empty: notifications of any account are taken.
    instances: tuple[Instance, ...] = ()
    webhook: WebhookSettings = field(default_factory=WebhookSettings)
    inbox: InboxSettings = field(default_factory=InboxSettings)
    dedup: DedupSettings = field(default_factory=DedupSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    #: Folder of one-file plugins.
    plugins_dir: Path | None = None
    #: Plugins that are named themselves.
    plugins: tuple[PluginSettings, ...] = ()
    #: In the order of the file. Kept out of the repr: options may hold secrets.
    routes: tuple[Route, ...] = field(default=(), repr=False)
    #: Names of the routes whose handlers the router can do without.
    optional_routes: frozenset[str] = frozenset()
    #: What ``tests`` says, by the name of the route; a route without tests is missing.
    route_tests: Mapping[str, tuple[RouteTest, ...]] = field(default_factory=dict)
    #: Who is told when something needs a person.
    alerts: tuple[AlertSettings, ...] = ()
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    #: Values that no output may show: tokens, files, and variables used in options; six characters or more.
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
