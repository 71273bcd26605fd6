"""What is published of an event: the same for every broker."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from router import Event

CONTENT_TYPE = "application/json"

_NO_WORD = re.compile(r"[^A-Za-z0-9@_-]")
#: RabbitMQ takes routing keys of up to 255 bytes.
_LONGEST_WORD = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An event as a broker gets it."""

    #: The same whenever the event is published by this route, so that a second copy can be told.
    id: str
    #: Equal for events whose order matters: ``INSTANCE/CHAT``, or ``INSTANCE`` for what has no chat.
    key: str
    #: The key as NATS and RabbitMQ can route by it: ``INSTANCE.CHAT`` with ``_`` for what is special there.
    words: str
    #: JSON, UTF-8.
    body: bytes
    #: The attributes of CloudEvents 1.0, without prefix.
    attributes: Mapping[str, str]


def compose(event: Event, route: str, *, with_data: bool) -> Message:
    """Return what is to be published of an event."""
    parts = [str(event.instance or "-"), *([event.chat] if event.chat else [])]
    return Message(
        id=f"{event.id}/{route}",
        key="/".join(parts),
        words=".".join(map(_word, parts)),
        body=_body(event, with_data=with_data),
        attributes=_attributes(event),
    )


def _word(text: str) -> str:
    return _NO_WORD.sub("_", text)[:_LONGEST_WORD]


def _body(event: Event, *, with_data: bool) -> bytes:
    # Half of a surrogate pair, which UTF-8 cannot hold, becomes the JSON escape for it.
    text = json.dumps(event.as_json(with_data=with_data), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def _attributes(event: Event) -> dict[str, str]:
    """See https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#context-attributes."""
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"urn:green-api:instance:{event.instance or 'unknown'}",
        "type": f"com.green-api.{event.type}",
        "subject": event.chat,
        "time": event.happened_at.isoformat(),
        "messenger": event.messenger,
        "messagetype": event.message_type,
    }
    return {name: value for name, value in attributes.items() if value}
