"""The words everything else speaks: frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
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
