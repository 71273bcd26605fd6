"""How an event looks in a request: its body, and the headers that belong to the body."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from router import Event

#: ``json``: the event's fields, as the archive writes them. ``cloudevents`` and ``cloudevents-binary``:
#: the same fields as the data of a CloudEvent. ``notification``: what GREEN-API sent.
Format = Literal["json", "cloudevents", "cloudevents-binary", "notification"]

_JSON = "application/json"
#: What a header of the binary mode holds as it is: printable ASCII but the double quote and the percent sign.
_AS_IT_IS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True, slots=True)
class Envelope:
    """A body, and the headers that say what it is."""

    headers: dict[str, str]
    body: bytes


def envelope(event: Event, form: Format) -> Envelope:
    """Return the body and the headers of the request for an event."""
    return _MAKERS[form](event)


def _fields(event: Event) -> Envelope:
    return Envelope({"Content-Type": _JSON}, _json(event.as_json()))


def _notification(event: Event) -> Envelope:
    return Envelope({"Content-Type": _JSON}, _json(event.data))


def _structured(event: Event) -> Envelope:
    content = {**attributes(event), "data": event.as_json()}
    return Envelope({"Content-Type": "application/cloudevents+json"}, _json(content))


def _binary(event: Event) -> Envelope:
    """Follow section 3.1 of the HTTP protocol binding of CloudEvents 1.0."""
    values = attributes(event)
    headers = {"Content-Type": values.pop("datacontenttype")}
    headers |= {f"ce-{name}": quote(value, safe=_AS_IT_IS) for name, value in values.items()}
    return Envelope(headers, _json(event.as_json()))


_MAKERS: dict[Format, Callable[[Event], Envelope]] = {
    "json": _fields,
    "cloudevents": _structured,
    "cloudevents-binary": _binary,
    "notification": _notification,
}


def attributes(event: Event) -> dict[str, str]:
    """Return the context attributes of the CloudEvent; one that the event has no value for is left out."""
    values = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"urn:green-api:instance:{event.instance or 'unknown'}",
        "type": f"com.green-api.{event.type}",
        "subject": event.chat,
        "time": event.happened_at.isoformat(),
        "datacontenttype": _JSON,
        "messenger": event.messenger,
        "messagetype": event.message_type,
    }
    return {name: value for name, value in values.items() if value}


def _json(value: Any) -> bytes:
    """Return JSON; half a surrogate pair, which UTF-8 has no form for, as the escape that JSON has for it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")
