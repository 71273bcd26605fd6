"""Events to publish. Stands in for what `router.testing` will have."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from router import Event, samples
from router.events import Transport
from router.normalize import normalize

_numbers = count(1)


def event(chat: str | None = "79001234567@c.us", text: str = "Привет", **data: Any) -> Event:
    body = json.loads(samples.read("incomingMessageReceived/max-text-hidden-phone.json"))
    normal = normalize(
        {**body, **data},
        id=f"e{next(_numbers)}",
        received_at=datetime(2026, 11, 24, 23, 30, tzinfo=UTC),
        transport=Transport.WEBHOOK,
    )
    return replace(normal, chat=chat, text=text, instance=1101000001)
