"""Builds what the tests of the inbox put in and take out."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from router.events import Event, EventStatus, Transport
from router.inbox import Attempt, AttemptOutcome, Claim, Entry, Inbox, NewDelivery

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROUTES = {"orders": 2, "audit": 2}


def event(number: int, *, chat: str = "a", text: str = "hello", received_at: datetime = NOW) -> Event:
    data = {
        "typeWebhook": "incomingMessageReceived",
        "instanceData": {"idInstance": 7, "typeInstance": "whatsapp"},
        "idMessage": f"M{number}",
        "senderData": {"chatId": chat},
        "messageData": {"typeMessage": "textMessage", "textMessageData": {"textMessage": text}},
    }
    return Event(
        id=f"{number:08d}",
        type="incomingMessageReceived",
        instance=7,
        messenger="whatsapp",
        chat=chat,
        sender=None,
        message_type="textMessage",
        text=text,
        timestamp=None,
        received_at=received_at,
        transport=Transport.WEBHOOK,
        data=data,
    )


def entry(
    of: Event, *routes: str, key: str | None = None, status: EventStatus = EventStatus.ACCEPTED
) -> Entry:
    return Entry(
        event=of,
        status=status,
        key=key or f"key-{of.id}",
        body=orjson.dumps(of.data),
        deliveries=[NewDelivery(route, of.chat or "-") for route in routes or ("orders",)],
    )


def attempt(
    number: int = 1, outcome: AttemptOutcome = AttemptOutcome.DONE, error: str | None = None
) -> Attempt:
    return Attempt(number=number, started_at=NOW, duration=0.5, outcome=outcome, error=error, plugin="p 1")


def failed(number: int = 1) -> Attempt:
    return attempt(number, AttemptOutcome.ERROR, "ValueError: no")


async def claim(inbox: Inbox) -> Claim:
    claimed = await inbox.claim()
    assert claimed is not None
    return claimed
