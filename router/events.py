"""The words everything else speaks: frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

#: A parsed JSON object. ``Any`` is allowed at this edge only.
JsonObject = dict[str, Any]


class EventStatus(StrEnum):
    """What became of a notification when it came in."""

    #: At least one route matched; it has deliveries.
    ACCEPTED = "accepted"
    #: A type of the catalogue that no route wants.
    UNROUTED = "unrouted"
    #: A type that neither the catalogue nor any route names.
    UNKNOWN = "unknown"
    #: Authentic, but it breaks its schema or is no JSON object.
    INVALID = "invalid"


class ReceiptStatus(StrEnum):
    """What the transport is told: every value means 200 or deleteNotification."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNROUTED = "unrouted"
    UNKNOWN = "unknown"
    INVALID = "invalid"


class DeliveryStatus(StrEnum):
    """``pending → running → done``, or ``→ dead``, or ``discarded`` by a person."""

    #: Waiting for its lane, or for its next attempt.
    PENDING = "pending"
    #: Its handler runs now.
    RUNNING = "running"
    #: Its handler returned.
    DONE = "done"
    #: It used up its retries or gave up: a dead letter.
    DEAD = "dead"
    #: A person decided that it need not be handled.
    DISCARDED = "discarded"


class Transport(StrEnum):
    """How a notification came."""

    WEBHOOK = "webhook"
    POLLING = "polling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A notification, normalized. A field that the notification lacks, or has in an odd shape, is ``None``.

    The facts about the fields of a notification are GREEN-API's documentation of the notification
    format; ``docs/reference/events.md`` says for each type where each field comes from.
    """

    #: The router's own identifier (UUID version 7, so ids sort by time of receipt).
    id: str
    #: ``typeWebhook``; ``None`` only for an invalid notification.
    type: str | None
    #: ``instanceData.idInstance``.
    instance: int | None
    #: ``whatsapp``, ``telegram`` or ``max``.
    messenger: str | None
    #: Chat id as GREEN-API writes it: ``79001234567@c.us``, ``…@g.us``, ``…@lid``, ``-10000000000000``.
    chat: str | None
    #: Chat id of whoever caused the event.
    sender: str | None
    #: ``messageData.typeMessage``.
    message_type: str | None
    #: The text of any kind of message that has one: text, caption, button, poll name …
    text: str | None
    #: When it happened, by GREEN-API's clock: UNIX seconds.
    timestamp: int | None
    #: When the router received it, UTC.
    received_at: datetime
    transport: Transport
    #: The whole body as it came; ``{}`` for an invalid notification that is no JSON object.
    data: JsonObject

    @property
    def id_message(self) -> str | None:
        """GREEN-API's ``idMessage``, which messages, statuses and calls have."""
        value = self.data.get("idMessage")
        return value if isinstance(value, str) else None

    @property
    def sender_name(self) -> str | None:
        """The sender's name as the messenger shows it, or ``None`` where it is missing or empty."""
        sender_data = self.data.get("senderData")
        value = sender_data.get("senderName") if isinstance(sender_data, dict) else None
        return value if isinstance(value, str) and value else None

    @property
    def happened_at(self) -> datetime:
        """When it happened by GREEN-API's clock, UTC; when it was received, where that is no time."""
        try:
            return datetime.fromtimestamp(self.timestamp, UTC) if self.timestamp else self.received_at
        except (OverflowError, ValueError, OSError):
            return self.received_at

    def as_json(self, *, with_data: bool = True) -> JsonObject:
        """Return the fields by their names, as values of JSON: ``received_at`` in ISO 8601.

        Args:
            with_data: Whether ``data`` is among them.
        """
        fields: JsonObject = {
            "id": self.id,
            "type": self.type,
            "instance": self.instance,
            "messenger": self.messenger,
            "chat": self.chat,
            "sender": self.sender,
            "message_type": self.message_type,
            "text": self.text,
            "timestamp": self.timestamp,
            "received_at": self.received_at.isoformat(),
            "transport": self.transport.value,
        }
        return {**fields, "data": self.data} if with_data else fields


@dataclass(frozen=True, slots=True)
class Receipt:
    """The transport's answer: the event is stored (or need not be), GREEN-API may forget it."""

    status: ReceiptStatus
    #: Id of the event; for a duplicate that of the event first seen.
    event_id: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which a notification breaks its schema: where, and which rule, never the value."""

    #: JSON path, such as ``$.senderData.chatId``.
    path: str
    #: The JSON Schema keyword that failed, such as ``required`` or ``type``; ``json``: it is no JSON object.
    rule: str
    #: Found and expected, such as ``expected string, found integer``.
    message: str


class AlertKind(StrEnum):
    """What an alert is about."""

    #: A ``typeWebhook`` in no catalogue and no route; the subject is the type.
    UNKNOWN_TYPE = "unknown_type"
    #: A notification that breaks its schema; the subject is its type and first problem.
    INVALID = "invalid"
    #: A delivery used up its retries or gave up; the subject is the route.
    DEAD = "dead"
    #: The inbox cannot be written; webhooks are answered 503 meanwhile.
    INBOX_UNAVAILABLE = "inbox_unavailable"
    #: An instance cannot be polled; the subject is its number.
    INSTANCE_DOWN = "instance_down"
    #: An instance is not authorized in its messenger; the subject is its number.
    INSTANCE_STATE = "instance_state"
    #: Nothing has come from an instance for longer than its ``quiet_after``; the subject is its number.
    QUIET = "quiet"
    #: A plugin cannot be used, and the router runs without it; the subject is its name.
    PLUGIN_FAILED = "plugin_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Something that a person has to know happened once more, or is over."""

    kind: AlertKind
    #: What it is about, within its kind.
    subject: str
    #: How often it has happened since ``first_at``.
    count: int
    first_at: datetime
    last_at: datetime
    is_recovered: bool
    #: What is known of its cause; not yet masked.
    facts: JsonObject
    #: It is about many subjects of its kind at once.
    is_many: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A message for the operator. Nothing in it that the log may not show: it is masked as that is."""

    #: Stays the same when the alert is sent again, so that who gets it can tell.
    id: str
    kind: AlertKind
    #: What it is about, within its kind: a route, an instance, a type; or ``12 others``.
    subject: str
    #: How often it has happened since ``first_at``.
    count: int
    #: How often since the last message about it.
    since_last: int
    #: UTC.
    first_at: datetime
    last_at: datetime
    #: It is over.
    is_recovered: bool
    #: What is known of the first one since the last message.
    facts: JsonObject
    #: One line for a person.
    title: str
    #: Several lines for a person: how often and since when, what to do, the facts.
    text: str
